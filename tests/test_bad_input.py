"""A mistake of a user ends in one line and exit code 2, with nothing half-written: the table of cases."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_disk
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from thinkaloud import NLA, Activations, Site, UserError, extract, families
from thinkaloud.baseline import Baseline
from thinkaloud.cli import main
from thinkaloud.pair.formats import save
from thinkaloud.pair.reconstructor import Reconstructor

READ = ["read", "Hello there.", "--max-tokens", "3", "--positions", "last", "--nla", "PAIR"]
EXTRACT = ["extract", "--model", "PAIR/base", "--layer", "2", "--min-position", "3", "--heldout", "0"]
TO = ["--out", "PAIR/data"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    tiny.save_base("llama", folder / "base")
    save(tiny.verbalizer(), folder / "av")
    save(tiny.reconstructor(seed=0), folder / "ar")
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": f"text number {i} of some"}) + "\n" for i in range(9))
    )
    return folder


@pytest.fixture
def pair(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "pair"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def sidecar(half: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A damage: `change` on the sidecar of `half`."""

    def damage(pair: Path) -> None:
        file = pair / half / "nla_meta.yaml"
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        change(data)
        file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")

    return damage


def layer(half: str, k: int) -> Callable[[Path], None]:
    def change(data: dict[str, Any]) -> None:
        data["critic"]["extraction_layer_index"] = data["thinkaloud"]["site"]["layer"] = k

    return sidecar(half, change)


def both(*damages: Callable[[Path], None]) -> Callable[[Path], None]:
    return lambda pair: [damage(pair) for damage in damages] and None


def tensors(file: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    """A damage: `change` on the tensors of a safetensors file."""

    def damage(pair: Path) -> None:
        state = load_file(str(pair / file))
        change(state)
        save_file(state, str(pair / file), metadata={"format": "pt"})

    return damage


def config(half: str, **values: Any) -> Callable[[Path], None]:
    def damage(pair: Path) -> None:
        file = pair / half / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return damage


def cut(file: str, size: int) -> Callable[[Path], None]:
    return lambda pair: (pair / file).write_bytes((pair / file).read_bytes()[:size]) and None


def rename(old: str, new: str) -> Callable[[Path], None]:
    return lambda pair: (pair / old).rename(pair / new) and None


def write(file: str, text: str) -> Callable[[Path], None]:
    return lambda pair: (pair / file).write_text(text) and None


def foreign_weights(pair: Path) -> None:
    tiny.model("gpt2").save_pretrained(str(pair / "other"))
    shutil.copy(pair / "other" / "model.safetensors", pair / "av" / "model.safetensors")
    shutil.rmtree(pair / "other")


def nan_model(pair: Path) -> None:
    tensors("base/model.safetensors", lambda s: s["model.layers.1.mlp.up_proj.weight"].fill_(float("nan")))(pair)


def wide_ar(pair: Path) -> None:
    shutil.rmtree(pair / "ar")
    stack = families.truncated(tiny.model("llama", hidden_size=64, head_dim=16), 2)
    save(Reconstructor(stack, tiny.head(64), tiny.tokenizer(), tiny.ar_contract(64)), pair / "ar")


def wide_base(pair: Path) -> None:
    tiny.model("llama", hidden_size=64, head_dim=16).save_pretrained(str(pair / "base"))


def adapter_without_base(pair: Path) -> None:
    config_file = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}
    (pair / "av" / "adapter_config.json").write_text(json.dumps(config_file))
    save_file({"x": torch.ones(1)}, str(pair / "av" / "adapter_model.safetensors"))


def nothing(pair: Path) -> None:
    pass


def corpus(rows: list[str]) -> Callable[[Path], None]:
    return write("corpus.jsonl", "".join(row + "\n" for row in rows))


FROM = ["--corpus", "PAIR/corpus.jsonl"]
# (name, what is damaged, the command, the line), with PAIR for the pair's folder.
CASES: list[tuple[str, Callable[[Path], object], list[str], str]] = [
    (
        "missing sidecar",
        rename("av/nla_meta.yaml", "av/other.yaml"),
        READ,
        "no nla_meta.yaml in PAIR/av: an NLA checkpoint keeps its contract beside its weights",
    ),
    (
        "contradictory sidecar",
        sidecar("ar", lambda data: data["critic"].update(num_hidden_layers=1)),
        READ,
        "PAIR/ar/nla_meta.yaml: the AR's layer is given twice and differs: critic.extraction_layer_index = 2, "
        "critic.num_hidden_layers = 1, thinkaloud.site.layer = 2",
    ),
    (
        "marker of several tokens",
        sidecar("av", lambda data: data["tokens"].update(injection_char="㈜")),
        READ,
        "the marker '㈜' must be one token, this tokenizer makes it 3: choose another",
    ),
    (
        "marker id",
        sidecar("av", lambda data: data["tokens"].update(injection_token_id=7)),
        READ,
        "the contract's marker id is 7, this tokenizer gives 260: wrong tokenizer or template",
    ),
    (
        "neighbours",
        sidecar("av", lambda data: data["tokens"].update(injection_left_neighbor_id=3)),
        READ,
        "the contract's left neighbour is 3, this tokenizer gives 58: wrong tokenizer or template",
    ),
    (
        "no chat template",
        rename("av/chat_template.jinja", "av/other.jinja"),
        READ,
        "the AV's tokenizer has no chat template: the AV prompt is a chat message",
    ),
    (
        "truncated safetensors",
        cut("av/model.safetensors", 5000),
        READ,
        "PAIR/av/model.safetensors is not a whole safetensors file (Error while deserializing header: incomplete "
        "metadata, file not fully covered): fetch it again",
    ),
    (
        "truncated head",
        cut("ar/value_head.safetensors", 100),
        READ,
        "PAIR/ar/value_head.safetensors is not a whole safetensors file (Error while deserializing header: incomplete "
        "metadata, file not fully covered): fetch it again",
    ),
    (
        "foreign safetensors",
        foreign_weights,
        READ,
        "PAIR/av lacks 39 weights that its config.json names, lm_head.weight first: it holds 52 others: a foreign "
        "checkpoint",
    ),
    (
        "missing weights",
        tensors("av/model.safetensors", lambda state: state.pop("model.layers.1.mlp.up_proj.weight")),
        READ,
        "PAIR/av lacks 1 weights that its config.json names, model.layers.1.mlp.up_proj.weight first: it is not whole",
    ),
    (
        "pickle",
        rename("av/model.safetensors", "av/pytorch_model.bin"),
        READ,
        "PAIR/av holds pytorch_model.bin: pickled weights can run code; convert them to safetensors",
    ),
    (
        "no weights",
        rename("av/model.safetensors", "av/weights"),
        READ,
        "no model.safetensors in PAIR/av: expected a Transformers checkpoint in safetensors",
    ),
    (
        "AR without its head",
        rename("ar/value_head.safetensors", "ar/head"),
        READ,
        "no value_head.safetensors in PAIR/ar: an AR is useless without its head; fetch the whole checkpoint",
    ),
    (
        "AR with the full model's config",
        both(layer("ar", 3), layer("av", 3), config("ar", num_hidden_layers=4)),
        READ,
        "PAIR/ar lacks 9 weights that its config.json names, model.layers.3.input_layernorm.weight first: it is not "
        "whole",
    ),
    (
        "AR's layer out of range",
        layer("ar", 9),
        READ,
        "layer 9 is out of range: PAIR/ar has 3 blocks, 0 to 2",
    ),
    (
        "wrong role",
        nothing,
        [*READ[:-2], "--av", "PAIR/ar", "--ar", "PAIR/av"],
        "PAIR/ar is an AR: expected an AV",
    ),
    (
        "different sites",
        layer("av", 1),
        READ,
        "the AV was trained at resid_post:1, the AR at resid_post:2: not a pair",
    ),
    ("different widths", wide_ar, READ, "the AV is of a model 32 wide, the AR of one 64 wide: not a pair"),
    ("another base", wide_base, READ, "base model PAIR/base is 64 wide, the pair reads 32: another model"),
    (
        "contract of another width",
        sidecar("av", lambda data: data.update(d_model=48)),
        READ,
        "PAIR/av: the contract says d_model 48, config.json 32",
    ),
    (
        "foreign adapter",
        adapter_without_base,
        [*READ[:-2], "--av", "PAIR/av", "--ar", "PAIR/ar", "--base", "PAIR/base"],
        "the adapter PAIR/av lacks 8 tensors, layers.0.self_attn.q_proj.lora_A.weight first: it is of another base or "
        "not whole",
    ),
    ("vectors of a broken model", nan_model, READ, "vector 0 holds NaN or infinity: 1 of 1 do"),
    ("empty text", nothing, ["read", " \n", "--nla", "PAIR"], "the text is empty: there is nothing to read"),
    (
        "empty file",
        write("empty.txt", ""),
        ["read", "--file", "PAIR/empty.txt"],
        "PAIR/empty.txt is empty: there is nothing to read",
    ),
    ("no text", nothing, ["read", "--nla", "PAIR"], "expected exactly one of TEXT, --file or --chat, found none"),
    (
        "text beyond the context",
        nothing,
        ["read", "x" * 300, "--nla", "PAIR"],
        "the text has 301 tokens, the model's context is 256: shorten it, or read it window by window (--window 256)",
    ),
    (
        "file beyond the context",
        write("long.txt", "x" * 300),
        ["read", "--file", "PAIR/long.txt", "--nla", "PAIR"],
        "PAIR/long.txt has 301 tokens, the model's context is 256: shorten it, or read it window by window "
        "(--window 256)",
    ),
    (
        "window beyond the context",
        nothing,
        ["read", "x" * 300, "--nla", "PAIR", "--window", "300"],
        "a window must be of 2 to 256 tokens, the model's context; found 300",
    ),
    (
        "chat that is none",
        write("chat.json", '[{"role": "judge", "content": "x"}]'),
        ["read", "--chat", "PAIR/chat.json", "--nla", "PAIR"],
        "PAIR/chat.json, message 1: role must be one of system, user, assistant, tool, developer, found 'judge'",
    ),
    ("no samples", nothing, [*READ, "--samples", "0"], "samples must be 1 or more, found 0"),
    ("temperature", nothing, [*READ, "--temperature", "-1"], "temperature must be 0 (greedy) or more, found -1.0"),
    (
        "no tokens",
        nothing,
        ["read", "x", "--nla", "PAIR", "--max-tokens", "0"],
        "max_tokens must be 1 or more, found 0",
    ),
    ("device", nothing, [*READ, "--device", "tpu"], "device 'tpu' is not known: use cpu, cuda or cuda:N"),
    (
        "position outside",
        nothing,
        ["read", "Hello", "--nla", "PAIR", "--positions", "99"],
        "position 99 is outside the text: it has 6 tokens, 0 to 5",
    ),
    (
        "positions",
        nothing,
        ["read", "Hello", "--nla", "PAIR", "--positions", "abc"],
        "positions must be all, last, indices like 0,-1 or ranges like 50:, found 'abc'",
    ),
    (
        "half a pair",
        nothing,
        ["read", "Hello", "--av", "PAIR/av"],
        "a pair needs both av and ar, or the name of a pair",
    ),
    (
        "no pair",
        nothing,
        ["read", "Hello", "--nla", "PAIR/none"],
        "no folder PAIR/none: expected a checkpoint folder, a hub name (owner/name) or one of pocket, "
        "smollm2, gemma3-270m",
    ),
    (
        "report nowhere",
        nothing,
        [*READ, "--html", "PAIR/no/x.html"],
        "no folder PAIR/no to write x.html in: make it first",
    ),
    (
        "extract: layer out of range",
        nothing,
        ["extract", "--model", "PAIR/base", "--layer", "7", *FROM, *TO],
        "layer 7 is out of range: PAIR/base has 4 blocks, 0 to 3",
    ),
    (
        "extract: no corpus",
        nothing,
        [*EXTRACT, "--corpus", "PAIR/none.jsonl", *TO],
        "no corpus at PAIR/none.jsonl: expected a file, a folder, or a hub data set (owner/name or owner/name:config)",
    ),
    ("extract: empty corpus", corpus([]), [*EXTRACT, *FROM, *TO], "no readable document in corpus.jsonl"),
    (
        "extract: no such column",
        nothing,
        [*EXTRACT, *FROM, *TO, "--text-column", "body"],
        "no readable document in corpus.jsonl (corpus.jsonl row 0: no text in 'body' and no messages)",
    ),
    (
        "extract: a file in the way",
        write("data", "a file"),
        [*EXTRACT, *FROM, *TO],
        "PAIR/data is a file: give the name of a folder to write",
    ),
    (
        "extract: a broken model",
        nan_model,
        [*EXTRACT, *FROM, *TO],
        "the vector of document corpus.jsonl:0, position 4 holds NaN or infinity: 90 of 90 do; check the "
        "model and its dtype",
    ),
    *(
        (
            f"{command[0]}: no data",
            nothing,
            command,
            "no manifest.json in PAIR/none: run thinkaloud extract first",
        )
        for command in (
            ["score", "--nla", "PAIR", "--data", "PAIR/none"],
            ["explain", "--data", "PAIR/none"],
            ["warmstart", "ar", "--data", "PAIR/none", "--out", "PAIR/out"],
        )
    ),
    (
        "run: no recipe",
        nothing,
        ["run", "PAIR/none.py"],
        "no recipe PAIR/none.py: expected a Python file with a function recipe()",
    ),
    (
        "no verb",
        nothing,
        ["raed"],
        "no verb 'raed': did you mean read?",
    ),
]


@pytest.mark.parametrize(("damage", "command", "line"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mistake_is_one_line_and_leaves_nothing(
    damage: Callable[[Path], object],
    command: list[str],
    line: str,
    pair: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(pair)
    before = tree(pair)
    capsys.readouterr()
    code = main([word.replace("PAIR", str(pair)) for word in command])
    seen = capsys.readouterr()
    assert seen.err.replace(str(pair), "PAIR") == f"thinkaloud: {line}\n"
    assert seen.out == ""
    assert code == 2
    assert tree(pair) == before, "nothing half-written"


def test_the_sound_pair_reads(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table means something only if the same command works on what is not damaged."""
    assert main([word.replace("PAIR", str(pair)) for word in [*READ, "--json"]]) == 0
    assert json.loads(capsys.readouterr().out)["position"] == 12


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda v: v.__setitem__((1, 3), float("nan")), "vector 1 holds NaN or infinity: 1 of 3 do"),
        (lambda v: v.__setitem__((0, 0), float("-inf")), "vector 0 holds NaN or infinity: 1 of 3 do"),
        (lambda v: v.__setitem__(2, 0.0), "vector 2 is zero and has no direction: 1 of 3 are"),
    ],
    ids=["NaN", "infinite", "zero"],
)
def test_vectors_that_say_nothing(spoil: Callable[[Any], None], line: str, sound: Path) -> None:
    nla = NLA.from_pretrained(sound)
    for vectors in (tiny.vectors(3), tiny.vectors(3).numpy()):
        spoil(vectors)
        for use in (
            lambda v=vectors: nla.explain(v),
            lambda v=vectors: nla.score(["a", "b", "c"], v),
            lambda v=vectors: nla.verbalizer.prompt_embeds(torch.as_tensor(v)),
        ):
            with pytest.raises(UserError) as caught:
                use()
            assert str(caught.value) == line


def test_vectors_of_another_width(sound: Path) -> None:
    nla = NLA.from_pretrained(sound)
    line = "vectors must be 32 wide, found 31: they are of another model"
    for use in (lambda v: nla.explain(v), lambda v: nla.score(["a", "b"], v)):
        with pytest.raises(UserError, match=line):
            use(tiny.vectors(2, 31))
    with pytest.raises(UserError, match=r"vectors must be \[n, d\], found shape \(32,\)"):
        nla.explain(np.ones(32, dtype=np.float32))
    with pytest.raises(UserError, match="expected a text for each of 2 vectors, found 1"):
        nla.score(["a"], tiny.vectors(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0])
def test_bad_vectors_are_not_stored(bad: float, sound: Path, tmp_path: Path) -> None:
    found = extract(
        tiny.model("llama"), ["some text to take"], Site("resid_post", 2), "all", tokenizer=tiny.tokenizer()
    )
    found.vectors[4] = bad
    with pytest.raises(UserError, match="position 4"):
        found.save(tmp_path / "data")
    assert [p.name for p in (tmp_path / "data").glob("*")] == []
    with pytest.raises(UserError, match="a zero or non-finite vector cannot enter a baseline"):
        Baseline.of(found.vectors.numpy(), [0], "train")


def test_unreadable_rows_are_counted_and_not_fatal(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = [json.dumps({"text": f"text number {i} of some"}) for i in range(5)]
    bad = ["not json", json.dumps({"text": 7}), json.dumps(["a"]), json.dumps({"text": ""}), '{"text": "half']
    (pair / "corpus.jsonl").write_bytes("\n".join([*good, *bad]).encode() + b'\n{"text": "\xff\xfe"}\n')
    assert main([word.replace("PAIR", str(pair)) for word in [*EXTRACT, *FROM, *TO]]) == 0
    out = capsys.readouterr().out
    assert "rows that could not be read, passed over: 6 (the first: corpus.jsonl row 5: not JSON" in out
    assert len(set(Activations.load(pair / "data").column("doc_id"))) == 5


def test_an_explanation_beyond_the_context_is_refused(sound: Path) -> None:
    nla = NLA.from_pretrained(sound)
    with pytest.raises(UserError) as caught:
        nla.reconstruct(["short", "long " * 60])
    assert str(caught.value) == "explanation 1 has 314 tokens with its template: the context is 256"
    assert torch.isfinite(nla.reconstruct([""])).all(), "an empty explanation is one all the same"


@small_disk.needed
def test_a_full_disk(pair: Path, tmp_path: Path) -> None:
    """On a file system with no room checkpoint, activations and report fail in one line each, and leave nothing."""
    disk = tmp_path / "disk"
    code = f"""
import contextlib, io, pathlib, tiny
from thinkaloud.cli import guarded, main
from thinkaloud.pair.formats import save
from thinkaloud.pair.reconstructor import Reconstructor
disk = pathlib.Path({str(disk)!r})
def left():
    return sorted(str(p.relative_to(disk)) for p in disk.rglob("*"))
def tell(name, action):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = action()
    print(name, code, left(), said.getvalue().strip())
pair = {str(pair)!r}
tell("save", lambda: guarded(lambda: save(tiny.verbalizer(), disk / "av")))
tell("packed", lambda: guarded(lambda: save(tiny.reconstructor(), disk / "ar", "int8")))
(disk / "filler").write_bytes(bytes(disk.stat().st_blksize * 9))
tell("extract", lambda: main(["extract", "--model", pair + "/base", "--layer", "2", "--min-position", "3",
    "--corpus", pair + "/corpus.jsonl", "--out", str(disk / "data")]))
tell("read", lambda: main(["read", "Hello", "--nla", pair, "--max-tokens", "2", "--html", str(disk / "page.html")]))
"""
    done = small_disk.run_on(disk, "44k", code)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("save", "packed", "extract", "read"))]
    assert len(lines) == 4, done.stderr
    assert lines[0].startswith("save 2 [] thinkaloud: no room to write"), lines[0]
    assert lines[1].startswith("packed 2 [] thinkaloud: no room to write"), lines[1]
    assert lines[2].startswith("extract 2 ['filler'] thinkaloud: no room to write"), lines[2]
    assert lines[3].startswith("read 2 ['filler'] thinkaloud: no room to write"), lines[3]

"""The same activations are written whatever happens on the way: kills, workers, windows, documents too long."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from thinkaloud import atomic
from thinkaloud.activations import Activations, corpus, extract, extract_to, read_corpus, split_of
from thinkaloud.activations.tokens import Reader
from thinkaloud.config.data import Extract
from thinkaloud.errors import UserError
from thinkaloud.site import Site

SITE = Site("resid_post", 1)
OPTIONS = Extract("corpus", Path("out"), positions=3, min_position=4, heldout=0.2, batch_tokens=200)
WORDS = ["the", "fox", "ran", "over", "a", "hill", "and", "saw", "the", "sea,", "which", "was", "grey;", "nobody."]
CHAT = [{"role": "user", "content": "Where is the key?"}, {"role": "assistant", "content": "In the box."}]


def corpus_file(folder: Path, n: int = 22) -> Path:
    """Documents of 3 to about 150 tokens, a chat among them, and a row that cannot be read."""
    rng = np.random.default_rng(0)
    rows: list[Any] = [{"text": " ".join(rng.choice(WORDS, rng.integers(1, 36)))} for _ in range(n)]
    rows[5] = {"messages": CHAT}
    path = folder / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    return path


def run(out: Path, corpus: Path, options: Extract = OPTIONS, **other: Any) -> Any:
    """Extract into shards of four documents each; `other` are other arguments than the usual ones."""
    given = {"model": model(), "tokenizer": tiny.tokenizer(), "site": SITE, "shard_docs": 4, **other}
    return extract_to(replace(options, out=out), corpus=read_corpus(corpus), model_name="tiny", **given)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def model() -> Any:
    return tiny.model("llama")


@cache
def forward_of(ids: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        return model()(torch.tensor([ids]), output_hidden_states=True).hidden_states[SITE.layer + 1][0]


def full_forward(ids: list[int]) -> torch.Tensor:
    return forward_of(tuple(ids))


def test_shards_hold_the_vectors_of_a_full_forward(tmp_path: Path) -> None:
    path, tokenizer = corpus_file(tmp_path), tiny.tokenizer()
    manifest = run(tmp_path / "out", path)
    found = Activations.load(tmp_path / "out")
    by_id = {d.id: d for d in read_corpus(path)}
    assert len(found) == manifest["counts"]["rows"] > 40
    for vector, row in zip(found.vectors, found.table.to_pylist(), strict=True):
        document = by_id[row["doc_id"]]
        if document.messages is not None:
            ids = tokenizer.apply_chat_template(list(document.messages), return_dict=True)["input_ids"]
        else:
            ids = tokenizer(document.text)["input_ids"]
        assert row["chat"] == (document.messages is not None)
        exact = full_forward(ids)[row["position"]]
        # bf16 keeps 8 bits: half a unit in the last place is 2⁻⁹ of the value.
        torch.testing.assert_close(vector, exact, rtol=2**-8, atol=1e-6)
        assert vector.to(torch.bfloat16).float().equal(vector)
        assert row["norm"] == pytest.approx(float(vector.norm()), rel=1e-5)
        assert row["token_id"] == ids[row["position"]]
        assert row["token_id"] not in tokenizer.all_special_ids
        assert row["position"] >= OPTIONS.min_position
        assert row["text"] == tokenizer.decode(ids[1 : row["position"] + 1])
        assert row["text"].endswith(row["token"])
        assert row["split"] == split_of(row["doc_id"], 0.2)
        assert (row["window"], row["truncated"]) == (0, False)


def test_the_manifest_counts_and_measures(tmp_path: Path) -> None:
    path = corpus_file(tmp_path)
    manifest = run(tmp_path / "out", path)
    found = Activations.load(tmp_path / "out")
    tokens = [len(tiny.tokenizer()(d.text)["input_ids"]) for d in read_corpus(path) if d.text is not None]
    assert manifest == json.loads((tmp_path / "out" / "manifest.json").read_text())
    counts = manifest["counts"]
    assert (counts["documents"], counts["unreadable"], counts["truncated"]) == (22, 1, 0)
    chat = len(tiny.tokenizer().apply_chat_template(CHAT, return_dict=True)["input_ids"])
    assert counts["tokens"] == sum(tokens) + chat
    assert counts["splits"] == {
        split: {
            "rows": splits.count(split),
            "documents": len({d for d, s in zip(docs, splits, strict=True) if s == split}),
        }
        for docs, splits in [(found.column("doc_id"), found.column("split"))]
        for split in ("heldout", "train")
    }
    norms = found.vectors.double().norm(dim=1).numpy()
    assert manifest["norm_percentiles"]["75"] == pytest.approx(np.percentile(norms, 75), rel=1e-6)
    for split in ("train", "heldout"):
        rows = found.vectors[[s == split for s in found.column("split")]].double()
        unit = rows / rows.norm(dim=1, keepdim=True)
        v = float(((unit - unit.mean(0)) ** 2).sum(1).mean())
        assert found.baseline(split).v == pytest.approx(v, rel=1e-9)
        assert replace(found, manifest=None).baseline(split).v == pytest.approx(v, rel=1e-9)
    assert manifest["site"] == {"kind": "resid_post", "layer": 1}
    assert manifest["model"]["name"] == "tiny"


CHILD = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import tiny
from dataclasses import replace
from test_extract import OPTIONS, SITE
from thinkaloud.activations import extract_to
from thinkaloud.activations.corpus import Corpus

class Stalled(Corpus):
    def count(self, *_):
        return None

    def __iter__(self):
        for number, document in enumerate(super().__iter__()):
            if number == 16:  # the fifth shard never comes
                time.sleep(3600)
            yield document

config = replace(OPTIONS, out=Path({out!r}))
extract_to(config, tiny.model("llama"), tiny.tokenizer(), Stalled({corpus!r}), SITE, "tiny", shard_docs=4)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    path, out = corpus_file(tmp_path), tmp_path / "killed"
    run(tmp_path / "whole", path)
    here = [str(Path(__file__).parent), str(Path(tiny.__file__).parent)]
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(path=here, out=str(out), corpus=str(path))])
    while not (out / "shard-00001.parquet").exists():
        assert child.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    begun = files(out)
    assert "manifest.json" not in begun
    assert "shard-00005.parquet" not in begun
    with pytest.raises(UserError, match="is not finished: run it again"):
        Activations.load(out)
    partial = atomic._temporary(out / "shard-00003.parquet", "partial")
    partial = partial.with_name(partial.name.replace(f"-{os.getpid()}-", f"-{child.pid}-"))
    partial.write_bytes(b"half a shard")
    kept = (out / "shard-00000.parquet").stat().st_mtime_ns
    run(out, path)
    assert files(out) == files(tmp_path / "whole")
    assert (out / "shard-00000.parquet").stat().st_mtime_ns == kept


def test_any_number_of_workers_writes_the_same_files(tmp_path: Path) -> None:
    path = corpus_file(tmp_path)
    whole = run(tmp_path / "one", path)
    out = tmp_path / "parts"
    results = [run(out, path, replace(OPTIONS, worker=i, workers=3)) for i in (2, 0, 1)]
    assert results == [None, None, whole]
    assert files(out) == files(tmp_path / "one")


def test_windows_cover_every_token_once_and_begin_with_bos(tmp_path: Path) -> None:
    path, tokenizer = corpus_file(tmp_path), tiny.tokenizer()
    run(tmp_path / "out", path, replace(OPTIONS, window=20, positions=None, min_position=0))
    found = Activations.load(tmp_path / "out")
    rows = found.table.to_pylist()
    reader, special = Reader(tokenizer), set(tokenizer.all_special_ids)
    for document in read_corpus(path):
        if document.text is None:
            continue
        ids = tokenizer(document.text)["input_ids"]
        mine = [(row, vector) for row, vector in zip(rows, found.vectors, strict=True) if row["doc_id"] == document.id]
        assert [row["token_id"] for row, _ in mine] == [i for i in ids if i not in special]
        for row, vector in mine:
            start = max(row["window"], 1)
            window = [tokenizer.bos_token_id, *ids[start : start + 19]]
            assert window[row["position"]] == row["token_id"]
            assert row["text"] == reader.prefix(window[: row["position"] + 1])
            torch.testing.assert_close(vector, full_forward(window)[row["position"]], rtol=2**-8, atol=1e-6)


def test_a_document_beyond_the_context_is_cut_marked_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    texts = ["x" * (tiny.CONTEXT + 20), "y" * 30, "z" * (tiny.CONTEXT - 1)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    manifest = run(tmp_path / "out", path, replace(OPTIONS, positions=None))
    found = Activations.load(tmp_path / "out")
    cut = {doc for doc, was in zip(found.column("doc_id"), found.column("truncated"), strict=True) if was}
    assert cut == {"long.jsonl:0"}
    assert manifest["counts"]["truncated"] == 1
    assert max(found.column("position")) == tiny.CONTEXT - 1
    assert manifest["counts"]["tokens"] == 2 * tiny.CONTEXT + 31


def test_the_models_own_next_tokens_are_stored(tmp_path: Path) -> None:
    path, tokenizer = corpus_file(tmp_path, 6), tiny.tokenizer()
    run(tmp_path / "out", path, replace(OPTIONS, next_tokens=2))
    found = Activations.load(tmp_path / "out")
    row = found.table.slice(7, 1).to_pylist()[0]
    text = next(d.text for d in read_corpus(path) if d.id == row["doc_id"])
    ids = tokenizer(text)["input_ids"][: row["position"] + 1]
    with torch.no_grad():
        top = model()(torch.tensor([ids])).logits[0, -1].softmax(-1).topk(2)
    assert row["next_tokens"] == [Reader(tokenizer).token(i) for i in top.indices.tolist()]
    assert row["next_probs"] == pytest.approx(top.values.tolist(), rel=1e-4)
    run(tmp_path / "plain", path)
    assert torch.equal(found.vectors, Activations.load(tmp_path / "plain").vectors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "begun with options.seed = 0, now it is 1"),
        ({"window": 30}, "begun with options.window = None, now it is 30"),
        ({"limit": 3}, "begun with options.limit = None, now it is 3"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = corpus_file(tmp_path, 6)
    run(tmp_path / "out", path)
    before = files(tmp_path / "out")
    with pytest.raises(UserError) as error:
        run(tmp_path / "out", path, replace(OPTIONS, **change))
    assert message in str(error.value)
    assert files(tmp_path / "out") == before


def test_a_folder_of_an_earlier_version_had_no_special_tokens(tmp_path: Path) -> None:
    path, out = corpus_file(tmp_path, 6), tmp_path / "out"
    run(out, path)
    settings = json.loads((out / "extraction.json").read_text())
    assert settings["options"].pop("special_tokens") is False
    (out / "extraction.json").write_text(json.dumps(settings))
    run(out, path)
    with pytest.raises(UserError, match=r"begun with options\.special_tokens = False, now it is True"):
        run(out, path, replace(OPTIONS, special_tokens=True))


def test_other_weights_or_documents_in_the_same_folder_are_refused(tmp_path: Path) -> None:
    path, out = corpus_file(tmp_path), tmp_path / "out"
    run(out, path)
    other = tiny.model("llama", seed=1)
    with pytest.raises(UserError, match=r"model\.weights"):
        run(out, path, model=other)
    with pytest.raises(UserError, match=r"site\.layer"):
        run(out, path, site=Site("resid_post", 2))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:6], lines[6].replace('"text": "', '"text": "new '), *lines[7:]]))
    with pytest.raises(UserError, match=r"shard-00001\.parquet was made from other documents"):
        run(out, path)
    path.write_text("".join(lines[:8]))
    with pytest.raises(UserError, match="holds more shards than"):
        run(out, path)


def test_a_folder_from_before_text_was_cut_into_pages_goes_on_where_nothing_changes(tmp_path: Path) -> None:
    out, settings = tmp_path / "out", tmp_path / "out" / "extraction.json"
    book = "\n\n".join("and so it went on, " * 30 for _ in range(20))
    (tmp_path / "short.txt").write_text(book[:9000])
    (tmp_path / "book.txt").write_text(book)
    run(tmp_path / "book", tmp_path / "book.txt")
    assert len(set(Activations.load(tmp_path / "book").column("doc_id"))) > 5
    assert json.loads((tmp_path / "book" / "extraction.json").read_text())["text_pages"]["characters"] == 1500

    run(out, tmp_path / "short.txt")
    data = json.loads(settings.read_text())
    del data["text_pages"]
    settings.write_text(json.dumps(data))
    whole = files(out)
    (out / "shard-00000.parquet").unlink()
    run(out, tmp_path / "short.txt")
    assert files(out) == whole

    (tmp_path / "short.txt").write_text(book)  # as if the folder had been made of the whole book, uncut
    with pytest.raises(UserError, match=r"shard-00000\.parquet was made from other documents"):
        run(out, tmp_path / "short.txt")


@pytest.mark.parametrize("counted", [True, False])
def test_progress_foretells_the_tokens_from_the_first_batch_on(
    tmp_path: Path, counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents grow longer, so their number is no measure: after half of them a quarter of the work is done."""
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": "ab " * (4 + 3 * i)}) + "\n" for i in range(24)))
    if not counted:
        monkeypatch.setattr(corpus, "CHEAP", 0)
    options = replace(OPTIONS, positions=None)

    def told(out: Path) -> list[tuple[int, int]]:
        said: list[Any] = []
        run(out, path, options, watch=lambda *what: said.append(what), shard_docs=8)
        (first, *batches, last) = said
        assert (first, last) == (("extracting", 0, None), ("writing the manifest", 0, None))
        return [(done, of) for _, done, of in batches]

    whole = told(tmp_path / "out")
    tokens = whole[-1][0]
    assert len(whole) > 6, "batch by batch, not shard by shard"
    # A row of JSON around a short text weighs more than one around a long text, where bytes are all that is known.
    for _, total in whole:
        assert total == pytest.approx(tokens, rel=0.02 if counted else 0.25)
    assert whole[-1][1] == tokens

    (tmp_path / "out" / "shard-00000.parquet").unlink()
    (tmp_path / "out" / "shard-00002.parquet").unlink()
    done, of = told(tmp_path / "out")[-1]
    assert done == of < tokens


def test_a_model_from_the_hub_is_known_by_its_commit(tmp_path: Path) -> None:
    from thinkaloud.activations.shards import commit_of
    from thinkaloud.loading import load_backbone, load_causal_lm

    folder = tmp_path / "models--owner--name" / "snapshots" / ("0123456789" * 4)
    folder.mkdir(parents=True)
    tiny.save_base("llama", folder)
    assert commit_of(load_causal_lm(folder)) == commit_of(load_backbone(folder, 1)) == "0123456789" * 4
    assert commit_of(model()) is None


def test_a_limit_takes_the_first_documents(tmp_path: Path) -> None:
    path = corpus_file(tmp_path)
    run(tmp_path / "all", path)
    manifest = run(tmp_path / "some", path, replace(OPTIONS, limit=8))
    assert manifest["counts"]["documents"] == 8
    for name in ("shard-00000.parquet", "shard-00001.parquet"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "some" / name).read_bytes()


def test_a_chat_that_the_template_refuses_is_counted(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('user first') }}{% endif %}"
    tokenizer.chat_template += tiny.CHAT_TEMPLATE
    path = tmp_path / "chats.jsonl"
    path.write_text(json.dumps({"messages": CHAT[::-1]}) + "\n" + json.dumps({"messages": CHAT}) + "\n")
    manifest = run(tmp_path / "out", path, tokenizer=tokenizer)
    assert manifest is not None
    assert (manifest["counts"]["documents"], manifest["counts"]["unreadable"]) == (1, 1)
    with pytest.raises(UserError, match="the chat template refuses text 1"):
        extract(model(), ["fine", CHAT[::-1]], SITE, tokenizer=tokenizer)


def test_vectors_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    broken, path = tiny.model("llama"), corpus_file(tmp_path)
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight[0] = float("inf")
    with pytest.raises(UserError, match=r"the vector of document corpus\.jsonl:\d+, position \d+ holds NaN"):
        run(tmp_path / "out", path, model=broken)
    assert not (tmp_path / "out").exists()


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("not json\n")
    with pytest.raises(UserError, match="no readable document in bad"):
        run(tmp_path / "out", tmp_path / "bad.jsonl")
    for change, message in (
        ({"positions": 0}, "positions must be 1 or more, found 0"),
        ({"window": 4}, "a window of 4 tokens has none from min_position 4 on"),
        ({"heldout": 1.0}, "heldout must be a share"),
        ({"next_tokens": -1}, "next_tokens must be 0 or more, found -1"),
    ):
        with pytest.raises(UserError, match=message):
            replace(OPTIONS, **change)
    with pytest.raises(UserError, match="a window of 300 tokens is beyond the model's context of 256"):
        run(tmp_path / "out", corpus_file(tmp_path), replace(OPTIONS, window=300))


def test_extraction_in_memory_reads_texts_and_chats(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    texts = ["a fox ran", CHAT, "the sea was grey"]
    found = extract(model(), texts, SITE, "0,-1", tokenizer)
    encoded = [
        tokenizer("a fox ran")["input_ids"],
        tokenizer.apply_chat_template(CHAT, return_dict=True)["input_ids"],
        tokenizer("the sea was grey")["input_ids"],
    ]
    exact = torch.cat([full_forward(ids)[[0, -1]] for ids in encoded])
    torch.testing.assert_close(found.vectors, exact, rtol=1e-5, atol=1e-5)
    assert found.vectors.dtype == torch.float32
    assert found.column("doc_id") == ["text-0", "text-0", "text-1", "text-1", "text-2", "text-2"]
    assert found.column("chat") == [False, False, True, True, False, False]
    assert found.column("text")[1] == "a fox ran"
    saved = Path(tiny.save_base("llama", tmp_path / "model"))
    torch.testing.assert_close(extract(saved, texts, SITE, "0,-1").vectors, found.vectors)
    sampled = extract(model(), texts, SITE, 3, tokenizer, seed=4, min_position=2)
    assert len(sampled) == 9
    assert min(sampled.column("position")) >= 2
    assert not set(sampled.column("token_id")) & set(tokenizer.all_special_ids)


def test_a_text_beyond_the_context_is_read_in_windows_by_its_own_positions() -> None:
    tokenizer, text = tiny.tokenizer(), "a fox ran over the hill and saw " * 12
    ids = tokenizer(text)["input_ids"]
    assert len(ids) > tiny.CONTEXT
    places = [0, 1, 99, 100, 101, 250, len(ids) - 1]
    found = extract(model(), [text], SITE, places, tokenizer, window=100)
    assert found.column("token_id") == [ids[p] for p in places]
    starts = [1 + max(p - 1, 0) // 99 * 99 for p in places]  # windows of 99 tokens behind the BOS
    assert found.column("window") == [0 if start == 1 else start for start in starts]
    exact = [
        full_forward([tokenizer.bos_token_id, *ids[start : start + 99]])[p - start + 1]
        for p, start in zip(places, starts, strict=True)
    ]
    torch.testing.assert_close(found.vectors, torch.stack(exact), rtol=1e-5, atol=1e-5)
    whole = extract(model(), ["short"], SITE, "all", tokenizer, window=100)
    assert whole.vectors.equal(extract(model(), ["short"], SITE, "all", tokenizer).vectors)


def test_in_memory_mistakes_are_one_line() -> None:
    tokenizer = tiny.tokenizer()
    for texts, positions, message in (
        ([""], "all", "the text is empty"),
        (["fine", ""], "all", "text 1 is empty"),
        (["fine", "x" * 300], "all", "text 1 has 301 tokens, the model's context is 256"),
        (["abc"], "9", "position 9 is outside the text: it has 4 tokens"),
        ("abc", "all", "put it in a list"),
    ):
        with pytest.raises(UserError) as error:
            extract(model(), texts, SITE, positions, tokenizer)
        assert message in str(error.value)
    with pytest.raises(UserError, match="pass tokenizer="):
        extract(model(), ["abc"], SITE)
    with pytest.raises(UserError, match="the tokenizer has no chat template"):
        extract(model(), [CHAT], SITE, tokenizer=tiny.tokenizer(chat=False))

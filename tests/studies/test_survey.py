"""The survey reads, explains, publishes and shows what was asked, resumes where it stopped, and judges claims."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny

from thinkaloud.activations.corpus import Document
from thinkaloud.activations.positions import special_ids
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, render
from thinkaloud.studies.results import Read, Results
from thinkaloud.studies.survey import Survey, analysis
from thinkaloud.studies.survey import run as survey
from thinkaloud.studies.survey.run import documents, source
from thinkaloud.studies.survey.turns import with_own_turns


def made(out: Path, nla: NLA, **changes: Any) -> tuple[Page, Folder]:
    fields = {"n": 24, "positions": 4, "ablated": 5, "max_tokens": 60, **changes}
    config = Survey(out=str(out), **fields)
    folder = Folder(out, "survey", config.asked())
    config.run(folder, nla)
    config.analyse(folder).write(folder.out)
    return config.page(folder), folder


@pytest.fixture(scope="module")
def pocket() -> NLA:
    return NLA.from_pretrained("pocket")


@pytest.fixture(scope="module")
def done(pocket: NLA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Folder]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "DOCUMENTS_AT_ONCE", 5)
        page, folder = made(tmp_path_factory.mktemp("survey") / "out", pocket)
    folder.page(render(page))
    return page, folder


def test_the_rows_are_what_was_asked_for(done: tuple[Page, Folder], pocket: NLA) -> None:
    rows = pq.read_table(done[1].out / "tables" / "explanations.parquet").to_pylist()
    assert [r["kind"] for r in rows] == ["text"] * 24 + ["chat"] * 24
    assert all(r["position"] >= 4 and r["token_class"] != "special" for r in rows)
    assert all(r["prefix"].endswith(r["token"]) and len(r["prefix"]) <= 200 for r in rows)
    assert len({(r["doc_id"], r["position"]) for r in rows}) == 48
    for r in rows:
        assert r["fve"] == pytest.approx(1 - r["mse"] / pocket.baseline.v, abs=1e-5)  # type: ignore[union-attr]


def test_a_row_is_what_reading_its_text_gives(done: tuple[Page, Folder], pocket: NLA) -> None:
    row = done[1].kept("explanations")[0]
    text = next(d.text for d in documents("pocket", "text", 0) if d.id == row["doc_id"])
    found = pocket.read(text or "", [row["position"]], max_tokens=60).positions[0]
    assert found.token == row["token"]
    assert found.explanations[0].text == row["text"]
    assert found.scores[0].mse == pytest.approx(row["mse"], abs=1e-4)


def test_datasets_and_duckdb_read_the_explanations(done: tuple[Page, Folder], tmp_path: Path) -> None:
    duckdb, datasets = pytest.importorskip("duckdb"), pytest.importorskip("datasets")
    path = str(done[1].out / "tables" / "explanations.parquet")
    loaded = datasets.load_dataset("parquet", data_files=path, cache_dir=str(tmp_path))["train"]
    assert (loaded.num_rows, set(loaded["kind"])) == (48, {"text", "chat"})
    assert sum(n for n, _ in duckdb.sql(f"SELECT count(*), avg(fve) FROM '{path}' GROUP BY kind").fetchall()) == 48


def test_every_section_says_what_it_shows_and_what_not_and_published_claims_are_judged(
    done: tuple[Page, Folder],
) -> None:
    page, folder = done
    titles = [section.title for section in page.sections]
    assert titles == [
        "Form",
        "Openings",
        "Templates",
        "Paragraphs",
        "Token classes",
    ]
    assert all(section.shows and section.shows_not for section in page.sections)
    claims = {claim["id"]: claim for claim in page.claims}
    assert list(claims) == ["B1", "B2", "B3", "B4", "B5", "B6", "C2"]
    assert all(part["why"] for part in claims["B3"]["parts"])
    assert len(claims["B4"]["parts"]) == 4  # each paragraph's replacement, and the last against the others
    assert {part["part"] for part in claims["B5"]["parts"]} == {
        "whitespace less whole word",
        "punctuation less whole word",
    }
    assert {p.stem for p in (folder.out / "figures").iterdir()} == {"classes", "deciles", "parts"}
    assert not re.search(
        r'(?:src|href)="(?!#|data:|results.parquet|tables)', (folder.out / "index.html").read_text(encoding="utf-8")
    )


def test_a_stopped_survey_goes_on_to_the_same_tables(
    done: tuple[Page, Folder], pocket: NLA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "DOCUMENTS_AT_ONCE", 5)
    explained, calls = survey.explained, []

    def stopping(sources: Sequence[dict[str, Any]], *rest: Any) -> Any:
        calls.append([s["doc_id"] for s in sources])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return explained(sources, *rest)

    monkeypatch.setattr(survey, "explained", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "out", pocket)
    made(tmp_path / "out", pocket)
    assert calls[0] not in calls[1:]  # the finished piece was kept
    for name in ("texts-read", "chats-read", "baseline", "explanations", "ablation"):
        first, second = (pq.read_table(out / "tables" / f"{name}.parquet") for out in (done[1].out, tmp_path / "out"))
        assert first.equals(second), name


def test_too_few_texts_and_no_chats_are_said_in_words(pocket: NLA, tmp_path: Path) -> None:
    corpus = tmp_path / "few.jsonl"
    texts = ["The old boat lay upside down on the shingle, and the tide came in.", "short", "x" * 5000]
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    page, folder = made(tmp_path / "out", pocket, texts=str(corpus), chats=str(corpus))
    assert page.facts["Texts"].startswith("8 positions of 2 texts")
    assert "24 were asked for, there were no more" in page.facts["Texts"]
    assert page.facts["Chats"] == f"left out: none that could be read in {corpus}"
    assert all("chats" not in row for row in Read(folder.out)["form"])
    assert next(claim for claim in page.claims if claim["id"] == "B2")["verdict"] == "not shown"
    render(page)


def test_a_corpus_of_neither_is_refused(pocket: NLA, tmp_path: Path) -> None:
    corpus = tmp_path / "few.jsonl"
    corpus.write_text('{"text": "ab"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="no position to read"):
        made(tmp_path / "out", pocket, texts=str(corpus), chats=str(corpus))


def test_empty_and_single_explanations_are_left_out_and_counted(
    pocket: NLA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thinkaloud.explanation import Explanation

    said = ["", "One block only.", "Two\nlines."]
    monkeypatch.setattr(
        pocket,
        "explain",
        lambda vectors, max_tokens: [[Explanation(said[i % 3], "", (1, 2), (), "eos")] for i in range(len(vectors))],
        raising=False,
    )
    page, folder = made(tmp_path / "out", pocket)
    table = pq.read_table(folder.out / "tables" / "explanations.parquet").to_pylist()
    assert all((r["mse"] is None) == (r["text"] == "") for r in table)
    found = Read(folder.out)
    form = {row["measure"]: row for row in found["form"]}
    shares = {kind: (table_share(table, kind, ""), table_share(table, kind, said[1])) for kind in ("text", "chat")}
    for kind, name in (("text", "texts"), ("chat", "chats")):
        full = 1 - shares[kind][0]
        assert form["empty, share"][name].value == pytest.approx(shares[kind][0])
        assert form["of one paragraph, share"][name].value == pytest.approx(shares[kind][1] / full)
    assert found.values["ablated"] <= 5
    assert "16 " in str(found.values["empty"]) + " "
    render(page)
    said[:] = ["", "", ""]
    page, _ = made(tmp_path / "empty", pocket)
    assert page.answer == "48 explanations, all empty."
    assert {claim["verdict"] for claim in page.claims} == {"not shown"}
    render(page)


def table_share(rows: list[dict[str, Any]], kind: str, text: str) -> float:
    own = [row["text"] == text for row in rows if row["kind"] == kind]
    return sum(own) / len(own)


def test_documents_of_the_pocket_world_are_of_the_kind_asked_for_and_each_once() -> None:
    def some(found: Iterator[Document]) -> list[Document]:
        return [next(found) for _ in range(60)]

    texts, chats = some(documents("pocket", "text", 0)), some(documents("pocket", "chat", 0))
    assert all(d.text and d.messages is None for d in texts)
    assert all(d.messages and d.text is None for d in chats)
    assert len({d.text for d in texts}) == 60
    assert [d.text for d in some(documents("pocket", "text", 1))] != [d.text for d in texts]


def test_documents_of_a_corpus_come_in_an_order_that_the_seed_draws(tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"{source}/{i}", "text": f"{source} {i}"}) for source in "ab" for i in range(50)]
    (tmp_path / "sorted.jsonl").write_text("\n".join(lines) + "\n")
    first, again, other = ([d.id for d in documents(str(tmp_path), "text", seed)] for seed in (0, 0, 1))
    assert sorted(first) == sorted(json.loads(line)["id"] for line in lines)
    assert first == again != other
    assert {name[0] for name in first[:20]} == {"a", "b"}, "a limit takes some of each source"


def test_long_texts_are_cut_and_special_tokens_never_chosen() -> None:
    tokenizer = tiny.tokenizer()
    how = (tokenizer, special_ids(tokenizer), 40, 100, 0)
    long = source(Document("long", text="a" * 500), "text", *how)
    assert long is not None
    assert (len(long["ids"]), long["positions"]) == (40, list(range(4, 40)))
    messages = ({"role": "user", "content": "hello"}, {"role": "assistant", "content": "ho"})
    chat = source(Document("chat", messages=messages), "chat", *how)
    assert chat is not None
    assert not {tokenizer.convert_ids_to_tokens(chat["ids"][p]) for p in chat["positions"]} & {tiny.USER, tiny.END}
    assert source(Document("short", text="ab"), "text", *how) is None


def test_each_assistant_turn_answers_what_stands_before_it_replies_included() -> None:
    tokenizer, asked = tiny.tokenizer(), []

    def reply(prompts: list[list[int]]) -> list[str]:
        asked.append([tokenizer.decode(prompt) for prompt in prompts])
        return [f"r{len(asked)}" for _ in prompts]

    turn = lambda role, content: {"role": role, "content": content}  # noqa: E731
    long = [
        turn("user", "q1"),
        turn("assistant", "old"),
        turn("user", "q2"),
        turn("assistant", "old"),
        turn("user", "q3"),
    ]
    brief, none = [turn("user", "only"), turn("assistant", "old")], [turn("user", "alone")]
    first = [turn("assistant", "old"), turn("user", "q")]
    found = with_own_turns([long, brief, none, first], tokenizer, reply, context=100)
    assert [m["content"] for m in found[0]] == ["q1", "r1", "q2", "r2", "q3"]
    assert [m["content"] for m in found[1]] == ["only", "r1"]
    assert found[2] == none
    assert found[3] == []  # nothing stands before it
    assert asked == [
        ["<|bos|><|user|>q1<|end|><|assistant|>", "<|bos|><|user|>only<|end|><|assistant|>"],
        ["<|bos|><|user|>q1<|end|><|assistant|>r1<|end|><|user|>q2<|end|><|assistant|>"],
    ]
    cut_off = with_own_turns([[turn("user", "x" * 200), turn("assistant", "old")]], tokenizer, reply, context=100)
    assert [m["role"] for m in cut_off[0]] == ["user"]
    with pytest.raises(UserError, match="chat template"):
        with_own_turns([brief], tiny.tokenizer(chat=False), reply, context=100)


def test_regenerated_turns_are_read(pocket: NLA, tmp_path: Path) -> None:
    page, folder = made(tmp_path / "out", pocket, n=8, regenerate=True, reply_tokens=5)
    read = pq.read_table(folder.out / "tables" / "chats-read.parquet").to_pylist()
    told = {
        r["doc_id"]: json.loads(r["messages"])
        for r in pq.read_table(folder.out / "tables" / "replies.parquet").to_pylist()
    }
    assert read
    for r in read:
        text = pocket.tokenizer.decode(r["ids"])
        assert all(m["content"] in text for m in told[r["doc_id"]])
    assert "M's own" in page.facts["Chats"]


def constructed(gap: float, n: int = 400) -> pd.DataFrame:
    """Rows in which whitespace and punctuation rebuild worse than words by `gap`."""
    dice = np.random.default_rng(0)
    kinds = np.array(["whitespace", "punctuation", "whole word", "number"], dtype=object)[np.arange(n) % 4]
    fve = 0.6 - gap * np.isin(kinds, ["whitespace", "punctuation"]) + dice.normal(0, 0.1, n)
    columns = {
        "kind": np.array(["text", "chat"], dtype=object)[np.arange(n) // 4 % 2],
        "doc": [f"d{i // 4}" for i in range(n)],
        "token_class": kinds,
        "token": "x",
        "fve": fve,
    }
    return pd.DataFrame(columns)


def read(found: Results, folder: Path) -> tuple[Read, dict[str, dict[str, str]]]:
    found.write(folder)
    back = Read(folder)
    return back, {c["id"]: {part["part"]: part["verdict"] for part in c["parts"]} for c in back.claims()}


@pytest.mark.parametrize(
    ("gap", "n", "verdicts"),
    [(0.2, 400, {"holds"}), (-0.2, 400, {"does not hold"}), (0.0, 400, {"open"}), (0.2, 40, {"not shown"})],
)
def test_the_verdict_on_hard_classes_is_that_of_the_truth(
    gap: float, n: int, verdicts: set[str], tmp_path: Path
) -> None:
    found = Results("survey", cluster="doc")
    analysis.tokens(found, constructed(gap, n))
    _, claims = read(found, tmp_path)
    assert list(claims["B5"]) == ["whitespace less whole word", "punctuation less whole word"]
    assert set(claims["B5"].values()) <= verdicts | ({"holds in direction only"} if gap == 0 else set())


def test_errors_by_class_and_decile(tmp_path: Path) -> None:
    found, rows = Results("survey", cluster="doc"), constructed(0.3)
    analysis.tokens(found, rows)
    back, _ = read(found, tmp_path)
    classes = {r["class"]: r for r in back["classes"]}
    assert sum(r["positions"] for r in classes.values()) == 400
    truth = rows.groupby("token_class")["fve"].mean()
    assert classes["whitespace"]["FVE"].value == pytest.approx(truth["whitespace"])
    assert classes["whitespace"]["FVE"].high < classes["number"]["FVE"].low
    parts = back["deciles"]
    assert [r["decile of error"] for r in parts] == list(range(1, 11))
    assert parts[0]["whitespace"] < 0.1 < 0.4 < parts[-1]["whitespace"]


THREE = (
    'A tale, of the sea.\n"The sea... So. It" is quoted.\nEnds on "sea"; next is "and." or "or." or "it..." and so on.'
)


def test_form_is_measured_by_kind_and_three_parts_are_seen(tmp_path: Path) -> None:
    texts = [THREE, "A tale, too", "", "Structured, three\n\nfour"] * 30  # a quotation may hold the end of a sentence
    rows = pd.DataFrame(
        {
            "kind": ["text", "text", "chat", "chat"] * 30,
            "doc": [f"d{i}" for i in range(120)],
            "text": texts,
            "finish": ["closed", "cut", "eos", "closed"] * 30,
            "quotes": [True, False, None, False] * 30,
            "fve": 0.5,
        }
    )
    found = Results("survey", cluster="doc")
    analysis.form(found, rows)
    back, claims = read(found, tmp_path)
    form = {r["measure"]: r for r in back["form"]}
    assert form["paragraphs"]["texts"].value == 2
    assert form["paragraphs"]["chats"].value == 2  # the empty one has none to count
    assert form["empty, share"]["chats"].value == 0.5
    assert form["in three parts, share"]["texts"].value == 0.5
    assert form["cut at the token limit, share"]["chats less texts"].value == -0.5
    assert claims["B1"][""] == claims["C2"][""] == "does not hold"  # a third of those that are not empty
    assert claims["B2"][""] == "holds in direction only"  # half of the chats, none of the texts: 0.73 was published


def test_templates_and_openings_are_counted_in_explanations(tmp_path: Path) -> None:
    names = ["Ada", "Bo", "Cy", "Di", "Ed", "Flo", "Gus", "Hal", "Ida", "Jo"]
    texts = [f'A tale of {name} and more.\nEnds on "{name}"; next is a comma.' for name in names] * 4
    rows = pd.DataFrame({"kind": ["text", "chat"] * 20, "doc": [f"d{i}" for i in range(40)], "text": texts})
    found = Results("survey", cluster="doc")
    analysis.common(found, rows, Survey(out="x"))
    back, _ = read(found, tmp_path)
    assert {r["template"] for r in back["templates"]} == {"a tale of _ and more", "ends on … next is a comma"}
    assert back["templates"][-1]["covered so far"] == 1
    assert {r["mostly"] for r in back["templates"]} == {"1 of 2 (100%)", "2 of 2 (100%)"}
    assert [(r["words"], r["opening"], r["explanations"]) for r in back["openings"][:2]] == [
        (1, "A", 40),
        (2, "A tale", 40),
    ]
    marked = Results("survey", cluster="doc")
    analysis.common(marked, rows.assign(text="Structured list: towns."), Survey(out="x"))
    assert [r["opening"] for r in read(marked, tmp_path)[0]["openings"]] == [
        "Structured",
        "Structured list",
        "Structured list: towns",
    ]


def test_a_pair_without_a_baseline_gets_that_of_the_survey(tmp_path: Path) -> None:
    nla = NLA(tiny.closing_verbalizer(), tiny.reconstructor())
    nla.model = tiny.model("llama")
    page, _ = made(tmp_path / "out", nla, n=8)
    assert page.facts["Baseline"].endswith("(this survey)")
    assert Baseline.from_dict(
        pq.read_table(tmp_path / "out" / "tables" / "baseline.parquet").to_pylist()[0]
    ).n == 16  # fmt: skip


def test_a_paragraph_that_could_not_be_replaced_is_said_to_be_untested(tmp_path: Path) -> None:
    """That the last paragraph matters most is half of the claim."""
    fve = pd.DataFrame({"doc_id": [f"d{i}" for i in range(60)], "of": 2, "whole": 0.9 - np.arange(60) / 1000})
    for column in ("without 1", "alone 1", "without 2", "alone 2"):
        fve[column] = np.arange(60) / 700 if column != "alone 2" else 0.7
    found = Results("survey", "doc")
    analysis.parts(found, fve)
    (claim,) = (one for one in read(found, tmp_path)[0].claims() if one["id"] == "B4")
    assert [part["verdict"] for part in claim["parts"]] == ["not shown", "not shown", "holds"]
    assert claim["verdict"] == "not shown"

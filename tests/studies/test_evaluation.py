"""An evaluation explains what was asked, resumes where it stopped, is redrawn from its tables, and counts failures."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from thinkaloud.activations import Activations
from thinkaloud.errors import UserError
from thinkaloud.evals.base import Evaluation, Measured, chosen
from thinkaloud.evals.explained import evaluation
from thinkaloud.pair.nla import NLA
from thinkaloud.studies.evaluation import Evaluate, run
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import render
from thinkaloud.studies.results import FILE, Read


def made(out: Path, nla: NLA, **changes: Any) -> Folder:
    config = Evaluate(out=str(out), **{"n": 24, "samples": 2, "max_tokens": 60, "only": ("reconstruction",), **changes})
    config.check()
    folder = Folder(out, config.name, config.asked())
    config.run(folder, nla)
    config.analyse(folder).write(folder.out)
    folder.page(render(config.page(folder), config.command()))
    return folder


@pytest.fixture(scope="module")
def pocket() -> NLA:
    return NLA.from_pretrained("pocket")


@pytest.fixture(scope="module")
def done(pocket: NLA, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return made(tmp_path_factory.mktemp("evaluation") / "out", pocket)


def tables(folder: Folder, name: str) -> pd.DataFrame:
    return pd.read_parquet(folder.out / "tables" / f"{name}.parquet")


def test_every_activation_is_explained_and_scored_as_by_the_pair_itself(done: Folder, pocket: NLA) -> None:
    data, greedy = tables(done, "data"), tables(done, "greedy")
    assert greedy["row"].tolist() == list(range(24)) == data["row"].tolist()
    assert set(data["kind"]) == {"text", "chat"}
    vectors = torch.from_numpy(np.stack(data["vector"].to_list()))
    said = [row[0].text for row in pocket.explain(vectors, max_tokens=60)]
    assert greedy["explanation"].tolist() == said
    closed = greedy["finish"] == "closed"
    assert 0 < closed.sum() < 24, "60 tokens are too few for some"
    assert (greedy["mse"][~closed] == 2.0).all()
    scores = pocket.score(said, vectors)
    for row in np.flatnonzero(closed):
        assert greedy["mse"][row] == pytest.approx(scores[int(row)].mse, abs=1e-4)
    sampled = tables(done, "sampled")
    assert sampled["row"].tolist() == [row for row in range(0, 24, run.SAMPLED) for _ in range(2)]
    assert set(sampled["sample"]) == {1, 2}


def test_the_figures_are_those_of_the_table(done: Folder, pocket: NLA) -> None:
    greedy, results = tables(done, "greedy"), Read(done.out)
    v = pocket.baseline.v  # type: ignore[union-attr]
    assert results.values["fve"].value == pytest.approx(1 - greedy["mse"].mean() / v)
    whole = next(row for row in results["eval-reconstruction"] if row["of"] == "all")
    assert whole["FVE"].value == results.values["fve"].value
    assert whole["failed"].value == pytest.approx((greedy["finish"] != "closed").mean())
    best = next(row for row in results["eval-reconstruction"] if row["of"] == "best of 2")
    assert best["FVE"].value == pytest.approx(1 - tables(done, "sampled").groupby("row")["mse"].min().mean() / v)
    page = (done.out / "index.html").read_text()
    assert "Reconstruction: FVE" in page
    assert "<svg" in page


def test_a_stopped_run_goes_on_and_comes_to_the_same(done: Folder, pocket: NLA, tmp_path: Path) -> None:
    shutil.copytree(done.out, tmp_path / "out")
    for name in ("tables/greedy.parquet", "tables/sampled.parquet", FILE, "results.json"):
        (tmp_path / "out" / name).unlink()
    again = made(tmp_path / "out", pocket)
    assert tables(again, "greedy").equals(tables(done, "greedy"))
    pd.testing.assert_frame_equal(pd.read_parquet(again.out / FILE), pd.read_parquet(done.out / FILE))


def test_an_evaluation_is_added_later_without_explaining_again(
    pocket: NLA, done: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done.out, tmp_path / "out")
    monkeypatch.setattr(run, "_explained", None)
    config = Evaluate(out=str(tmp_path / "out"), n=24, samples=2, max_tokens=60, only=("text_stats",))
    folder = Folder(tmp_path / "out", config.name, config.asked(), config.analysis)
    config.run(folder, pocket)
    config.analyse(folder).write(folder.out)
    assert Read(folder.out)["eval-text_stats"]
    assert not Read(folder.out)["eval-reconstruction"]


def test_it_is_redrawn_without_a_model(done: Folder, tmp_path: Path) -> None:
    shutil.copytree(done.out, tmp_path / "out")
    (tmp_path / "out" / FILE).unlink()
    config = Evaluate(out=str(tmp_path / "out"), n=24, samples=2, max_tokens=60, only=("reconstruction",))
    config.analyse(Folder(tmp_path / "out", config.name, config.asked())).write(tmp_path / "out")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / FILE), pd.read_parquet(done.out / FILE))


def test_stored_data_are_read_evenly_and_of_the_split(pocket: NLA, done: Folder, tmp_path: Path) -> None:
    kept = pq.read_table(done.out / "tables" / "data.parquet")
    vectors = torch.from_numpy(np.stack(kept["vector"].to_numpy()))
    split = ["heldout"] * 20 + ["train"] * 4
    table = kept.select(["doc_id", "position", "token_id", "token", "text", "chat", "next_tokens", "next_probs"])
    Activations(vectors, table.append_column("split", [split]), pocket.site).save(tmp_path / "data")
    found = made(tmp_path / "out", pocket, data=str(tmp_path / "data"), n=5, samples=1)
    assert tables(found, "data")["text"].tolist() == [kept["text"][i].as_py() for i in (0, 5, 10, 14, 19)]
    with pytest.raises(UserError, match=r"has no elsewhere rows: choose another --split"):
        made(tmp_path / "other", pocket, data=str(tmp_path / "data"), split="elsewhere")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"data": "nowhere"}, "no folder nowhere: data must be one that thinkaloud extract wrote"),
        ({"texts": "nowhere.txt"}, "no corpus at nowhere.txt"),
        ({"only": ("reconstuction",)}, "no evaluation 'reconstuction': did you mean reconstruction?"),
        ({"n": 0}, "n must be 1 or more, found 0"),
        ({"second": "smollm2/nothing"}, "smollm2/nothing"),
    ],
)
def test_what_cannot_be_evaluated(pocket: NLA, tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        made(tmp_path / "out", pocket, **changes)


def test_the_same_ar_as_second_is_accepted_and_one_of_another_site_refused(pocket: NLA) -> None:
    ar = run._ar("pocket", "--second", pocket)
    assert torch.equal(ar.reconstruct(["a storm at sea"]), pocket.reconstruct(["a storm at sea"]))
    with pytest.raises(UserError, match="smollm2 rebuilds resid_post:20, 576 wide, the pair resid_post:5, 256 wide"):
        run._ar("smollm2", "--second", pocket)


def test_one_of_ones_own_is_a_file_with_a_class(pocket: NLA, tmp_path: Path) -> None:
    file = tmp_path / "shouts.py"
    file.write_text(
        "from thinkaloud.evals.base import Evaluation\n"
        "from thinkaloud.evals.explained import evaluation\n"
        "@evaluation('shouts')\n"
        "class Shouts(Evaluation):\n"
        "    '''Shouts: the AR reads the words in capitals.'''\n"
        "    metric = 'FVE of the explanations in capitals.'\n"
        "    def measure(self, bench):\n"
        "        texts = [text.upper() for text in bench.texts]\n"
        "        return [{'row': i, 'mse': m} for i, m in enumerate(bench.mse(texts, range(len(texts))))]\n"
        "    def rows(self, found):\n"
        "        yield {'said': 'in capitals'}, {'FVE': found.fve(found.own['mse'], found.doc_of(found.own['row']))}\n"
    )
    folder = made(tmp_path / "out", pocket, only=(str(file),), samples=1)
    assert len(tables(folder, "shouts")) == 24
    (row,) = Read(folder.out)["eval-shouts"]
    assert row["FVE"].value < Read(folder.out).values["fve"].value


def test_a_function_of_the_explanations_is_one_too(pocket: NLA, tmp_path: Path) -> None:
    file = tmp_path / "brevity.py"
    file.write_text(
        "from thinkaloud.evals.explained import evaluation\n"
        "@evaluation\n"
        "def brevity(found):\n"
        "    return {'letters': found.share(len), 'documents': len(set(found.column('doc_id')))}\n"
        "brevity.__doc__ = 'How long explanations are.'\n"
    )
    folder = made(tmp_path / "out", pocket, only=(str(file),), samples=1)
    letters, documents = Read(folder.out)["eval-brevity"]
    assert letters["value"].value == pytest.approx(tables(folder, "greedy")["explanation"].str.len().mean())
    assert documents["value"] == tables(folder, "data")["doc_id"].nunique()


def test_what_an_evaluation_lacks_is_said_on_the_page_and_stops_no_other(pocket: NLA, tmp_path: Path) -> None:
    file = tmp_path / "wanting.py"
    file.write_text(
        "from thinkaloud.errors import UserError\n"
        "from thinkaloud.evals.base import Evaluation\n"
        "from thinkaloud.evals.explained import evaluation\n"
        "@evaluation\n"
        "class wanting(Evaluation):\n"
        "    metric = 'Nothing.'\n"
        "    def measure(self, bench):\n"
        "        raise UserError('this data has no moon: extract at night')\n"
        "    def rows(self, found):\n"
        "        return []\n"
    )
    folder = made(tmp_path / "out", pocket, only=(str(file), "reconstruction"), samples=1)
    assert Read(folder.out)["eval-reconstruction"]
    assert "this data has no moon: extract at night" in (folder.out / "index.html").read_text()


def test_a_suite_has_those_that_say_so() -> None:
    assert "reconstruction" in chosen("core")
    assert {one.suite for one in chosen("core").values()} == {"core"}
    assert set(chosen("core")) <= set(chosen("all"))
    for name, one in chosen("all").items():
        assert one.name == name
        assert one.title
        assert one.metric, f"{name} does not say what it measures"
    assert issubclass(evaluation["reconstruction"], Evaluation)


def test_an_evaluation_sees_documents_of_rows(done: Folder) -> None:
    data = tables(done, "data").drop(columns=["vector"])
    said = tables(done, "greedy").merge(data, on="row")
    found = Measured(said, pd.DataFrame(), baseline=NLA.from_pretrained("pocket").baseline)  # type: ignore[arg-type]
    assert found.doc_of([3, 0]).tolist() == [data["doc_id"][3], data["doc_id"][0]]
    assert found.fve(said["mse"], said["doc_id"]).n == 24

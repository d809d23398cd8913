"""`thinkaloud doctor` prints a line a check and says by its exit code whether all is well."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file

from thinkaloud import contract as contracts
from thinkaloud.cli import main
from thinkaloud.pair.formats import save


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    tiny.save_base("llama", folder / "base")
    save(tiny.verbalizer(), folder / "av")
    save(tiny.reconstructor(seed=0), folder / "ar")
    return folder


def test_all_good_is_0(pair: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(pair)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "all 21 checks good"
    assert "blocks.2.hook_resid_post" in out
    assert sum(line.startswith("ok ") for line in out.splitlines()) == 21


def test_something_off_is_1_with_advice(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ar = tmp_path / "ar"
    save(tiny.reconstructor(seed=3), ar)
    save_file({"weight": torch.eye(32)}, str(ar / "value_head.safetensors"))
    assert main(["doctor", str(pair / "base"), "--ar", str(ar)]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("off") and "AR head" in line)
    assert "is the identity, as before training" in lines[at]
    assert lines[at + 1].strip() == "train the AR, or fetch its head"
    assert lines[-1] == "2 of 14 checks off"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "expected a MODEL, --av or --ar to look at, found none"),
        (
            ["./not-there"],
            "no folder ./not-there: expected a checkpoint folder, a hub name (owner/name) or one of pocket, smollm2, "
            "gemma3-270m",
        ),
    ],
)
def test_nothing_to_look_at_is_2(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    seen = capsys.readouterr()
    assert seen.err == f"thinkaloud: {line}\n"
    assert seen.out == ""


def test_a_pair_that_reads_garbage_is_off(pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a warm start reached stands in its contract; a half that reads nothing makes the pair off."""
    folder = Path(shutil.copytree(pair, tmp_path / "pair"))
    for role, fve in (("av", -0.93), ("ar", -0.87)):
        contract = contracts.read(folder / role)
        figures = {"heldout_fve": fve, "heldout_fve_shuffled_pairs": -1.0}
        reached = {"rows": 366, "heldout": figures}
        contracts.write(replace(contract, stage="warmstart", provenance=reached), folder / role)
    assert main(["doctor", str(folder)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "AR held out AR on written text: FVE -0.87, shuffled pairs -1.00: worse than always answering" in out
    assert "AV held out AV → AR: FVE -0.93" in out
    assert "Give it more rows than 366" in out
    assert out.endswith("2 of 23 checks off")

"""What may be asked of a study is checked at once, in one line, without loading anything heavy."""

import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from thinkaloud.errors import UserError
from thinkaloud.studies.config import Study
from thinkaloud.studies.config import study as STUDIES

COUNTS = [
    (kind, field.name)
    for kind in STUDIES.values()
    for field in fields(kind)
    if type(field.default) is int and field.name != "seed"
]


@pytest.mark.parametrize(("kind", "name"), COUNTS, ids=[f"{kind.name}-{name}" for kind, name in COUNTS])
@pytest.mark.parametrize("value", [0, -3])
def test_numbers_of_things_are_one_or_more(kind: type[Study], name: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^{name} must be 1 or more, found {value}$"):
        kind(out="x", **{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 1.5}, "a threshold is a cosine, from -1 to 1, found 1.5"),
        ({"thresholds": (0.5, -2.0)}, "a threshold is a cosine, from -1 to 1, found -2.0"),
        ({"threshold": float("nan")}, "a threshold is a cosine, from -1 to 1, found nan"),
        ({"temperature": 0.0}, "temperature must be above 0, found 0.0: greedy rollouts are all alike"),
        ({"temperature": float("inf")}, "temperature must be above 0, found inf: greedy rollouts are all alike"),
    ],
)
def test_bad_values_of_anchors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        STUDIES["anchors"](out="x", **changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", STUDIES.values(), ids=list(STUDIES))
def test_every_study_says_what_decides_its_result(kind: type[Study]) -> None:
    study = kind(out="x", device="cpu")
    assert not {"out", "device"} & set(study.asked())
    assert study.asked() == kind(out="elsewhere").asked() != kind(out="x", seed=9).asked()
    json.dumps(study.asked())


@pytest.mark.parametrize("name", STUDIES)
def test_presets_fit_their_studies(name: str) -> None:
    assert STUDIES[name](out="x", **STUDIES[name].presets["pocket"]).nla == "pocket"


def test_it_imports_nothing_heavy() -> None:
    code = "import sys; from thinkaloud.studies.config import study; list(study); "
    code += "print(*(n for n in sys.modules if '.' not in n))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "json" in loaded
    assert not {"torch", "transformers", "numpy", "pyarrow", "matplotlib"} & set(loaded)

"""Every scheme's command is one that `thinkaloud train` and `thinkaloud eval` take."""

import importlib.util
import sys
from pathlib import Path

import pytest

from thinkaloud.cli import eval as evaluating
from thinkaloud.cli import train

spec = importlib.util.spec_from_file_location("schemes", Path(__file__).parent.parent / "recipes/ablations/schemes.py")
assert spec is not None
assert spec.loader is not None
schemes = importlib.util.module_from_spec(spec)
sys.modules["schemes"] = schemes
spec.loader.exec_module(schemes)


@pytest.mark.parametrize("name", schemes.SCHEMES)
def test_the_commands_say_what_the_scheme_is(name: str) -> None:
    args = schemes.Args(nla="pocket", data=Path("data"), out=Path("out"), steps=7)
    first, second = schemes.commands(args, name, "cpu")
    run = train.parse(first[first.index("train") + 1 :])
    assert (run.steps, run.out, run.rollout.group_size) == (7, "out/" + name, 8)
    assert run.kl.coef == (0.0 if name == "no-kl" else 0.1)
    assert run.optim.ar_written == (1.0 if name.startswith("reads-on") else 0.0)
    paid = {term for term in run.reward.weights() if term not in ("length", "repetition")}
    wanted = {"frozen": {"frozen"}, "ensemble": {"reconstruction", "frozen"}, "dropped": {"dropped"}}
    assert paid == wanted.get(name, paid)
    asked = evaluating.parse(second[second.index("eval") + 1 :]).study
    assert (asked.suite, asked.second, asked.out) == ("all", "pocket", f"out/{name}-eval")

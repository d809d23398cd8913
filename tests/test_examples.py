"""Every example in the docstrings of the public surface gives what it says."""

import doctest
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import thinkaloud

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
PUBLIC = sorted(set(thinkaloud.__all__) - {"__version__"})


@pytest.fixture(scope="module")
def session() -> dict[str, Any]:
    """What a reader has at hand who has followed the first examples: the pocket pair, and a reading of it."""
    nla = thinkaloud.NLA.from_pretrained("pocket")
    reading = nla.read("The old captain looked at the sea", positions="-2,-1")
    names = {name: getattr(thinkaloud, name) for name in PUBLIC}
    return {**names, "thinkaloud": thinkaloud, "np": np, "torch": torch, "nla": nla, "reading": reading}


def documented(thing: Any, name: str) -> Iterator[doctest.DocTest]:
    """The examples of a class with its own methods, or of a function."""
    things = {name: thing}
    if inspect.isclass(thing):
        things |= {f"{name}.{k}": inspect.unwrap(getattr(v, "__func__", v)) for k, v in vars(thing).items()}
    for where, one in things.items():
        found = doctest.DocTestParser().get_doctest(inspect.getdoc(one) or "", {}, where, None, 0)
        if not where.rpartition(".")[2].startswith("_") and callable(one) and found.examples:
            yield found


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_what_is_public(name: str, session: dict[str, Any]) -> None:
    examples = list(documented(getattr(thinkaloud, name), name))
    assert examples, f"{name} has no example in its docstring"
    for example in examples:
        runner, told = doctest.DocTestRunner(optionflags=FLAGS), []
        example.globs = dict(session)
        runner.run(example, out=told.append)
        assert not runner.failures, "".join(told)

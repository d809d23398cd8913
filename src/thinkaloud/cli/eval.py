"""Evaluate a pair, with controls beside every figure: results.parquet, figures and one page; a stopped run goes on."""

from typing import Any

from thinkaloud.cli import study
from thinkaloud.cli.study import Asked, kept, main

__all__ = ["Options", "kept", "main", "parse"]

Options = Asked[Any]


def parse(args: list[str]) -> Asked[Any]:
    """The evaluation that is asked for: `thinkaloud study evaluation` under its own name."""
    return study.parse(["evaluation", *args])

"""Evaluate a pair, with controls beside every figure: results.parquet, figures and one page; a stopped run goes on."""

from typing import Any

from thinkaloud.cli import study
from thinkaloud.cli.study import Asked, kept, main
from thinkaloud.studies.config import study as studies

__all__ = ["Options", "kept", "main", "parse"]

Options = Asked[studies["evaluation"]]  # type: ignore[misc]


def parse(args: list[str]) -> Asked[Any]:
    """The evaluation that is asked for: `thinkaloud study evaluation` under its own name."""
    return study.asked_for("evaluation", args, "thinkaloud eval")

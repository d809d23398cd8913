"""The rule-based writer without some kinds of claims: WITHOUT=register,tense thinkaloud explain --writer FILE."""

import os

from thinkaloud.writers import HeuristicWriter
from thinkaloud.writers.base import writer


@writer("without/4")
class Without(HeuristicWriter):
    def __init__(self) -> None:
        super().__init__(filter(None, os.environ.get("WITHOUT", "").split(",")))

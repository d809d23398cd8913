"""thinkaloud: natural language autoencoders. Read a model's activations in words, and see how far to believe them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from thinkaloud.activations import Activations, extract
    from thinkaloud.baseline import Baseline
    from thinkaloud.contract import Contract, Marker
    from thinkaloud.errors import UserError
    from thinkaloud.explanation import Explanation
    from thinkaloud.pair.nla import NLA, read
    from thinkaloud.pair.reading import Reading
    from thinkaloud.pair.reconstructor import Reconstructor
    from thinkaloud.pair.scores import Score, Scores
    from thinkaloud.pair.verbalizer import Verbalizer
    from thinkaloud.site import Site

# Names load when they are first used, so that importing the package stays quick.
_WHERE = {
    "Activations": "activations",
    "extract": "activations",
    "Baseline": "baseline",
    "Contract": "contract",
    "Marker": "contract",
    "UserError": "errors",
    "Explanation": "explanation",
    "NLA": "pair.nla",
    "read": "pair.nla",
    "Reading": "pair.reading",
    "Reconstructor": "pair.reconstructor",
    "Score": "pair.scores",
    "Scores": "pair.scores",
    "Verbalizer": "pair.verbalizer",
    "Site": "site",
}

__all__ = [
    "NLA",
    "Activations",
    "Baseline",
    "Contract",
    "Explanation",
    "Marker",
    "Reading",
    "Reconstructor",
    "Score",
    "Scores",
    "Site",
    "UserError",
    "Verbalizer",
    "__version__",
    "extract",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'thinkaloud' has no attribute {name!r}")
    return getattr(import_module(f"thinkaloud.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

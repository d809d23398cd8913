"""Who writes explanations: anything that turns contexts into texts."""

from .base import Context, Writer
from .cache import CachedWriter
from .heuristic import HeuristicWriter, explain_context

__all__ = ["CachedWriter", "Context", "HeuristicWriter", "Writer", "explain_context"]

"""Who writes explanations: anything that turns contexts into texts."""

from .asked import Asked
from .base import Context, Writer, Written
from .cache import CachedWriter
from .heuristic import HeuristicWriter, explain_context

__all__ = ["Asked", "CachedWriter", "Context", "HeuristicWriter", "Writer", "Written", "explain_context"]

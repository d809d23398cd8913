"""From text to vectors: corpora, positions, the forward pass that stops at a site, and the files that hold them."""

from thinkaloud.activations.corpus import Corpus, Document, read_corpus, split_of
from thinkaloud.activations.extract import extract
from thinkaloud.activations.official import read_official, write_official
from thinkaloud.activations.positions import choose_positions, parse_positions
from thinkaloud.activations.shards import extract_to
from thinkaloud.activations.store import read_manifest, write_explanations
from thinkaloud.activations.table import Activations

__all__ = [
    "Activations",
    "Corpus",
    "Document",
    "choose_positions",
    "extract",
    "extract_to",
    "parse_positions",
    "read_corpus",
    "read_manifest",
    "read_official",
    "split_of",
    "write_explanations",
    "write_official",
]

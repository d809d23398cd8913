"""What persists in explanations along a text, and when a fact stands in them against when the text states it.

Every position of some texts is explained and rebuilt. The tables: texts, readings (explanations, errors, vectors),
persistence (what is kept k positions on), facts and moments (when known facts are named), words (of the texts).
"""

from collections.abc import Sequence
from typing import Any

from thinkaloud.pair.nla import NLA
from thinkaloud.studies.config import Positions
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.mentions import facts_named, words_named
from thinkaloud.studies.page import Page
from thinkaloud.studies.persistence import claims_kept, vectors_kept
from thinkaloud.studies.positions_found import Found
from thinkaloud.studies.positions_page import page_of
from thinkaloud.studies.read_texts import read_table, said_of, text_table, texts_of, vectors_of

# Texts read at once: what a stop loses.
PIECE = 4


def run(config: Positions, folder: Folder, nla: NLA, watch: Watch) -> Page:
    """The study's page; its tables and figures are in the folder. A resumed run makes the same ones."""
    texts = texts_of(folder.table("texts", lambda: text_table(config, nla)))
    readings = folder.pieces(
        "readings",
        len(texts),
        PIECE,
        lambda some: read_table(config, nla, texts[some], some.start),
        watch,
    )
    said, (keys, vectors) = said_of(readings), vectors_of(readings)
    persistence = _kept(
        folder,
        "persistence",
        [*claims_kept(said, config.reach), *vectors_kept(keys, vectors, config.reach)],
    )
    named = facts_named(texts, said)
    facts, moments = (_kept(folder, name, found) for name, found in zip(("facts", "moments"), named, strict=True))
    words = _kept(folder, "words", words_named(texts, said))
    baseline = nla.baseline_for(vectors, [text for text, _, _ in keys], "the vectors read here")
    found = Found(config, nla.name, str(nla.site), baseline, texts, said, persistence, facts, moments, words)
    return page_of(found, folder)


def _kept(folder: Folder, name: str, records: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The same records, written as a table of this name if there are any."""
    if records:
        folder.table(name, lambda: rows(records))
    return records

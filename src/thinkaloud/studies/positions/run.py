"""The tables of the study of positions: every position of some texts explained.

Every position of some texts is explained and rebuilt. The tables: texts, readings (explanations, errors, vectors),
persistence (what is kept k positions on), facts and moments (when known facts are named), words (of the texts).
"""

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from thinkaloud.baseline import Baseline
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.mentions import facts_named, words_named
from thinkaloud.studies.positions.persistence import claims_kept, vectors_kept
from thinkaloud.studies.positions.read_texts import Records, Text, read_table, text_table, texts_of

PIECE = 4  # texts read at once: what a stop loses


def run(config: Positions, folder: Folder, nla: NLA, watch: Watch) -> None:
    """Make the study's tables and results. A resumed run makes the same ones."""
    texts = texts_of(folder.table("texts", lambda: text_table(config, nla)).to_pylist())
    readings = folder.pieces(
        "readings", len(texts), PIECE, lambda some: read_table(config, nla, texts[some], some.start), watch
    )
    said = readings.drop_columns(["vector"]).to_pylist()
    places = [one for one in said if one["sample"] == 0]
    vectors = np.stack(readings.filter(pc.field("sample") == 0)["vector"].to_numpy())
    facts, moments = facts_named(texts, said)
    tables = {
        "persistence": [*claims_kept(said, config.reach), *vectors_kept(places, vectors, config.reach)],
        "facts": facts,
        "moments": moments,
        "words": words_named(texts, said),
    }
    for name, records in tables.items():
        if records:
            folder.table(name, lambda records=records: rows(records))
    baseline = nla.baseline_for(vectors, [one["id"] for one in places], "the vectors read here")
    told = {
        "Pair": nla.name,
        "Site": str(nla.site),
        "Baseline": str(baseline),
        "Texts": f"{config.texts}: {len(texts):,} read, {sum(text.cut for text in texts):,} of them cut",
        "Positions": f"{len(places):,}, all but special tokens, of the first {config.longest} tokens of each",
        "Explanations": f"{config.samples} a position, "
        + ("greedy" if config.samples == 1 else "at temperature 1")
        + f", at most {config.max_tokens} tokens; {sum(not one['text'].strip() for one in said):,} empty",
        "Seed": str(config.seed),
    }
    folder.keep(told, _examples(texts, said, baseline), baseline=baseline.to_dict())


def _examples(texts: Sequence[Text], said: Records, baseline: Baseline) -> list[Example]:
    """Explanations at the quartiles of FVE, whatever the text."""
    by_id, fves = {text.id: text for text in texts}, [fve(one["mse"], baseline) for one in said]

    def example(i: int) -> Example:
        text, position = by_id[said[i]["id"]], said[i]["position"]
        prefix, note = text.text[: text.ends[position]], f"{text.family}, position {position}"
        return Example.of(prefix, text.tokens[position], said[i]["text"], fves[i], note)

    return [example(i) for i in at_quartiles(fves)]

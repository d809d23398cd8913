"""Study in one file: is what M is sure of, and what is long, rebuilt better?

    thinkaloud study docs/example_study.py --limit 40 --out studies/sureness

reads tokens of some texts, and asks whether FVE follows how probable M finds its likeliest next token, and the norm of
the vector. `run` makes tables with the pair, `analyse` makes numbers of the tables, and the template at the end says
them. What is asked of a study is in src/thinkaloud/studies/config.py, its numbers in results.py, its page in page.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import pandas as pd
import pyarrow as pa

from thinkaloud.activations import extract, read_corpus
from thinkaloud.pair.nla import NLA
from thinkaloud.stats import correlation, mean
from thinkaloud.studies.config import Study, corpora, study
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, examples, told
from thinkaloud.studies.results import Results

ASKED = {"sure": "probability of M's likeliest next token", "norm": "norm of the vector"}
QUARTERS = ("lowest", "second", "third", "highest")


@study
@dataclass(frozen=True, kw_only=True)
class Sureness(Study):
    """Does FVE follow how sure M is of the next token, and the norm of the vector?"""

    name: ClassVar[str] = "sureness"
    texts: str = "texts"
    """Texts: anything thinkaloud extract takes."""
    n: int = 60
    """Texts that are read, the first 1,000 characters of each."""
    each: int = 6
    """Tokens of a text that are read, drawn by the seed."""

    def check(self) -> None:
        corpora(self.texts)

    def run(self, folder: Folder, nla: NLA) -> None:
        """A row a token. A step in pieces goes on where it was stopped."""
        documents = list(islice((d for d in read_corpus(self.texts) if d.text), self.n))
        texts = [document.text[:1000] for document in documents if document.text]

        def piece(some: Sequence[str], start: int) -> pa.Table:
            found = extract(nla.model, some, nla.site, self.each, nla.model_tokenizer, seed=self.seed, next_tokens=1)
            said = [row[0].text for row in nla.explain(found.vectors, max_tokens=self.max_tokens)]
            columns = {name: found.column(name) for name in ("doc_id", "text", "token", "norm")}
            sure = [probabilities[0] for probabilities in found.column("next_probs")]
            fve = [score.fve for score in nla.score(said, found.vectors)]
            # Texts are numbered within the call.
            columns["doc_id"] = [f"{start}/{name}" for name in columns["doc_id"]]
            return pa.table({**columns, "said": said, "sure": sure, "fve": fve})

        rows = folder.pieces("readings", texts, 8, piece).to_pylist()
        said = [{**row, "prefix": row["text"], "text": row["said"], "note": row["doc_id"]} for row in rows]
        folder.keep({"Pair": nla.name, "Site": str(nla.site), "Baseline": str(nla.baseline)}, examples(said))

    def analyse(self, folder: Folder) -> Results:
        """FVE in each quarter of what is asked about, and its rank correlation, over whole texts."""
        rows = pd.DataFrame(folder.kept("readings"))
        found = Results(self.name, cluster="doc_id", seed=self.seed)
        found.value("whole", found.estimate(mean(rows["fve"]), rows))
        for column, label in ASKED.items():
            found.value(column, found.estimate(correlation(rows[column], rows["fve"]), rows))
            quarters = rows.assign(quarter=pd.qcut(rows[column].rank(method="first"), 4, labels=QUARTERS))
            numbers = {
                "tokens": len,
                "from": lambda own, column=column: float(own[column].min()),
                "to": lambda own, column=column: float(own[column].max()),
                "FVE": "fve",
            }
            found.by("quarters", quarters.sort_values(column), {"quarter": "quarter"}, numbers, of=label)
        return found

    def page(self, folder: Folder) -> Page:
        return told(PAGE, folder)


PAGE = """
{% set title %}Sureness{% endset %}
{% set question %}Is what M is sure of, and what is long, rebuilt better?{% endset %}
{% set answer %}
Over all tokens FVE is {{ shown(values.whole) }}. Its rank correlation with the probability of M's likeliest next token
is {{ shown(values.sure) }}, with the norm of the vector {{ shown(values.norm) }}.
{% endset %}
{% call section("FVE in quarters") %}
Tokens in four equal parts by how probable M finds its likeliest next token, and by the norm of their vectors.
{{ figure("quarters", "FVE in each quarter of the tokens; bars are 95 % intervals over texts.",
          "quarter", "FVE", panel="of", size=(7.2, 2.8)) }}
{{ table("quarters") }}
{% endcall %}
{% call limits() %}
Why. Tokens that M is sure of are those inside words and set phrases too, and norms differ from token to token.
{% endcall %}
"""

"""Evaluation of quotation: how much explanations quote, whether the text has it, and what FVE rests on it."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from thinkaloud.evals.base import Bench, Evaluation, Measured, Row, by_variant
from thinkaloud.evals.controls import foreign_rows
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.prose import quotations, without_quotations
from thinkaloud.stats import Statistic, mean, weighted

EACH = 4  # one explanation of so many is read without or by its quotations
QUANTITIES = ("share", "FVE", "FVE lost", "explanations")
LONG = 2  # words from which a quotation is more than a token


@evaluation("quotation")
class Quotation(Evaluation):
    """Quotation: how much is quoted, and FVE with quotations alone and without them"""

    source = "A public study of a released pair: on Gemma-3-27B quotations alone reach FVE 0.51, the rest alone −0.09."
    metric = (
        "A quotation stands between double quotes. It is verbatim where the text up to the token has it, letter by "
        "letter, white space aside; another document's text shows how often that is so by chance. FVE is that of every "
        f"{EACH}th explanation that did not fail and has a quotation: of its quotations alone, of the rest, and with … "
        "for what is quoted."
    )
    limits = (
        "Next tokens are quoted too, and need not stand in the text; quotations of two words or more are seldom those. "
        "The AR was trained on whole explanations, and parts of them look unlike those."
    )

    def measure(self, bench: Bench) -> list[dict[str, Any]]:
        quoting = [row for row in np.flatnonzero(bench.valid)[::EACH].tolist() if quotations(bench.texts[row])]
        whole = {row: bench.texts[row] for row in quoting}
        made = {
            "quotations alone": {
                row: "\n".join(f'"{said}"' for said in quotations(text)) for row, text in whole.items()
            },
            "without quotations": {row: _rest(text) for row, text in whole.items()},
            "quotations masked": {row: without_quotations(text) for row, text in whole.items()},
        }
        return [one for name, texts in made.items() for one in bench.variant(name, texts)]

    def rows(self, found: Measured) -> Iterator[Row]:
        greedy = found.greedy[found.greedy["valid"].astype(bool)]
        said, texts, docs = greedy["explanation"].tolist(), greedy["text"].tolist(), greedy["doc_id"]
        quoted = list(map(quotations, said))
        if not said:
            yield _line("no explanation closes and can be read")
            return

        def share(of: str, statistic: Statistic) -> Row:
            return _line(of, share=found.estimate(statistic, docs), explanations=len(said))

        yield share("explanations that quote", mean([float(bool(some)) for some in quoted]))
        words = [len(text.split()) for text in said]
        yield share("words that are quoted", weighted([len(" ".join(some).split()) for some in quoted], words))
        sources = {"verbatim in the text": texts}
        if docs.nunique() > 1:
            sources["verbatim in another document's text"] = [texts[i] for i in foreign_rows(docs.tolist(), found.seed)]
        for kind, least in {"quotations": 1, "quotations of two words or more": LONG}.items():
            some = [[one for one in each if len(one.split()) >= least] for each in quoted]
            for where, given in sources.items():
                held = [sum(verbatim(one, text) for one in each) for each, text in zip(some, given, strict=True)]
                yield share(f"{kind}, {where}", weighted(held, list(map(len, some))))
        if found.own.empty:
            why = f"none of every {EACH}th explanation quotes" if any(quoted) else "no explanation quotes"
            yield _line(f"FVE by parts is not to be had: {why}")
            return
        own = found.greedy.iloc[found.own["row"].unique()]
        yield _line("those that quote, whole", FVE=found.fve(own["mse"], own["doc_id"]), explanations=len(own))
        for labels, quantities in by_variant(found, "of"):
            yield _line(labels["of"], **quantities)


def _line(of: str, **quantities: Any) -> Row:
    """A row with a cell for each of QUANTITIES."""
    return {"of": of}, {name: quantities.get(name) for name in QUANTITIES}


def verbatim(quotation: str, text: str) -> bool:
    """Whether a text has a quotation; white space is alike, and a word piece is quoted with a hyphen before it."""
    said, there = (" ".join(one.split()) for one in (quotation, text))
    return said in there or (said[:1] == "-" and said[1:] in there)


def _quotations(text: str) -> str:
    return "\n".join(f'"{said}"' for said in quotations(text))


def _rest(text: str) -> str:
    return without_quotations(text).replace('"…"', "")

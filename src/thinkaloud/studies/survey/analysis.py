"""Numbers of the survey: the form of explanations, what paragraphs carry, and reconstruction by token and place."""

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.baseline import Baseline
from thinkaloud.evals.prose import quoted, repetition
from thinkaloud.explanation import split_parts
from thinkaloud.stats import correlation, difference, mean
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results
from thinkaloud.studies.survey import Survey, paragraphs
from thinkaloud.studies.survey.published import FILES
from thinkaloud.studies.survey.templates import QUOTATION, mine, openings
from thinkaloud.studies.survey.tokens import CLASSES

HARD, EASY = ("whitespace", "punctuation"), "whole word"
CLUSTERED = 20_000  # at most so many paragraphs or sentences are clustered
EDGES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 10**9)
PARTS = 5  # of about equal size, by frequency
OPENINGS, COMMONEST = (1, 2, 3), 6
_EXPECTS = re.compile(r"\b(?:tokens?|next|expect\w*|follow\w*|requir\w*|likely|complet\w*|ends? on)\b", re.IGNORECASE)


def results(config: Survey, folder: Folder) -> Results:
    """Every number of the page."""
    found = Results(config.name, cluster="doc", seed=config.seed)
    rows = pd.DataFrame(folder.kept("explanations"))
    rows["doc"] = rows["kind"] + "/" + rows["doc_id"]  # documents of the two kinds are told apart
    rows["fve"] = rows["fve"].astype(float)
    form(found, rows)
    common(found, rows, config)
    baseline = folder.kept("baseline")
    ablated = pd.DataFrame(folder.kept("ablation"))
    parts(found, paragraphs.effects(ablated, Baseline.from_dict(baseline[0]).v) if baseline else pd.DataFrame())
    read = [row["ids"] for name in FILES.values() for row in folder.kept(f"{name}-read")]
    counts = Counter(token for ids in read for token in ids) or Counter(rows["token"])
    rows["frequency"] = rows["token_id" if read else "token"].map(counts)
    tokens(found, rows)
    counts = rows["kind"].value_counts()
    found.test("B3", why="what M is thinking beside the surface is not known here")
    there = " and ".join(f"{counts[kind]:,} rows of {name}" for kind, name in FILES.items() if kind in counts)
    found.test("B6", why=f"a data set, no finding; this survey's is in dataset/: {there}")
    return found


def form(found: Results, rows: pd.DataFrame) -> None:
    """Lengths, parts, quotations and endings by kind, and the claims about them."""
    full = rows["text"].str.strip() != ""
    split = rows["text"].map(paragraphs.split)
    sentences = rows["text"].map(_sentences)
    measures: dict[str, Any] = {
        "words": rows["text"].str.split().str.len(),
        "sentences": sentences.map(len),
        "paragraphs": split.map(len),
        "of one paragraph, share": split.map(len) == 1,
        "in three parts, share": [_three(s.parts) for s in split],
        "share in quotation marks": rows["text"].map(quoted),
        "repeated word pairs, share": rows["text"].map(repetition),
    }
    columns = {name: pd.Series(values, rows.index).astype(float).where(full) for name, values in measures.items()}
    columns["quotes the text, share"] = rows["quotes"].astype(float)
    columns["empty, share"] = (~full).astype(float)
    columns["cut at the token limit, share"] = (rows["finish"] == "cut").where(rows["finish"].notna()).astype(float)
    for name, values in columns.items():
        if values.notna().any():
            found.row("form", {"measure": name}, _by_kind(found, rows, values))
    of_chats, opened = rows["kind"] == "chat", rows["text"].str.lower().str.startswith("structured").astype(float)
    found.test("B1", found.estimate(mean(columns["in three parts, share"]), rows, null=0.5), null=0.5)
    both, there = of_chats.nunique() == 2, rows["quotes"].notna().any()
    less = found.estimate(difference(opened, of_chats), rows) if both else None
    found.test("B2", less, why="" if both else "texts and chats are compared, and only one of them is there")
    quoting = found.estimate(mean(columns["quotes the text, share"]), rows, null=0.5) if there else None
    found.test("C2", quoting, why="" if there else "the texts are not there")
    found.value("explanations", len(rows))
    found.value("empty", int((~full).sum()))
    found.value("whole", found.estimate(mean(rows["fve"]), rows))


def common(found: Results, rows: pd.DataFrame, config: Survey) -> None:
    """The commonest openings, and the templates of paragraphs."""
    for n in OPENINGS:
        opening = pd.Series(openings(rows["text"].tolist(), n), rows.index)
        for one, count in opening[opening != ""].value_counts().head(COMMONEST).items():
            held = _by_kind(found, rows, (opening == one).astype(float))
            found.row("openings", {"words": n, "opening": one}, {"explanations": int(count), **held})
    splits = [paragraphs.split(text).parts for text in rows["text"]]
    every = [(i, f"{k} of {len(parts)}", part) for i, parts in enumerate(splits) for k, part in enumerate(parts, 1)]
    some = _some(every, config.seed)
    covered = 0
    for template in mine([part for _, _, part in some]):
        place, n = Counter(some[i][1] for i in template.members).most_common(1)[0]
        covered += len(template.members)
        holding = np.isin(np.arange(len(rows)), [some[i][0] for i in template.members]).astype(float)
        found.row(
            "templates",
            {"template": template.text},
            {
                "paragraphs": len(template.members),
                "covered so far": covered / len(some),
                "mostly": f"{place} ({n / len(template.members):.0%})",
                "an example": _short(some[template.members[0]][2]),
                **_by_kind(found, rows, pd.Series(holding, rows.index)),
            },
        )
    found.value("paragraphs", len(some))
    found.value("of paragraphs", len(every))


def parts(found: Results, fve: pd.DataFrame) -> None:
    """What each paragraph carries: FVE lost without it and with another's, and of it alone; claim B4."""
    if fve.empty:
        found.test("B4", why="no explanation with paragraphs was rebuilt")
        return
    fve = fve.assign(doc=fve["doc_id"])
    of = int(fve["of"].iloc[0])

    def level(values: pd.Series) -> Any:
        return found.estimate(mean(values), fve, null=0.0)

    for k in range(1, of + 1):
        lost = {"FVE lost without it": fve["whole"] - fve[f"without {k}"]}
        lost |= {"FVE lost with another's": fve["whole"] - fve[f"replaced {k}"]} if f"replaced {k}" in fve else {}
        name = f"{k} of {of}" + " (last)" * (k == of)
        numbers = {n: level(v) for n, v in {**lost, "FVE of it alone": fve[f"alone {k}"]}.items()}
        found.row("parts", {"paragraph": name}, numbers)
        less = level(fve[f"without {k}"] - fve[f"replaced {k}"]) if len(lost) == 2 else None
        why = "" if less else "no other document's explanation has as many paragraphs"
        found.test("B4", less, part=f"paragraph {k}: replaced less removed", why=why)
    # Without all before it, the last stands alone.
    found.test("B4", level(fve[f"alone {of}"] - fve[f"without {of}"]), part="last removed less all others removed")
    found.value("of", of)
    found.value("ablated", len(fve))
    found.value("ablated whole", level(fve["whole"]))
    if "other" in fve:
        found.value("another document's", level(fve["other"]))


def tokens(found: Results, rows: pd.DataFrame) -> None:
    """FVE by class, by decile of error, frequency and position; claim B5."""
    known = rows[rows["fve"].notna()].copy()
    known["kind"] = known["kind"].map(FILES)
    counted = {"positions": len, "FVE": lambda g: mean(g["fve"])}
    counted |= {f"FVE, {kind}": _of_kind(kind) for kind in FILES.values() if (known["kind"] == kind).any()}
    classed = known[known["token_class"].notna()]
    classed = classed.sort_values("token_class", key=lambda c: c.map(CLASSES.index), kind="stable")
    found.by("classes", classed, {"class": "token_class"}, counted)
    for name in HARD:
        both = classed[classed["token_class"].isin([name, EASY])]
        if both["token_class"].nunique() == 2:
            less = difference(both["fve"], both["token_class"] == name)
            found.test("B5", found.estimate(less, both), part=f"{name} less {EASY}")
        else:
            found.test("B5", part=f"{name} less {EASY}", why="no position of one of them was rebuilt")
    if len(classed) >= 10:
        part = pd.qcut(classed["fve"].rank(method="first", ascending=False), 10, labels=range(1, 11))
        for k, group in classed.groupby(part, observed=True):
            shares = {name: float((group["token_class"] == name).mean()) for name in classed["token_class"].unique()}
            found.row("deciles", {"decile of error": int(str(k))}, {"mean FVE": float(group["fve"].mean()), **shares})
    if known["frequency"].notna().any() and (known["token"] != "").any():
        count = known["frequency"]
        bins = np.unique(np.quantile(count, np.arange(1, PARTS) / PARTS))
        ranges = count.groupby(np.searchsorted(bins, count, side="right"))
        known["times"] = ranges.transform("min").map("{:,.0f} to ".format) + ranges.transform("max").map(
            "{:,.0f}".format
        )
        found.by(
            "frequency", known.sort_values("frequency", kind="stable"), {"times in the documents": "times"}, counted
        )
        found.value("frequency trend", found.estimate(correlation(known["frequency"], known["fve"]), known))
    if known["position"].notna().any():
        placed = known.assign(bin=pd.cut(known["position"], EDGES, right=False, labels=_ranges()))
        placed = placed[placed["bin"].notna()].sort_values("position", kind="stable")
        found.by("position", placed.astype({"bin": str}), {"position": "bin"}, counted)
        found.value("position trend", found.estimate(correlation(known["position"], known["fve"]), known))


def _sentences(text: str) -> list[str]:
    return [text[part.start : part.end] for part in split_parts(text) if part.kind == "sentence"]


def _three(parts: tuple[str, ...]) -> bool:
    """Whether there are three parts of one or two sentences, the second with a quotation, the last on what comes."""
    brief = len(parts) == 3 and all(1 <= len(_sentences(QUOTATION.sub("_", part))) <= 2 for part in parts)
    return brief and bool(QUOTATION.search(parts[1]) and _EXPECTS.search(parts[2]))


def _by_kind(found: Results, rows: pd.DataFrame, values: pd.Series) -> dict[str, Any]:
    """The mean for texts and for chats, and their difference where both are there."""
    kinds = [kind for kind in FILES if (rows["kind"] == kind).any()]
    out = {FILES[k]: found.estimate(mean(values[rows["kind"] == k]), rows[rows["kind"] == k]) for k in kinds}
    if len(kinds) == 2:
        out["chats less texts"] = found.estimate(difference(values, rows["kind"] == "chat"), rows)
    return out


def _of_kind(kind: str) -> Any:
    return lambda g: mean(g["fve"].where(g["kind"] == kind))


def _ranges() -> list[str]:
    return [f"{low:,} to {high - 1:,}" if high < EDGES[-1] else f"from {low:,}" for low, high in pairwise(EDGES)]


def _some(every: list[Any], seed: int) -> list[Any]:
    """At most CLUSTERED of them, in order."""
    keep = np.sort(np.random.default_rng(seed).permutation(len(every))[:CLUSTERED])
    return [every[int(i)] for i in keep]


def _short(text: str, most: int = 140) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"

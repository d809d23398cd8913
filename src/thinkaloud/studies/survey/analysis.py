"""Numbers of the survey: the form of explanations, what paragraphs carry, and reconstruction by token."""

import re
from typing import Any

import pandas as pd

from thinkaloud.activations.token_class import CLASSES
from thinkaloud.baseline import Baseline
from thinkaloud.evals.prose import quoted, repetition
from thinkaloud.sentences import spans
from thinkaloud.stats import difference, mean
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results
from thinkaloud.studies.survey import FILES, Survey, paragraphs
from thinkaloud.studies.survey.templates import QUOTATION, mine

HARD, EASY = ("whitespace", "punctuation"), "whole word"
CLUSTERED = 20_000  # at most so many paragraphs are searched for templates
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
    tokens(found, rows)
    counts = rows["kind"].value_counts()
    found.test("B3", why="what M is thinking beside the surface is not known here")
    there = " and ".join(f"{counts[kind]:,} rows of {name}" for kind, name in FILES.items() if kind in counts)
    found.test("B6", why=f"a data set, no finding; this survey's is tables/explanations.parquet: {there}")
    return found


def form(found: Results, rows: pd.DataFrame) -> None:
    """Lengths, parts, quotations and endings by kind, and the claims about them."""
    text, full = rows["text"], rows["text"].str.strip() != ""
    split = text.map(lambda said: paragraphs.split(said).parts)
    measures: dict[str, pd.Series] = {
        "words": text.str.split().str.len(),
        "sentences": text.map(_sentences),
        "paragraphs": split.map(len),
        "of one paragraph, share": split.map(len) == 1,
        "in three parts, share": split.map(_three),
        "share in quotation marks": text.map(quoted),
        "repeated word pairs, share": text.map(repetition),
    }
    columns = {name: values.astype(float).where(full) for name, values in measures.items()}
    columns["quotes the text, share"] = rows["quotes"].astype(float)
    columns["empty, share"] = (~full).astype(float)
    columns["cut at the token limit, share"] = (rows["finish"] == "cut").where(rows["finish"].notna()).astype(float)
    for name, values in columns.items():
        if values.notna().any():
            found.row("form", {"measure": name}, _by_kind(found, rows, values))
    of_chats, opened = rows["kind"] == "chat", text.str.lower().str.startswith("structured").astype(float)
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
    for n in OPENINGS:  # without the mark that ends them
        opening = rows["text"].str.split().str[:n].str.join(" ").str.rstrip(",.;:")
        for one, count in opening[opening != ""].value_counts().head(COMMONEST).items():
            held = _by_kind(found, rows, (opening == one).astype(float))
            found.row("openings", {"words": n, "opening": one}, {"explanations": int(count), **held})
    every = rows["text"].map(lambda said: paragraphs.split(said).parts).explode().dropna().to_frame("part")
    every["at"] = every.groupby(level=0).cumcount() + 1
    every["of"] = every.groupby(level=0)["at"].transform("max")
    some = every.sample(min(len(every), CLUSTERED), random_state=config.seed).sort_index(kind="stable")
    covered = 0
    for template in mine(some["part"].tolist()):
        members = some.iloc[list(template.members)]
        covered += len(members)
        where = members["at"].astype(str) + " of " + members["of"].astype(str)
        mostly, example = where.mode()[0], str(members["part"].iloc[0])
        numbers = {
            "paragraphs": len(members),
            "covered so far": covered / len(some),
            "mostly": f"{mostly} ({(where == mostly).mean():.0%})",
            "an example": example if len(example) <= 140 else f"{example[:139]}…",
        }
        holding = pd.Series(rows.index.isin(members.index), rows.index).astype(float)
        found.row("templates", {"template": template.text}, {**numbers, **_by_kind(found, rows, holding)})
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
    """FVE by class of token, and classes by decile of error; claim B5."""
    classed = rows[rows["fve"].notna() & rows["token_class"].notna()]
    counted: dict[str, Any] = {"positions": len, "FVE": "fve"}
    for kind, name in FILES.items():
        if (classed["kind"] == kind).any():
            counted[f"FVE, {name}"] = lambda g, kind=kind: mean(g["fve"].where(g["kind"] == kind))
    classed = classed.sort_values("token_class", key=lambda c: c.map(CLASSES.index), kind="stable")
    found.by("classes", classed, {"class": "token_class"}, counted)
    for name in HARD:
        both = classed[classed["token_class"].isin([name, EASY])]
        there = both["token_class"].nunique() == 2
        less = found.estimate(difference(both["fve"], both["token_class"] == name), both) if there else None
        why = "" if there else "no position of one of them was rebuilt"
        found.test("B5", less, part=f"{name} less {EASY}", why=why)
    if len(classed) >= 10:
        part = pd.qcut(classed["fve"].rank(method="first", ascending=False), 10, labels=range(1, 11))
        shares = pd.crosstab(part, classed["token_class"], normalize="index")[classed["token_class"].unique()]
        means = classed["fve"].groupby(part, observed=True).mean()
        for k, own in zip(shares.index, shares.to_dict("records"), strict=True):
            found.row("deciles", {"decile of error": int(k)}, {"mean FVE": float(means[k]), **own})


def _sentences(text: str) -> int:
    return len(list(spans(text)))


def _three(parts: tuple[str, ...]) -> bool:
    """Whether there are three parts of one or two sentences, the second with a quotation, the last on what comes."""
    brief = len(parts) == 3 and all(1 <= _sentences(QUOTATION.sub("_", part)) <= 2 for part in parts)
    return brief and bool(QUOTATION.search(parts[1]) and _EXPECTS.search(parts[2]))


def _by_kind(found: Results, rows: pd.DataFrame, values: pd.Series) -> dict[str, Any]:
    """The mean for texts and for chats, and their difference where both are there."""
    kinds = [kind for kind in FILES if (rows["kind"] == kind).any()]
    out = {FILES[k]: found.estimate(mean(values[rows["kind"] == k]), rows[rows["kind"] == k]) for k in kinds}
    if len(kinds) == 2:
        out["chats less texts"] = found.estimate(difference(values, rows["kind"] == "chat"), rows)
    return out

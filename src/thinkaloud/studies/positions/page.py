"""The page of the study of positions, drawn from its tables."""

from collections.abc import Mapping
from itertools import cycle
from statistics import fmean
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.render import plots
from thinkaloud.render.page import render
from thinkaloud.render.plots import BLUE, GREY
from thinkaloud.render.text import minus
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.positions import Positions, analysis
from thinkaloud.studies.positions.analysis import fve_of, share
from thinkaloud.studies.positions.claims import KINDS
from thinkaloud.studies.positions.mentions import ONCE_SAID, Records, Text, by_text, texts_of
from thinkaloud.studies.positions.persistence import CURVES, above, kept

PALETTE = ("#c8553d", "#5b8e3e", "#8a5fb0", "#b8860b", "#4a4e54")
AROUND = range(-12, 7)  # tokens around a statement that the figure shows


def page(config: Positions, folder: Folder) -> Page:
    """The page of the study."""
    reach, size = config.reach, (7.6, 2.9)
    texts, records = texts_of(folder.kept("texts")), folder.kept("readings", but=["vector"])
    said = Frame.of(records, "id", config.seed)
    names = ("persistence", "facts", "moments", "words")
    persistence, facts, moments, words = (Frame.of(folder.kept(name), "id", config.seed) for name in names)
    baseline = Baseline.from_dict(folder.results()["baseline"])
    next_ = {kind: above(persistence.at(claim=kind, k=1)) for kind in KINDS}
    ranked = sorted((item for item in next_.items() if np.isfinite(item[1].value)), key=lambda item: -item[1].value)
    fresh = facts.at(stands=False).known("stated")
    fresh = fresh.where(fresh["places"] > 0)
    if len(fresh.known("chance")):
        fresh = fresh.known("chance")
    early = analysis.early(words)
    words_table = analysis.words_table(words)
    return told(
        __package__,
        folder,
        config=config,
        known=lambda found: bool(np.isfinite(found.value)),
        one_text=len(texts) == 1,
        once_said=ONCE_SAID,
        whole=fve_of(said, baseline),
        most=ranked[0] if ranked else None,
        least=min(ranked, key=lambda item: item[1].value, default=None),
        fresh=share(fresh, "before") if len(fresh) else None,
        fresh_chance=share(fresh, "chance"),
        early=share(early, "early") if len(words) else None,
        early_chance=share(early, "chance"),
        along=analysis.along(said, baseline),
        along_figure=folder.figure("along", _along, said, baseline),
        by_family=analysis.by_family(said, baseline),
        persists=analysis.persists(persistence, reach),
        persists_figure=folder.figure("persistence", _persists, persistence, reach, size=(7.6, 4.4)),
        facts=analysis.facts_table(facts),
        facts_figure=folder.figure("facts", _facts, moments, size=size) if len(moments) else "",
        words=words_table,
        words_figure=folder.figure("words", _words, words_table, size=(7.6, 3.0)) if words_table else "",
        examples=_examples(texts, by_text(records), baseline),
    )


def _along(figure: Any, said: Frame, baseline: Baseline) -> None:
    axes, bins = figure.subplots(), dict(analysis.bins(said))
    plots.band(
        axes, range(len(bins)), [fve_of(some, baseline) for some in bins.values()], "all", color=BLUE, linewidth=2.0
    )
    families = sorted(set(said["family"]))
    for colour, family in zip(cycle(PALETTE), families if len(families) > 1 else [], strict=False):
        own = [fve_of(some.at(family=family), baseline) for some in bins.values()]
        axes.plot(range(len(bins)), [one.value for one in own], color=colour, linewidth=1, label=family)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xticks(range(len(bins)), list(bins))
    axes.set(xlabel="tokens from the start of the text", ylabel="FVE")
    figure.legend(loc="outside right upper")


def _persists(figure: Any, persistence: Frame, reach: int) -> None:
    grid = figure.subplots(2, -(-len(CURVES) // 2), sharex=True, sharey=True).ravel()
    for axes, kind in zip(grid, CURVES, strict=False):
        here = persistence.at(claim=kind)
        found = {k: some for k in range(reach + 1) if len(some := here.at(k=k))}
        plots.band(axes, found, [kept(some) for some in found.values()], "same text", color=BLUE)
        for part, style, label in (("chance", "--", "other texts"), ("kin", ":", "other texts of its kind")):
            levels = [kept(some, part).value for some in found.values()]
            axes.plot(list(found), levels, style, color=GREY, linewidth=1.2, label=label)
        axes.set_title(kind)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    for axes in grid[len(CURVES) :]:
        axes.axis("off")
    _shared(figure, "tokens further on", "share kept (cosine for vectors)", 3)


def _facts(figure: Any, moments: Frame) -> None:
    families = sorted(moments.by("family"))
    grid = np.atleast_1d(figure.subplots(1, len(families), sharey=True))
    for axes, (family, own) in zip(grid, families, strict=True):
        found = {t: some for t in AROUND if len(some := own.at(to_stated=t))}
        for name, label, style, colour in (
            ("named", "its own value", "-", BLUE),
            ("chance", "values of other episodes", "--", GREY),
        ):
            plots.band(axes, found, [share(some, name) for some in found.values()], label, style, color=colour)
        axes.set_xticks(AROUND[::6])
        axes.axvline(-0.5, color=GREY, linewidth=0.6)
        axes.set(title=family, ylim=(0, 1.02))
    _shared(figure, "tokens from the first token of the statement", "explanations that name it", 2)


def _words(figure: Any, table: Records) -> None:
    kinds, names = (list(dict.fromkeys(row[column] for row in table)) for column in ("", "first named"))
    for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
        here, places = [row for row in table if row[""] == kind], np.arange(len(names))
        for column, shift, colour in (("share", -0.2, BLUE), ("chance", 0.2, GREY)):
            label = "this text's explanations" if column == "share" else "other texts' explanations"
            axes.barh(places + shift, [row[column].value for row in here], 0.38, color=colour, label=label)
            for place, row in zip(places + shift, here, strict=True):
                axes.plot([row[column].low, row[column].high], [place, place], color="#1d2329", linewidth=0.8)
        axes.set_yticks(places, names)
        axes.set(title=kind, ylim=(len(names) - 0.5, -0.5))
    _shared(figure, "share of words", "", 2)


def _shared(figure: Any, across: str, up: str, columns: int) -> None:
    """The labels and the legend of panels that share their axes."""
    figure.supxlabel(across, fontsize=9)
    if up:
        figure.supylabel(up, fontsize=9)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=columns)


def _examples(texts: list[Text], spoken: dict[str, Any], baseline: Baseline) -> str:
    """One text of each kind, the one whose mean error is the median, a line a position."""
    shown = []
    for family in sorted({text.family for text in texts}):
        some = [text for text in texts if text.family == family]
        some.sort(key=lambda text: (fmean(one["mse"] for one in spoken[text.id]), text.id))
        text = some[(len(some) - 1) // 2]
        lines = [_line(text, one, baseline) for one in spoken[text.id] if one["sample"] == 0]
        shown.append({"title": f"{family}: {text.text.strip()[:90]}", "lines": lines})
    return render("positions.html", texts=shown)


def _line(text: Text, one: Mapping[str, Any], baseline: Baseline) -> dict[str, str]:
    at = one["position"]
    marks = [f"{fact.name} = {fact.value}, settled" for fact in text.facts if fact.settled == at]
    marks += [f"{fact.name} = {fact.value}, said" for fact in text.facts if fact.stated == at]
    return {
        "token": text.tokens[at].replace("\n", "⏎"),
        "fve": minus(f"{fve(one['mse'], baseline):.2f}"),
        "said": one["text"],
        "facts": "; ".join(marks),
    }

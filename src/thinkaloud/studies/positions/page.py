"""The page of the study of positions, drawn from its tables."""

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
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.positions import Positions, analysis
from thinkaloud.studies.positions.analysis import Records, by_claim, fve_of, share
from thinkaloud.studies.positions.claims import KINDS
from thinkaloud.studies.positions.mentions import ONCE_SAID
from thinkaloud.studies.positions.persistence import CURVES, above, kept
from thinkaloud.studies.positions.read_texts import Said, Text, by_text, said_of, texts_of

PALETTE = ("#c8553d", "#5b8e3e", "#8a5fb0", "#b8860b", "#4a4e54")
AROUND = range(-12, 7)  # tokens around a statement that the figure shows


def page(config: Positions, folder: Folder) -> Page:
    """The page of the study."""
    seed, reach = config.seed, config.reach
    texts, said = texts_of(folder.kept("texts")), said_of(folder.kept("readings", but=["vector"]))
    baseline = Baseline.from_dict(folder.results()["baseline"])
    persistence, facts, moments, words = (folder.kept(name) for name in ("persistence", "facts", "moments", "words"))
    next_ = {kind: above(by_claim(persistence)[kind, 1], seed=seed) for kind in KINDS}
    ranked = sorted((item for item in next_.items() if np.isfinite(item[1].value)), key=lambda item: -item[1].value)
    fresh = [row for row in facts if not row["stands"] and row["stated"] is not None and row["places"]]
    fresh = [row for row in fresh if row["chance"] is not None] or fresh
    early = [analysis.early(row) for row in words]
    words_table = analysis.words_table(words, seed)
    size = (7.6, 2.9)
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
        fresh=share(fresh, "before", seed) if fresh else None,
        fresh_chance=share(fresh, "chance", seed),
        early=share(early, "early", seed) if early else None,
        early_chance=share(early, "chance", seed),
        along=analysis.along(said, baseline, seed),
        along_figure=folder.figure("along", lambda figure: _along(figure, said, baseline, seed)),
        by_family=analysis.by_family(said, baseline, seed),
        persists=analysis.persists(persistence, reach, seed),
        persists_figure=folder.figure(
            "persistence", lambda figure: _persists(figure, persistence, reach, seed), (7.6, 4.4)
        ),
        facts=analysis.facts_table(facts, seed),
        facts_figure=folder.figure("facts", lambda figure: _facts(figure, moments, seed), size) if moments else "",
        words=words_table,
        words_figure=folder.figure("words", lambda figure: _words(figure, words_table), (7.6, 3.0)) if words else "",
        examples=_examples(texts, said, baseline),
    )


def _along(figure: Any, said: list[Said], baseline: Baseline, seed: int) -> None:
    axes, bins = figure.subplots(), analysis.bins(said)
    whole = [fve_of(some, baseline, seed) for some in bins.values()]
    plots.band(axes, range(len(bins)), whole, "all", color=BLUE, linewidth=2.0)
    families = sorted({one.family for one in said})
    for colour, family in zip(cycle(PALETTE), families if len(families) > 1 else [], strict=False):
        own = [fve_of([one for one in some if one.family == family], baseline) for some in bins.values()]
        axes.plot(range(len(bins)), [one.value for one in own], color=colour, linewidth=1, label=family)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xticks(range(len(bins)), list(bins))
    axes.set_xlabel("tokens from the start of the text")
    axes.set_ylabel("FVE")
    figure.legend(loc="outside right upper")


def _persists(figure: Any, persistence: Records, reach: int, seed: int) -> None:
    of = by_claim(persistence)
    grid = figure.subplots(2, -(-len(CURVES) // 2), sharex=True, sharey=True).ravel()
    for axes, kind in zip(grid, CURVES, strict=False):
        ks = [k for k in range(reach + 1) if of[kind, k]]
        plots.band(axes, ks, [kept(of[kind, k], seed=seed) for k in ks], "same text", color=BLUE)
        for part, style, label in (("chance", "--", "other texts"), ("kin", ":", "other texts of its kind")):
            levels = [kept(of[kind, k], part, seed).value for k in ks]
            axes.plot(ks, levels, style, color=GREY, linewidth=1.2, label=label)
        axes.set_title(kind)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    for axes in grid[len(CURVES) :]:
        axes.axis("off")
    figure.supxlabel("tokens further on", fontsize=9)
    figure.supylabel("share kept (cosine for vectors)", fontsize=9)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def _facts(figure: Any, moments: Records, seed: int) -> None:
    families = sorted({row["family"] for row in moments})
    grid = np.atleast_1d(figure.subplots(1, len(families), sharey=True))
    for axes, family in zip(grid, families, strict=True):
        at = {t: [r for r in moments if r["family"] == family and r["to_stated"] == t] for t in AROUND}
        ts = [t for t in AROUND if at[t]]
        plots.band(axes, ts, [share(at[t], "named", seed) for t in ts], "its own value", color=BLUE)
        chance = [share(at[t], "chance", seed) for t in ts]
        plots.band(axes, ts, chance, "values of other episodes", "--", color=GREY)
        axes.set_xticks(AROUND[::6])
        axes.axvline(-0.5, color=GREY, linewidth=0.6)
        axes.set_title(family)
        axes.set_ylim(0, 1.02)
    figure.supxlabel("tokens from the first token of the statement", fontsize=9)
    figure.supylabel("explanations that name it", fontsize=9)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


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
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(kind)
    figure.supxlabel("share of words", fontsize=9)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)


def _examples(texts: list[Text], said: list[Said], baseline: Baseline) -> str:
    """One text of each kind, the one whose mean error is the median, a line a position."""
    spoken, shown = by_text(said), []
    for family in sorted({text.family for text in texts}):
        some = [text for text in texts if text.family == family]
        some.sort(key=lambda text: (fmean(one.mse for one in spoken[text.id]), text.id))
        text = some[(len(some) - 1) // 2]
        lines = [_line(text, one, baseline) for one in spoken[text.id] if one.sample == 0]
        shown.append({"title": f"{family}: {text.text.strip()[:90]}", "lines": lines})
    return render("positions.html", texts=shown)


def _line(text: Text, one: Said, baseline: Baseline) -> dict[str, str]:
    marks = [f"{fact.name} = {fact.value}, settled" for fact in text.facts if fact.settled == one.position]
    marks += [f"{fact.name} = {fact.value}, said" for fact in text.facts if fact.stated == one.position]
    token = text.tokens[one.position].replace("\n", "⏎")
    return {
        "token": token,
        "fve": minus(f"{fve(one.mse, baseline):.2f}"),
        "said": one.text,
        "facts": "; ".join(marks),
    }

"""How is it told when facts and words first stand in the words? Two sections of the page, their tables and figures."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from thinkaloud.studies.folder import Folder
from thinkaloud.studies.mentions import KINDS_OF_WORDS, NEVER, ONCE_SAID, WHEN
from thinkaloud.studies.page import Section
from thinkaloud.studies.positions_found import FAINT, INK, Found, band, share

AROUND = range(-12, 7)  # tokens around a statement that the figure shows


def facts_section(found: Found, folder: Folder) -> Section:
    """When a fact is first named, against where the text settles and states it."""
    seed, groups = found.config.seed, defaultdict(list)
    for row in found.facts:
        groups[row["family"], row["fact"], row["stated"] is not None, row["stands"]].append(row)
    table = []
    for (family, fact, stated, stands), some in sorted(groups.items()):
        early = [r | {"ahead": r["stated"] - r["named"]} for r in some if stated and r["before"]]
        late = [r | {"delay": r["named"] - r["settled"]} for r in some if r["named"] is not None]
        table.append(
            {
                "fact": f"{family}: {fact}" if stated else f"{family}: {fact} (not stated)",
                "in the text already": stands,
                "facts": len(some),
                "named before": share(some, "before", seed),
                "chance": share(some, "chance", seed),
                "difference": share(some, "before", seed, less="chance"),
                "delay": share(late, "delay", seed),
                "ahead": share(early, "ahead", seed),
                "named once said": share(some, "once_said", seed),
            }
        )
    families = sorted({row["family"] for row in found.moments})

    def draw(figure: Any) -> None:
        grid = np.atleast_1d(figure.subplots(1, len(families), sharey=True))
        for axes, family in zip(grid, families, strict=True):
            at = {t: [r for r in found.moments if r["family"] == family and r["to_stated"] == t] for t in AROUND}
            ts = [t for t in AROUND if at[t]]
            band(axes, ts, [share(at[t], "named", seed) for t in ts], INK, "its own value")
            band(axes, ts, [share(at[t], "chance", seed) for t in ts], FAINT, "values of other episodes", "--")
            axes.set_xticks(AROUND[::6])
            axes.axvline(-0.5, color=FAINT, linewidth=0.6)
            axes.set_title(family)
            axes.set_ylim(0, 1.02)
        figure.supxlabel("tokens from the first token of the statement", fontsize=9)
        figure.supylabel("explanations that name it", fontsize=9)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)

    return Section(
        "When a fact first stands in the words",
        "Facts that a text settles at one word and may say later. Named before: an explanation between the two (or up "
        "to the end, if it is never said) names the value; chance is how often the same explanations name the value "
        "that the fact has in other texts of the family. The figure follows explanations from the settling on, by "
        f"their distance to the statement. Delay: tokens from the settling to the first naming. Ahead: tokens from "
        f"there to the statement. Named once said: within {ONCE_SAID} tokens of its start." + found.alone,
        "Where the value is in the text already, or a number of the sum itself, naming it may be copying. A value "
        "counts as named wherever it stands in an explanation, also as one of several next tokens, and not in other "
        "words for it. A rhyme counts as named by any word with that sound or ending, so its chance level is high. "
        "Delay and ahead are over those that are named (so early) only.",
        table,
        folder.figure("facts", draw, (7.6, 2.9)) if families else "",
    )


def words_section(found: Found, folder: Folder) -> Section:
    """When the text's own words are first named, against where they stand in it."""
    seed, names = found.config.seed, [*WHEN, NEVER]
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in found.words:
        for name in names:
            chance = row["chance"][name]
            cells.setdefault((row["kind"], name), []).append(
                {"id": row["id"], "is": row["when"] == name, "chance": chance}
            )
    kinds = [kind for kind in KINDS_OF_WORDS if (kind, NEVER) in cells]
    table = [
        {
            "": kind,
            "first named": name,
            "words": len(cells[kind, name]),
            "share": share(cells[kind, name], "is", seed),
            "chance": share(cells[kind, name], "chance", seed),
            "difference": share(cells[kind, name], "is", seed, less="chance"),
        }
        for kind in kinds
        for name in names
    ]

    def draw(figure: Any) -> None:
        for axes, kind in zip(np.atleast_1d(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
            here, places = [row for row in table if row[""] == kind], np.arange(len(names))
            for column, shift, colour in (("share", -0.2, INK), ("chance", 0.2, FAINT)):
                label = "this text's explanations" if column == "share" else "other texts' explanations"
                values = [row[column].value for row in here]
                axes.barh(places + shift, values, 0.38, color=colour, label=label)
                for place, row in zip(places + shift, here, strict=True):
                    axes.plot([row[column].low, row[column].high], [place, place], color="#1d2329", linewidth=0.8)
            axes.set_yticks(places, names)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_title(kind)
        figure.supxlabel("share of words", fontsize=9)
        handles = figure.axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=2)

    return Section(
        "When the text's own words first stand in the words",
        "Names, numbers from 10 on and rarer content words (in at most a tenth of the texts): the first explanation "
        "that has the word, against the first token of its first place in the text. Chance: when the explanations of "
        "other texts, which are without the word, first have it." + found.alone,
        "A word that is named early may be known from the kind of text alone, which chance covers only so far as other "
        "texts are of the same kind. The token before is where M expects the next token, so that a common next word "
        "counts there too. Other forms of a word are other words here.",
        table,
        folder.figure("words", draw, (7.6, 3.0)),
    )

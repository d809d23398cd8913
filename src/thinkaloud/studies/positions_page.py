"""How is what was found along texts told? The page of `positions`: its answer, reconstruction and examples."""

from collections.abc import Mapping
from html import escape
from statistics import fmean
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.studies.claims import KINDS
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.mentions import WHEN
from thinkaloud.studies.mentions_page import facts_section, words_section
from thinkaloud.studies.page import Example, Page, Section, at_quartiles
from thinkaloud.studies.persistence import above
from thinkaloud.studies.persistence_page import persists_section
from thinkaloud.studies.positions_found import FAINT, INK, Found, Records, band, fve_of, persisted, share, shown
from thinkaloud.studies.read_texts import Said, Text, by_text

PALETTE = ("#c8553d", "#5b8e3e", "#8a5fb0", "#b8860b", "#4a4e54")


def page_of(found: Found, folder: Folder) -> Page:
    """The page of the study."""
    sections = [_along(found, folder), _by_family(found), persists_section(found, folder)]
    if found.facts:
        sections.append(facts_section(found, folder))
    if found.words:
        sections.append(words_section(found, folder))
    sections.append(_examples(found))
    cut = sum(text.cut for text in found.texts)
    empty = sum(not one.text.strip() for one in found.said)
    config = found.config
    return Page(
        "Along a text",
        "What persists in words from position to position, and when does a fact stand in them: before the text says "
        "it, or after?",
        _answer(found),
        {
            "Pair": found.pair,
            "Site": found.site,
            "Baseline": str(found.baseline),
            "Texts": f"{config.texts}: {len(found.texts):,} read, {cut:,} of them cut",
            "Positions": f"{len({(one.id, one.position) for one in found.said}):,}, all but special tokens, of the "
            f"first {config.longest} tokens of each",
            "Explanations": f"{config.samples} a position, "
            + ("greedy" if config.samples == 1 else "at temperature 1")
            + f", at most {config.max_tokens} tokens; {empty:,} empty",
            "Seed": str(config.seed),
        },
        sections,
        _shown(found),
    )


def _shown(found: Found) -> list[Example]:
    """Explanations at the quartiles of FVE, whatever the text."""
    texts, fves = {text.id: text for text in found.texts}, [fve(one.mse, found.baseline) for one in found.said]
    out = []
    for i in at_quartiles(fves):
        one = found.said[i]
        text = texts[one.id]
        prefix, token = text.text[: text.ends[one.position]], text.tokens[one.position]
        out.append(Example.of(prefix, token, one.text, fves[i], f"{one.family}, position {one.position}"))
    return out


def bin_of(position: int) -> str:
    """The bin of a position, each twice as wide as the one before: 0, 1, 2–3, 4–7 and so on."""
    if position < 2:
        return str(position)
    low = 1 << (position.bit_length() - 1)
    return f"{low}–{2 * low - 1}"


def _answer(found: Found) -> str:
    said = [f"The words rebuild FVE {shown(fve_of(found.said, found.baseline))} of the vectors."]
    seed = found.config.seed
    next_ = {kind: above(persisted(found, kind, 1), seed=seed) for kind in KINDS}
    known = {kind: one for kind, one in next_.items() if np.isfinite(one.value)}
    if known:
        most, least = (choose(known, key=lambda kind: known[kind].value) for choose in (max, min))
        said.append(
            f"Of the kinds of claims, {most} is kept most at the next token, {shown(known[most])} beyond chance, and "
            f"{least} least, {shown(known[least])}."
        )
    fresh = [row for row in found.facts if not row["stands"] and row["stated"] is not None and row["places"]]
    fresh = [row for row in fresh if row["chance"] is not None] or fresh
    early = [_early(row) for row in found.words]
    if fresh:
        said.append(
            f"Facts that the text has settled and not yet said are named before it says them in "
            f"{shown(share(fresh, 'before', seed))} of "
            f"cases{_by_chance(fresh, seed)}."
        )
    if early:
        said.append(
            f"Names, numbers and rarer words are named before the text has them in "
            f"{shown(share(early, 'early', seed))} of "
            f"cases{_by_chance(early, seed)}."
        )
    return " ".join(said)


def _by_chance(records: Records, seed: int) -> str:
    """The chance level at the end of a sentence, where there is one."""
    found = share(records, "chance", seed)
    return f", against {shown(found)} by chance" if np.isfinite(found.value) else ""


def _along(found: Found, folder: Folder) -> Section:
    bins: dict[str, list[Said]] = {}
    for one in sorted(found.said, key=lambda one: one.position):
        bins.setdefault(bin_of(one.position), []).append(one)
    table = [
        {
            "tokens from the start": name,
            "texts": len({one.id for one in some}),
            "explanations": len(some),
            "FVE": fve_of(some, found.baseline, found.config.seed),
        }
        for name, some in bins.items()
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        band(axes, range(len(bins)), [row["FVE"] for row in table], INK, "all", width=2.0)
        for colour, family in zip(PALETTE * 9, found.families if len(found.families) > 1 else [], strict=False):
            own = [fve_of([one for one in some if one.family == family], found.baseline) for some in bins.values()]
            axes.plot(range(len(bins)), [one.value for one in own], color=colour, linewidth=1, label=family)
        axes.axhline(0, color=FAINT, linewidth=0.6)
        axes.set_xticks(range(len(bins)), list(bins))
        axes.set_xlabel("tokens from the start of the text")
        axes.set_ylabel("FVE")
        figure.legend(loc="outside right upper")

    return Section(
        "Reconstruction along a text",
        "How much of a vector's direction the words rebuild, by how many tokens stand before it. The band is the "
        "interval over all texts; thin lines are kinds of text." + found.alone,
        "Later bins hold the longer texts only, so a change from bin to bin is in part a change of texts. FVE is "
        "relative to one baseline for all positions: where vectors differ less among themselves, the same words "
        "would score otherwise.",
        table,
        folder.figure("along", draw),
    )


def _by_family(found: Found) -> Section:
    table = []
    for family in found.families:
        some = [one for one in found.said if one.family == family]
        row: dict[str, Any] = {
            "kind of text": family,
            "texts": len({one.id for one in some}),
            "explanations": len(some),
        }
        for name, part in (
            ("FVE", some),
            ("of the first 8 tokens", [one for one in some if one.position < 8]),
            ("of tokens 8 to 31", [one for one in some if 8 <= one.position < 32]),
            ("of later ones", [one for one in some if one.position >= 32]),
        ):
            row[name] = fve_of(part, found.baseline, found.config.seed)
        table.append(row)
    return Section(
        "Reconstruction by kind of text",
        "The same by kind of text: the families of the pocket world, or texts and chats." + found.alone,
        "Kinds differ in length, wording and tokens, and a difference between two of them is not put down to one of "
        "these. A high FVE does not say that the words are true, only that the reconstructor makes the vector of them.",
        table,
    )


def _examples(found: Found) -> Section:
    spoken = by_text(found.said)
    blocks = []
    for family in found.families:
        some = [text for text in found.texts if text.family == family]
        some.sort(key=lambda text: (fmean(one.mse for one in spoken[text.id]), text.id))
        text = some[(len(some) - 1) // 2]
        lines = "".join(_line(text, one, found.baseline) for one in spoken[text.id] if one.sample == 0)
        blocks.append(
            f"<details><summary>{escape(family)}: {escape(text.text.strip()[:90])}…</summary>"
            '<div class="wide"><table><thead><tr><th>token</th><th>FVE</th><th>in words</th><th>fact</th></tr></thead>'
            f"<tbody>{lines}</tbody></table></div></details>"
        )
    return Section(
        "Examples",
        "One text of each kind, the one whose mean error is the median of its kind, with a line a position: the token, "
        "how well its words rebuild the vector, the words, and where a fact is settled or said.",
        "One text stands for no other: the tables above are what is counted.",
        markup="".join(blocks),
    )


def _line(text: Text, one: Said, baseline: Baseline) -> str:
    marks = [f"{fact.name} = {fact.value}, settled" for fact in text.facts if fact.settled == one.position]
    marks += [f"{fact.name} = {fact.value}, said" for fact in text.facts if fact.stated == one.position]
    token = text.tokens[one.position].replace("\n", "⏎")
    value = f"{fve(one.mse, baseline):.2f}".replace("-", "−")
    return (
        f'<tr><td><code>{escape(token)}</code></td><td class="num">{value}</td>'
        f'<td class="said">{escape(one.text)}</td><td class="quiet">{escape("; ".join(marks))}</td></tr>'
    )


def _early(row: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a word was named before the text had it, and by chance."""
    before = list(WHEN)[:2]
    levels = [row["chance"][name] for name in before]
    return {"id": row["id"], "early": row["when"] in before, "chance": None if None in levels else sum(levels)}

"""How does a reading become one page that opens anywhere? A single HTML file: no network, no other file, no build.

The page is whole without its script: the texts, and every explanation in a table that the tokens link to. The script
puts the explanation beside the text instead.
"""

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from thinkaloud.pair import show
from thinkaloud.pair.controls import Control
from thinkaloud.pair.reading import Reading, ReadPosition
from thinkaloud.pair.show import FINISHES, HOW_TO_READ, clean, fve_line, lines, visible
from thinkaloud.serve.turns import Turn, turns

TITLE = "A reading in words"
BELIEVE = (
    (
        "The words are trained to rebuild the vector, not to be true.",
        "A high FVE says that the text carries much about the vector, not that each sentence in it is right.",
    ),
    (
        "Trust the kind of thing before the particulars.",
        "Kind of text, theme and the last token are mostly right; names, numbers and quotations are often made up.",
    ),
    (
        "One explanation is one sample.",
        "What returns in several samples at a position, and at the positions beside it, deserves more trust.",
    ),
    (
        "The two halves may share a private code.",
        "They are trained on each other's texts, so a figure can rise while the words say no more to a person.",
    ),
    (
        "The first tokens of a text read badly.",
        "Their vectors are unlike all later ones, and pairs are trained on positions further on.",
    ),
    (
        "An FVE belongs to its baseline.",
        "Figures over other vectors, another layer or another model do not compare; a cosine alone says nothing, since "
        "the vectors of many models are all close to their mean.",
    ),
)


def report(readings: Sequence[Reading], controls: Sequence[Control] | None = None, title: str = TITLE) -> str:
    """The page for one or several readings, with controls beside them where there are any."""
    web = files("thinkaloud.serve").joinpath("web")
    style, script = (web.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    texts = "".join(_text(number, reading) for number, reading in enumerate(readings, 1))
    tables = "".join(_table(number, reading) for number, reading in enumerate(readings, 1))
    head = escape(clean(title))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{head}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header><h1>{head}</h1><p class="lead">What a language model holds at each token, in words, and how well the words alone
rebuild it. Choose a token; the arrow keys go on from there.</p>
<p class="key">FVE 0 <i></i> 1 <u>below 0</u></p></header>
<main>
<div class="texts">{texts}</div>
<aside id="panel" aria-live="polite" aria-label="The chosen token"></aside>
</main>
{_controls(controls or ())}
<section class="all"><h2>Every position</h2>{tables}</section>
{_how(readings)}
<script type="application/json" id="data">{_data(readings)}</script>
<script>
{script}</script>
</body>
</html>
"""


def _data(readings: Sequence[Reading]) -> str:
    """What the script shows, as JSON that no content can break out of: ASCII, and no `<`, `>` or `&` in it."""
    data = {
        "finishes": FINISHES,
        "readings": [[_position(position) for position in reading] for reading in readings],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _position(position: ReadPosition) -> dict[str, Any]:
    return {
        "position": position.position,
        "token": visible(position.token),
        "id": position.token_id,
        "norm": round(position.norm, 3),
        "said": [
            {
                "lines": lines(explanation.text),
                "finish": explanation.finish,
                "fve": round(score.fve, 4) if math.isfinite(score.fve) else None,
                "cos": round(score.cos, 4),
                "mse": round(score.mse, 4),
            }
            for explanation, score in zip(position.explanations, position.scores, strict=True)
        ],
    }


def _text(number: int, reading: Reading) -> str:
    """A text, every token of it in place; those that were read are links, tinted by their FVE."""
    read = {position.position: position for position in reading}
    tokens = reading.tokens or tuple(position.token for position in reading)
    where = range(len(tokens)) if reading.tokens else [position.position for position in reading]
    blocks = []
    for turn in turns(tokens, reading.text):
        spans = "".join(_token(number, tokens[i], read.get(where[i])) for i in range(turn.start, turn.end))
        blocks.append(_turn(turn, spans))
    return (
        f'<section class="reading" aria-label="Text {number}">{"".join(blocks)}'
        f'<p class="under">{escape(clean(reading.name))} · {escape(str(reading.site))} · mean FVE '
        f"<b>{_figure(reading.fve)}</b></p></section>"
    )


def _turn(turn: Turn, spans: str) -> str:
    if not turn.role:
        return f'<p class="text" dir="auto">{spans}</p>'
    role = escape(clean(turn.role))
    return f'<div class="turn {role}"><span class="role">{role}</span><p class="text" dir="auto">{spans}</p></div>'


def _token(number: int, token: str, position: ReadPosition | None) -> str:
    shown = escape(clean(token.replace("\t", "⇥")).replace("\n", "⏎\n"))
    if position is None:
        return f'<span class="unread">{shown}</span>'
    kind = "token" + (" special" if position.special else "") + (" worse" if position.fve < 0 else "")
    tint = max(0.0, min(1.0, position.fve)) if math.isfinite(position.fve) else 0.0
    key = f"{number}.{position.position}"
    title = f"position {position.position}, FVE {_figure(position.fve)}"
    return f'<a class="{kind}" href="#{key}" data-key="{key}" style="--f:{tint:.2f}" title="{title}">{shown}</a>'


def _table(number: int, reading: Reading) -> str:
    body = "".join(_rows(number, position) for position in reading)
    name = f"Text {number}" + (f": {len(reading):,} positions" if len(reading) != 1 else ": 1 position")
    return (
        f'<details open><summary>{name}</summary><table><thead><tr><th scope="col">pos</th><th scope="col">token</th>'
        f'<th scope="col">FVE</th><th scope="col">in words</th></tr></thead><tbody>{body}</tbody></table></details>'
    )


def _rows(number: int, position: ReadPosition) -> str:
    out = []
    for i, (explanation, score) in enumerate(zip(position.explanations, position.scores, strict=True)):
        first = f' id="{number}.{position.position}"' if i == 0 else ""
        where, token = (position.position, f"<bdi>{escape(visible(position.token))}</bdi>") if i == 0 else ("", "")
        words = "".join(f'<li dir="auto">{escape(line)}</li>' for line in lines(explanation.text))
        finish = FINISHES.get(explanation.finish)
        mark = f'<span class="finish">{finish}</span>' if finish else ""
        out.append(
            f'<tr{first}><td>{where}</td><td class="tok">{token}</td><td class="num">{_figure(score.fve)}'
            f'{_meter(score.fve)}</td><td><ul class="said">{words}</ul>{mark}</td></tr>'
        )
    return "".join(out)


def _meter(value: float) -> str:
    share = max(0.0, min(1.0, value)) if math.isfinite(value) else 0.0
    return f'<span class="meter" aria-hidden="true"><i style="width:{100 * share:.0f}%"></i></span>'


def _figure(value: float) -> str:
    return show.figure(value).strip().replace("-", "−").replace("<", "&lt;")


def _controls(controls: Sequence[Control]) -> str:
    """The controls on one axis from −1 to 1, the reading's own figure first."""
    if not controls:
        return ""
    rows = []
    for control in controls:
        value = max(-1.0, min(1.0, control.fve)) if math.isfinite(control.fve) else 0.0
        left, width = (50.0, 50 * value) if value >= 0 else (50 + 50 * value, -50 * value)
        sign = "over" if value >= 0 else "below"
        name, meaning, example = (escape(clean(part)) for part in (control.name, control.meaning, control.example))
        quoted = f'<span class="example" dir="auto">“{example}”</span>' if example else ""
        rows.append(
            f'<tr><th scope="row">{name}<span>{meaning}</span>{quoted}</th>'
            f'<td class="num">{_figure(control.fve)}</td><td class="axis"><span aria-hidden="true">'
            f'<i class="{sign}" style="left:{left:.1f}%;width:{width:.1f}%"></i></span></td></tr>'
        )
    return (
        '<section class="controls"><h2>Controls</h2><p>The same score, where the words should say little of the '
        "vector. What the reading is worth is its distance from these.</p><table><thead><tr>"
        '<th scope="col">what is scored</th><th scope="col">FVE</th><th scope="col" class="scale"><span>−1</span>'
        f"<span>0</span><span>1</span></th></tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )


def _how(readings: Sequence[Reading]) -> str:
    """How to read the figures, how far to believe them, and exactly what they rest on."""
    believe = "".join(f"<li><b>{escape(head)}</b> {escape(body)}</li>" for head, body in BELIEVE)
    facts = {}
    for number, reading in enumerate(readings, 1):
        facts.setdefault((reading.name, reading.site, reading.baseline), (reading, []))[1].append(number)
    about = "".join(_facts(reading, numbers, len(facts) > 1) for reading, numbers in facts.values())
    means = "".join(f"<li>Text {i}: {escape(fve_line(reading))}</li>" for i, reading in enumerate(readings, 1))
    legend = (
        "A darker tint is a higher FVE; a dotted underline marks a token whose FVE is negative; grey text was not "
        "read. FVE = 1 − MSE ∕ V: MSE is the mean squared difference of the two vectors after both are scaled to norm "
        "√d, V what always answering the mean vector would leave."
    )
    return (
        f'<section class="how"><h2>How to read this page</h2><p>{escape(HOW_TO_READ)} {legend}</p><ul>{means}</ul>'
        f"<h3>How far to believe it</h3><ul>{believe}</ul>{about}</section>"
    )


def _facts(reading: Reading, numbers: Sequence[int], many: bool) -> str:
    rows = {"pair": clean(reading.name), "baseline": str(reading.baseline), **reading.site.names()}
    body = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in rows.items())
    texts = f" (text {', '.join(map(str, numbers))})" if many else ""
    return f"<h3>What exactly was read{texts}</h3><dl>{body}</dl>"

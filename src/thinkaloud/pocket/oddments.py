"""Texts that are no English prose: code, data, emoji, other scripts, by rule.

The base model has hardly seen any. The verbalizer reads such vectors all the same, and must not loop over them.
"""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from thinkaloud.pocket.episodes.common import words
from thinkaloud.pocket.episodes.people import NAMES

NOUNS = words(
    "row line item name path total count price order ticket room train garden letter window river sample page value"
)
VERBS = words("read write load save find sort count merge split open close send check parse build draw move copy")
PICTURES = words("😀 😂 🎉 ❤️ 🔥 👍 🙏 😭 🌊 🌞 🍰 🐶 ⚽ ✅ 🚀 💡")
CHEERS = (
    "so happy today",
    "can't wait for the weekend",
    "what a match",
    "thank you all",
    "this cake is amazing",
    "good morning everyone",
    "we did it",
    "miss you already",
    "best dog ever",
    "happy birthday",
)
SCRIPTS = (
    "Доброе утро! Сегодня хорошая погода, и мы идём гулять в парк у реки.",
    "Η θάλασσα είναι ήρεμη σήμερα και το καράβι φεύγει το πρωί.",
    "今天天气很好，我们去公园散步，然后在河边喝茶。",
    "きょうは天気がいいので、川のそばの公園を散歩します。",
    "הים שקט היום, והספינה יוצאת בבוקר מן הנמל.",
    "البحر هادئ اليوم والسفينة تغادر الميناء في الصباح.",
    "आज मौसम अच्छा है और हम नदी के पास टहलने जा रहे हैं।",
    "오늘은 날씨가 좋아서 강가의 공원을 산책합니다.",
)


def oddments(start: int, n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Documents `start` to `start` + `n`, {id, text}: some pieces of one kind each."""
    for i in range(start, start + n):
        random = Random(f"oddments|{seed}|{i}")
        make = MAKERS[i % len(MAKERS)]
        yield {"id": f"odd/{seed}/{i}", "text": "\n".join(make(random) for _ in range(random.randint(3, 6)))}


def _python(r: Random) -> str:
    verb, noun, other = r.choice(VERBS), r.choice(NOUNS), r.choice(NOUNS)
    body = r.choice(
        (
            f"    {other}s = []\n    for {noun} in {noun}s:\n        if {noun}.{other} > {r.randint(0, 99)}:\n"
            f"            {other}s.append({noun})\n    return {other}s",
            f'    with open({noun}, encoding="utf-8") as file:\n        return [line.strip() for line in file]',
            f"    {other} = {r.randint(1, 9)}.{r.randint(0, 9)} * {noun}\n    if {other} == 0:\n        return None\n"
            f"    return round({other}, {r.randint(1, 4)})",
            f'    print(f"{verb} {{{noun}}}")\n    self.{other} += {noun}[{r.randint(0, 9)}]',
        )
    )
    return f"def {verb}_{noun}({noun}, {other}={r.randint(0, 20)}):\n{body}\n"


def _script(r: Random) -> str:
    verb, noun, other = r.choice(VERBS), r.choice(NOUNS), r.choice(NOUNS)
    return (
        f"function {verb}{noun.title()}({noun}) {{\n  const {other} = {noun}.map(x => x + {r.randint(1, 9)});\n"
        f"  if ({other}.length > {r.randint(1, 50)}) {{\n    return {other}[0];\n  }}\n  return null;\n}}\n"
    )


def _markup(r: Random) -> str:
    noun = r.choice(NOUNS)
    cells = "".join(f"<li>{r.choice(NOUNS)} {r.randint(1, 99)}</li>\n" for _ in range(r.randint(2, 4)))
    return (
        f'<h2 class="{noun}">{noun.title()}s</h2>\n<ul>\n{cells}</ul>\n<a href="/{noun}/{r.randint(1, 999)}">more</a>'
    )


def _json(r: Random) -> str:
    record = {noun: r.choice((r.randint(0, 999), r.choice(NAMES), r.random() < 0.5)) for noun in r.sample(NOUNS, 4)}
    return json.dumps(record | {"tags": r.sample(VERBS, 2)}, indent=r.choice((None, 2)))


def _csv(r: Random) -> str:
    head = r.sample(NOUNS, 3)
    rows = [[r.choice(NAMES), str(r.randint(1, 99)), f"{r.randint(1, 20)}.{r.randint(10, 99)}"] for _ in range(5)]
    return "\n".join(",".join(row) for row in [head, *rows])


def _table(r: Random) -> str:
    head = r.sample(NOUNS, 2)
    rows = [f"| {r.choice(NAMES)} | {r.randint(1, 200)} |" for _ in range(r.randint(3, 6))]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *rows])


def _settings(r: Random) -> str:
    lines = [f"{r.choice(NOUNS)}_{r.choice(NOUNS)} = {r.randint(1, 99)}.{r.randint(0, 9)}" for _ in range(4)]
    return "\n".join([f"[{r.choice(NOUNS)}]", *lines])


def _log(r: Random) -> str:
    hour, minute = r.randint(0, 23), r.randint(0, 50)
    lines = []
    for _ in range(r.randint(3, 6)):
        minute += 1
        level, what = r.choice(("INFO", "WARN", "ERROR")), f"{r.choice(VERBS)} {r.choice(NOUNS)} {r.randint(1, 999)}"
        lines.append(f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02} {hour:02}:{minute:02} {level} {what}")
    return "\n".join(lines)


def _shell(r: Random) -> str:
    noun = r.choice(NOUNS)
    return (
        f"$ {r.choice(('ls -l', 'cat', 'grep -n error', 'wc -l', 'cp -r'))} /var/{noun}/{r.choice(NOUNS)}.txt\n"
        f"{r.randint(1, 9999)} {noun}.txt\n"
    )


def _emoji(r: Random) -> str:
    said = [f"{r.choice(CHEERS)} {''.join(r.choices(PICTURES, k=r.randint(1, 4)))}" for _ in range(r.randint(1, 3))]
    return " ".join(said) + r.choice(("", " !!", f" {r.choice(PICTURES) * r.randint(2, 6)}"))


def _script_of_another_language(r: Random) -> str:
    return " ".join(r.sample(SCRIPTS, 2))


def _numbers(r: Random) -> str:
    return "  ".join(f"{r.randint(0, 99)}.{r.randint(0, 99):02}" for _ in range(r.randint(8, 20)))


MAKERS: tuple[Callable[[Random], str], ...] = (
    _python,
    _emoji,
    _script,
    _json,
    _markup,
    _csv,
    _table,
    _settings,
    _log,
    _shell,
    _emoji,
    _script_of_another_language,
    _numbers,
)

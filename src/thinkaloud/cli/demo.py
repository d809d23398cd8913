"""Read a chat with a bundled pair, SmolLM2's where that can be had, set the controls beside it, and write a report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from thinkaloud.cli.common import check_target, command, load_pair, put
from thinkaloud.cli.progress import progress
from thinkaloud.config.eval import Explaining
from thinkaloud.errors import UserError

CHAT = [
    {"role": "system", "content": "You are a friendly guide to a small harbour town."},
    {"role": "user", "content": "We have one rainy afternoon here. What should we see with two children?"},
    {
        "role": "assistant",
        "content": "Begin in the old lighthouse, where children may climb up to the lamp. If the rain stops, walk "
        "along the harbour wall and count the boats.",
    },
]
READ, SHOWN = 16, 4  # positions
NOISE = 8  # random directions, a control that has to be explained anew
MAX_TOKENS = 120

Item = TypeVar("Item")


@dataclass(frozen=True)
class Args:
    out: Path = Path("thinkaloud-demo.html")
    """The report to write."""
    nla: str | None = None
    """The pair: pocket, smollm2, a folder with av and ar in it, or a hub name; smollm2 where its model can be had, else
    pocket, if nothing is said."""


def main(args: Args) -> int:
    """Read, print what was found, and write the report."""
    check_target(args.out)
    from rich.text import Text

    from thinkaloud.activations.corpus import Document
    from thinkaloud.activations.positions import special_ids
    from thinkaloud.activations.tokens import encode
    from thinkaloud.atomic import write_text
    from thinkaloud.evals import controls
    from thinkaloud.pair import show
    from thinkaloud.pair.report import report

    name, why = (args.nla, "as it was asked for") if args.nla else chosen()
    put(f"The pair {name}, {why}.")
    nla = load_pair(Explaining(nla=name))
    (ids,) = encode(nla.model_tokenizer, [Document("", messages=tuple(CHAT))])
    if ids is None:
        raise UserError(f"the chat template of {nla.base} refuses a system message: name another pair")
    special = set(special_ids(nla.model_tokenizer).tolist())
    plain = [position for position, token in enumerate(ids) if token not in special]
    with progress("reading", min(READ, len(plain))) as watch:
        reading = nla.read(CHAT, evenly(plain, READ), max_tokens=MAX_TOKENS, watch=watch)
        beside = controls.beside(reading, nla, NOISE, max_tokens=MAX_TOKENS)
    words = [position for position in reading.positions if position.token[:1].isspace() and position.token.strip()]
    few = replace(reading, positions=evenly(words or reading.positions, SHOWN), vectors=None)
    chat = "\n".join(f"{message['role']}: {message['content']}" for message in CHAT)
    put("", f"{len(few)} of the {len(reading)} positions read, words evenly spread, of:", Text(chat, "italic"))
    put(show.rows(few), show.footer(reading, show.fve_line(reading)), show.controls_table(beside))
    write_text(args.out, report(reading, beside, title=f"What the {nla.name} model holds, in words"))
    print(f"Every position read is in the report: {args.out} (open it in a browser).")
    pair = () if name == "pocket" else ("--nla", name)
    print(f"next: {command('read', 'A sentence of your own.', *pair, '--html', 'mine.html')}")
    return 0


def chosen() -> tuple[str, str]:
    """The pair to read with where none is named, and why: smollm2, or pocket where that or its model is not here."""
    from thinkaloud import loading
    from thinkaloud.pair import known

    if not known.is_bundled("smollm2"):
        return "pocket", "since smollm2 is not bundled with this installation"
    try:
        loading.resolve(known.known()["smollm2"]["base"])
    except (UserError, OSError) as error:
        return "pocket", f"since the model of smollm2 cannot be had ({error})"
    return "smollm2", "of the chat model SmolLM2-135M-Instruct"


def evenly(items: Sequence[Item], n: int) -> tuple[Item, ...]:
    """At most `n` of the items, evenly spread and ending with the last."""
    places = {round((i + 1) * len(items) / n) - 1 for i in range(n)}
    return tuple(items[place] for place in sorted(places) if place >= 0)

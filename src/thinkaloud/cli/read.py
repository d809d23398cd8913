"""Read a text or a chat, token by token: what the model holds there, in words, and how well the words rebuild it."""

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from thinkaloud.cli.common import File, check_target, load_pair, put
from thinkaloud.cli.progress import progress
from thinkaloud.config.eval import Explaining
from thinkaloud.errors import UserError

ROLES = ("system", "user", "assistant", "tool", "developer")


@dataclass(frozen=True, kw_only=True)
class Args(Explaining):
    text: Annotated[
        str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT]", help_behavior_hint="", constructor=str)
    ] = None
    """The text to read; - reads it from standard input."""
    file: File = None
    """A text file to read."""
    chat: File = None
    """A JSON file to read: a list of {"role": …, "content": …}, or an object with that list under "messages"."""
    positions: str = "all"
    """Which tokens: all, last, indices like 0,-1 (negative from the end) or ranges like 50:."""
    window: int | None = None
    """For a text beyond the model's context: read it in windows of so many tokens, one after the other."""
    html: File = None
    """Write a report of one file here."""
    engine: Literal["lockstep", "vllm"] = "lockstep"
    """What samples the explanations: the package's own engine, or vLLM where it is installed."""


def main(args: Args) -> int:
    """Read what `args` names; print a table or JSON lines, and write a report where one is asked for."""
    content = source(args)
    if args.html is not None:
        check_target(args.html)
    total = check(args, content)
    nla = load_pair(args, args.engine)
    with progress("reading", total) as watch:
        reading = nla.read(
            content,
            args.positions,
            args.samples,
            args.sampled_at,
            args.seed,
            max_tokens=args.max_tokens,
            watch=watch,
            window=args.window,
        )
    if args.json:
        sys.stdout.write(reading.to_json_lines())
    else:
        put(reading)
    if args.html is not None:
        from thinkaloud.atomic import write_text

        write_text(args.html, reading.to_html())
        print(f"report: {args.html}", file=sys.stderr if args.json else sys.stdout)
    return 0


def check(args: Args, content: str | list[dict[str, str]]) -> int | None:
    """Refuse, before any weights are loaded, what cannot be read; how many explanations it comes to, where known."""
    from thinkaloud import families, loading
    from thinkaloud.activations.corpus import Document
    from thinkaloud.activations.positions import parse_positions
    from thinkaloud.activations.tokens import encode, windows_to_read
    from thinkaloud.pair.nla import model_read

    loading.pick_device(args.device)
    base = args.base or model_read(args.pair, args.av, args.ar)
    if base is None:
        return None
    document = Document("", text=content) if isinstance(content, str) else Document("", messages=tuple(content))
    tokenizer, config = loading.load_tokenizer(base), loading.load_config(base)
    ids = encode(tokenizer, [document])[0]
    windows_to_read(document, ids, tokenizer.bos_token_id, args.window, families.context_of(config), name(args))
    return len(parse_positions(args.positions, len(ids or ()))) * args.samples


def kept(args: Args) -> str:
    """What an interrupt leaves."""
    return "nothing is kept of a reading that is not done"


def source(args: Args) -> str | list[dict[str, str]]:
    """The one text or chat that `args` names."""
    given = [option for option in ("text", "file", "chat") if getattr(args, option) is not None]
    if len(given) != 1:
        found = f"{' and '.join(given)} at once" if given else "none"
        raise UserError(f"expected exactly one of TEXT, --file or --chat, found {found}")
    if args.chat is not None:
        return parse_chat(decode(args.chat.read_bytes(), name(args)), name(args))
    if args.file is not None:
        text = decode(args.file.read_bytes(), name(args)).rstrip("\r\n")
    elif args.text == "-":
        text = decode(sys.stdin.buffer.read(), name(args)).rstrip("\r\n")
    else:
        text = args.text or ""
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise UserError("the text is not UTF-8: convert it, or check the terminal's encoding")
    if not text.strip():
        raise UserError(f"{name(args)} is empty: there is nothing to read")
    return text


def name(args: Args) -> str:
    """What is read, as messages call it."""
    return str(args.chat or args.file or ("standard input" if args.text == "-" else "the text"))


def decode(data: bytes, where: str) -> str:
    """UTF-8 bytes as text, without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is not UTF-8 (byte {error.start}): convert it first") from None


def parse_chat(text: str, where: str) -> list[dict[str, str]]:
    """The messages of a chat file, each with a known role and a text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is not JSON: {error}") from None
    messages: Any = data.get("messages") if isinstance(data, dict) else data
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{where} must hold a list of messages, or an object with that list under messages")
    return [_message(message, f"{where}, message {i}") for i, message in enumerate(messages, 1)]


def _message(message: Any, where: str) -> dict[str, str]:
    if not isinstance(message, dict):
        raise UserError(f"{where}: expected an object with role and content, found {type(message).__name__}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise UserError(f"{where}: role must be one of {', '.join(ROLES)}, found {role!r}")
    if not isinstance(content, str) or not content.strip():
        raise UserError(f"{where}: content must be a text that is not empty, found {content!r}")
    if any("\ud800" <= c <= "\udfff" for c in content):
        raise UserError(f"{where}: content holds half a surrogate pair, which is no character")
    return {"role": role, "content": content}

"""Token positions that are read: drawn by a generator keyed on seed and document id, or named by a person."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from thinkaloud.errors import UserError

MARKER = re.compile(r"<[^\s<>]+>|\[[A-Z_/]+\]")
ITEM = re.compile(r"(?P<one>-?\d+)|(?P<start>-?\d+)?:(?P<stop>-?\d+)?")


def choose_positions(
    seed: int, doc_id: str, allowed: Sequence[int] | np.ndarray, n: int | None, window: int = 0
) -> list[int]:
    """`n` of the `allowed` positions (all of them for None or where there are fewer), ascending, without repetition.

    The generator is keyed on (seed, document, window) alone, so any order, share or number of workers chooses the same.
    Uses raw PCG64 output, whose stream is fixed, not the samplers built on it.
    """
    allowed = np.asarray(allowed, dtype=np.int64)
    if n is None or len(allowed) <= n:
        return sorted(allowed.tolist())
    key = hashlib.blake2b(f"{seed}|{window}|{doc_id}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
    draws = np.random.PCG64(int.from_bytes(key, "big")).random_raw(len(allowed))
    return sorted(allowed[np.argsort(draws, kind="stable")[:n]].tolist())


def allowed_positions(ids: Sequence[int], passed_over: np.ndarray, minimum: int) -> np.ndarray:
    """Positions of `ids` from `minimum` on whose token is not in `passed_over` (an array of ids)."""
    tokens = np.asarray(ids[minimum:], dtype=np.int64)
    return np.flatnonzero(~np.isin(tokens, passed_over)) + minimum


def special_ids(tokenizer: Any) -> np.ndarray:
    """Ids never chosen by a generator: special tokens, and added tokens that look like markers (`<tool>`, `[INST]`)."""
    ids = set(tokenizer.all_special_ids)
    for token_id, token in tokenizer.added_tokens_decoder.items():
        if token.special or MARKER.fullmatch(token.content.strip()):
            ids.add(token_id)
    return np.array(sorted(ids), dtype=np.int64)


def parse_positions(spec: str | int | Sequence[int], n_tokens: int) -> list[int]:
    """The positions a person named in a text of `n_tokens` tokens, ascending, each once.

    "all"; "last"; one or several of an index ("0,-1", negative from the end) and a half-open range ("50:", "3:9",
    ":-1"), joined by commas; or a list of indices. An index outside the text is refused, a range is cut to it.
    """
    if isinstance(spec, str):
        items = [item.strip() for item in spec.split(",")]
    else:
        items = [spec] if isinstance(spec, int) else list(spec)
    chosen: set[int] = set()
    for item in items:
        if item == "all":
            chosen.update(range(n_tokens))
        elif item == "last":
            chosen.add(_index(-1, n_tokens))
        elif isinstance(item, str):
            match = ITEM.fullmatch(item)
            if match is None:
                raise UserError(f"positions must be all, last, indices like 0,-1 or ranges like 50:, found {item!r}")
            if match["one"] is not None:
                chosen.add(_index(int(match["one"]), n_tokens))
            else:
                start, stop = (None if match[k] is None else int(match[k]) for k in ("start", "stop"))
                chosen.update(range(n_tokens)[start:stop])
        elif isinstance(item, int | np.integer) and not isinstance(item, bool):
            chosen.add(_index(int(item), n_tokens))
        else:
            raise UserError(f"a position must be a whole number, found {item!r}")
    if not chosen:
        raise UserError(f"no position left: {spec!r} names none of the text's {n_tokens} tokens")
    return sorted(chosen)


def _index(index: int, n_tokens: int) -> int:
    if not -n_tokens <= index < n_tokens:
        raise UserError(f"position {index} is outside the text: it has {n_tokens} tokens, 0 to {n_tokens - 1}")
    return index % n_tokens

"""Batches by length: which sequences share a padded batch, within a number of tokens."""

from collections.abc import Sequence


def default_batch_tokens(device: str) -> int:
    """Tokens in a batch that fill a device of this type without filling its memory."""
    return 32768 if device == "cuda" else 4096


def length_batches(lengths: Sequence[int], budget: int, equal: bool = False) -> list[list[int]]:
    """Indices of the sequences of each batch, longest first: rows × longest length ≤ `budget`, at least one row.

    With `equal`, all the rows of a batch have the same length.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batches[-1][0]] if batches else 0
        if batches and longest * (len(batches[-1]) + 1) <= budget and not (equal and lengths[i] != longest):
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches

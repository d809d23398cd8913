"""Evaluation of the controls of reconstruction: FVE by other words, other vectors and other readers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.evals.base import Bench, Evaluation, Measured, Row
from thinkaloud.evals.controls import foreign_rows, nearest_rows, random_directions
from thinkaloud.evals.explained import evaluation
from thinkaloud.rollout.base import Prompt, Sampling
from thinkaloud.stats import contrast
from thinkaloud.writers.claims import by_kind, write
from thinkaloud.writers.heuristic import claims_of

EACH = 4  # one activation of so many where the AV or AR has to read for it
TAILS = (8, 32)  # M's tokens that are read as plain text
ENDING = 24  # characters by which texts are compared
RIDGE = (1.0, 10.0, 100.0)
OWN, MEAN = "its own explanation", "the mean of this data's directions"
NEAREST_TEXT = "vector of the other document's text that ends most alike"
QUANTITIES = ("FVE", "own above it", "explanations", "FVE by V of this data")
ALONE = "needs activations of 2 documents or more, found one"

Made = Mapping[str, Any]


@evaluation("controls")
class Controls(Evaluation):
    """Controls: FVE by other words, other vectors and other readers"""

    source = (
        "Fraser-Taliente, Kantamneni, Ong et al., Transformer Circuits, May 2026; baselines by the text alone, text "
        "inversion and a second AR as asked for in public discussion of that work."
    )
    metric = (
        "FVE of each control against the same activations, and how far the pair's own explanations lie above it on "
        "those. Neighbours are vectors of other documents, and the ridge regression was fitted on other documents. Its "
        "answers and the mean are not rescaled, which favours them: the mean has FVE 0 by V of this data, as in the "
        "last column. An answer that has nothing to do with the activation has about 1 − 2 ∕ V, far below 0."
    )
    limits = (
        "A control near the pair's own figure says that the figure can be had so; not that the pair gets it so. The AR "
        "was trained on explanations: plain text and single tokens it reads worse than an AR trained on those would."
    )

    def measure(self, bench: Bench) -> list[Made]:
        """A row for each control and activation: `control`, `row`, `mse`, `text` if one was read; or its `note`."""
        parts = (
            _of_others, _mean, _written, _inverted, _noise, _nothing, _bag_of_words, _second,
        )  # fmt: skip
        return [one for part in parts for one in part(bench)]

    def rows(self, found: Measured) -> Iterator[Row]:
        own, greedy = found.own, found.greedy
        if own.empty:
            return
        here = own[own["control"] == MEAN]["mse"].mean()
        whole = greedy["mse"].to_numpy()

        def line(mse: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
            docs = found.doc_of(rows)
            above = None if mse is whole else found.estimate(contrast((mse - whole[rows]) / found.v), docs)
            by_here = 1 - float(mse.mean()) / here if here > 0 else float("nan")
            return dict(zip(QUANTITIES, (found.fve(mse, docs), above, len(mse), by_here), strict=True))

        yield {"control": OWN}, {**line(whole, np.arange(len(whole))), "note": None}
        for name, part in own.groupby("control", sort=False):
            some = part[part["row"].notna()]
            note = next(iter(part["note"].dropna()), None)
            if some.empty:
                yield (
                    {"control": name},
                    dict.fromkeys(("FVE", "own above it", "n", "FVE by V of this data")) | {"note": note},
                )
            else:
                yield {"control": name}, {**line(some["mse"].to_numpy(), some["row"].to_numpy(int)), "note": note}


def _rows(
    name: str, mse: np.ndarray, rows: Any, texts: Sequence[str] | None = None, note: str | None = None
) -> list[Made]:
    shown = texts if texts is not None else [None] * len(mse)
    return [
        {"control": name, "row": int(row), "mse": float(one), "text": text, "note": note}
        for row, one, text in zip(rows, mse, shown, strict=True)
    ]


def _none(name: str, why: str) -> Made:
    return {"control": name, "row": None, "mse": None, "text": None, "note": f"not to be had: {why}"}


def _of_others(bench: Bench) -> Iterator[Made]:
    """Explanations and vectors of other documents: dealt out by chance, nearest as vectors, nearest as texts."""
    names = (
        "another document's explanation",
        "nearest vector of another document",
        NEAREST_TEXT,
    )
    if len(set(bench.docs)) < 2:
        yield from (_none(name, ALONE) for name in names)
        return
    of, rows = bench.vectors, range(len(bench.data))
    dealt = torch.from_numpy(foreign_rows(bench.docs, bench.seed))
    yield from _rows(names[0], bench.error(bench.rebuilt[dealt], of), rows)
    yield from _rows(names[1], bench.error(of[nearest_rows(of, bench.docs)], of), rows)
    yield from _rows(names[2], bench.error(of[_nearest_texts(bench)], of), rows)


def _nearest_texts(bench: Bench) -> Tensor:
    """The row of another document whose text ends most alike, by TF-IDF of endings of 1 to ENDING characters.

    Better neighbours than those by words or by pieces of any place, as what stands last decides most of a vector.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    endings = TfidfVectorizer(analyzer=lambda text: [text[-k:] for k in range(1, ENDING + 1)], lowercase=False)
    made = endings.fit_transform(bench.data.column("text")).toarray()
    return nearest_rows(torch.from_numpy(made.astype(np.float32)), bench.docs)


def _mean(bench: Bench) -> Iterator[Made]:
    """The mean of unit vectors, not rescaled: its mean squared distance is V of these very vectors."""
    unit = torch.nn.functional.normalize(bench.vectors.float(), dim=-1)
    mse = (unit - unit.mean(dim=0)).square().sum(dim=1).numpy()
    yield from _rows(MEAN, mse, range(len(mse)), note=None if mse.max() > 1e-6 else "all vectors have one direction")


def _written(bench: Bench) -> Iterator[Made]:
    """What the rules write of the text, as far as the data kept what they see; and the last token alone."""
    rows, contexts = range(len(bench.data)), bench.contexts
    some = rows[::EACH]
    name = "the writer's text, which sees no vector"
    if any(context.next_tokens for context in contexts):
        texts = [write(claims_of(context)) for context in contexts]
        yield from _rows(name, bench.mse(texts, rows, name), rows, texts)
    else:
        yield _none(name, "the data kept no next tokens: extract with --next-tokens")
    last = [f"Ends on {by_kind(claims_of(contexts[i]))['token']}." for i in some]
    yield from _rows("the last token alone", bench.mse(last, some, "the last token"), some, last)


def _inverted(bench: Bench) -> Iterator[Made]:
    """M's last tokens as they are, in place of an explanation."""
    texts, tok = bench.data.column("text"), bench.nla.model_tokenizer
    some = range(len(texts))[::EACH]
    ids = [tok.encode(texts[i][-40 * max(TAILS) :], add_special_tokens=False) for i in some]
    for k in TAILS:
        tails = [tok.decode(row[-k:], skip_special_tokens=True) for row in ids]
        name = f"the last {k} tokens as plain text"
        yield from _rows(name, bench.mse(tails, some, name), some, tails)


def _noise(bench: Bench) -> Iterator[Made]:
    """Gaussian vectors of each one's norm: explained, and read against the vectors."""
    some = np.arange(len(bench.data))[::EACH]
    drawn = random_directions(bench.vectors[torch.from_numpy(some)], bench.seed)
    name = "the explanation of a Gaussian vector of the same norm"
    said = [one[0] for one in bench.explain(drawn, "Gaussian vectors")]
    yield from _rows(name, bench.failed_or_mse(said, some), some, [one.text for one in said])


def _nothing(bench: Bench) -> Iterator[Made]:
    """The one explanation of a prompt with zeros in place of the vector, and of the prompt as it is."""
    av, rows = bench.nla.verbalizer, range(len(bench.data))
    ids, slots = av.prompt_ids, list(av.slots)
    held = families.embed(av.model, ids.to(av.device))[slots].detach().float()[None]
    for name, vectors in {"zeros in place of the vector": torch.zeros_like(held), "no injection": held}.items():
        if name == "no injection" and av.injection.entry_block:
            yield _none(name, "this AV adds the vector to what is there, so zeros are no injection")
            continue
        text, pred = _said(bench, vectors)
        mse = bench.error(pred.expand(len(rows), -1), bench.vectors)
        yield from _rows(name, mse, rows, [text] * len(rows), f"always: {' '.join(text.split())}")


def _said(bench: Bench, held: Float[Tensor, "1 s d"]) -> tuple[str, Float[Tensor, "1 d"]]:
    """The greedy explanation of a prompt with these very vectors at its slots, and what the AR makes of it."""
    av = bench.nla.verbalizer
    room = families.context_length(av.model) - len(av.prompt_ids)
    prompt = Prompt(tuple(av.prompt_ids.tolist()), tuple(av.slots), held, av.injection)
    said = av.sampler.generate(prompt, 1, Sampling(0.0, min(bench.max_tokens, room), bench.seed))[0][0]
    return said.text, bench.reconstruct([said.text if said.finish == "closed" else ""])


def _bag_of_words(bench: Bench) -> Iterator[Made]:
    """Directions by ridge regression from an explanation's words, fitted on one half of the documents for the other."""
    name = "ridge regression from its bag of words"
    if len(set(bench.docs)) < 2:
        yield _none(name, ALONE)
        return
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold

    unit = torch.nn.functional.normalize(bench.vectors.float(), dim=-1).numpy()
    try:
        words = CountVectorizer(binary=True, token_pattern=r"\w+|[^\w\s]").fit_transform(bench.texts)
    except ValueError:
        yield _none(name, "no explanation has a word")
        return
    pred = np.zeros_like(unit)
    for fitted, others in GroupKFold(2).split(words, groups=np.asarray(bench.docs, dtype=str)):
        x = words[fitted].toarray().astype(np.float32)
        pred[others] = RidgeCV(RIDGE).fit(x, unit[fitted]).predict(words[others].toarray().astype(np.float32))
    yield from _rows(name, np.square(pred - unit).sum(axis=1), range(len(unit)))


def _second(bench: Bench) -> Iterator[Made]:
    """The same explanations read by an AR of another training; one that failed for the pair has failed."""
    name = "its own explanation, read by the second AR"
    if bench.second is None:
        yield _none(name, "name one with --second")
        return
    texts = [text if valid else "" for text, valid in zip(bench.texts, bench.valid, strict=True)]
    rows = range(len(texts))
    yield from _rows(name, bench.mse(texts, rows, name, second=True), rows)

"""Linear probes of the base model for facts of the pocket world.

A probe is a multinomial logistic regression from the vector to the fact's value, fitted on train episodes and read on
held-out ones: combinations of values that training never had, in wordings that it had (known) or had not (new). It
reads the token at which the text has just settled the fact, and the last token before the text states it.
`python -m thinkaloud.pocket.probe --model pocket/base` prints the model card's tables.
"""

import json
import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from thinkaloud import loading
from thinkaloud.activations.forward import Pass
from thinkaloud.batching import default_batch_tokens
from thinkaloud.models import lm
from thinkaloud.pocket.chat import END
from thinkaloud.pocket.world import FAMILIES, Episode, Fact, episodes, wordings
from thinkaloud.site import Site

AT = ("settled", "before stated")
WORDINGS = ("known", "new")
ANSWER = re.compile(r"####\s*(-?[\d,]+)")


@dataclass(frozen=True)
class Probed:
    """Held-out accuracy of one probe. `majority` is the share of the commonest value among the held-out rows."""

    family: str
    fact: str
    at: str
    wording: str
    accuracy: float
    majority: float
    values: int
    n_train: int
    n: int


def settled_token(ends: Sequence[int], fact: Fact) -> int:
    """Index of the first token with which the fact is settled; `ends` are the characters at which tokens end."""
    return int(np.searchsorted(ends, fact.known_from))


def last_before(ends: Sequence[int], fact: Fact) -> int:
    """Index of the last token that ends before the text states the fact."""
    assert fact.stated_at is not None
    return int(np.searchsorted(ends, fact.stated_at, side="right")) - 1


def places(episode: Episode, ends: Sequence[int]) -> Iterator[tuple[str, str, str, int]]:
    """(fact, value, where it is read, token index) of every fact that can be probed. `place:Vera:2` counts as place."""
    for fact in episode.facts:
        settled = settled_token(ends, fact)
        name = fact.name.partition(":")[0]
        yield name, fact.value, "settled", settled
        if fact.stated_at is not None and last_before(ends, fact) >= settled:
            yield name, fact.value, "before stated", last_before(ends, fact)


Where = Callable[[Episode, Sequence[int]], Iterator[tuple[str, str, str, int]]]


def rows(
    run: Pass, tokenizer: Any, some: Sequence[Episode], where: Where = places
) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """For each (family, fact, where): vectors [n, d] and values [n] of these episodes."""
    encoded = tokenizer([e.text for e in some], return_offsets_mapping=True)
    keys, values, wanted = [], [], []
    for episode, offsets in zip(some, encoded["offset_mapping"], strict=True):
        found = list(where(episode, [end for _, end in offsets]))
        wanted.append([index for *_, index in found])
        keys += [(episode.family, name, at) for name, _, at, _ in found]
        values += [value for _, value, _, _ in found]
    vectors = run(encoded["input_ids"], wanted, default_batch_tokens(run.device.type))().vectors.float().numpy()
    rows_of = defaultdict(list)
    for row, key in enumerate(keys):
        rows_of[key].append(row)
    return {key: (vectors[mine], np.array(values)[mine]) for key, mine in rows_of.items()}


def probe(model: Any, tokenizer: Any, site: Site, n_train: int, n_heldout: int, seed: int = 0) -> list[Probed]:
    """A probe for each family, fact and place, on `n_train` and `n_heldout` episodes of each family."""
    run, out = Pass(model, site), []
    for family in FAMILIES:
        train = rows(run, tokenizer, list(episodes(seed + 1_000_003, n_train, "train", [family])))
        probes = {key: fitted(x, y) for key, (x, y) in train.items() if len(set(y)) > 1}
        held, new = list(episodes(seed + 1_000_003, n_heldout, "heldout", [family])), wordings(family, "heldout")
        for wording in WORDINGS:
            some = [episode for episode in held if (episode.wording in new) == (wording == "new")]
            read = rows(run, tokenizer, some) if some else {}
            for key in filter(read.__contains__, probes):
                (_, values), (x, y) = train[key], read[key]
                commonest = Counter(y).most_common(1)[0][1] / len(y)
                accuracy = float((probes[key].predict(x) == y).mean())
                out.append(Probed(*key, wording, accuracy, commonest, len(set(values)), len(values), len(y)))
    return out


def fitted(x: np.ndarray, y: np.ndarray) -> Any:
    """A logistic regression on standardised vectors [n, d]; its ridge is fixed, not tuned."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a probe that has not converged is a probe all the same
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x, y)


def question_of(episode: Episode) -> str:
    """A word problem up to where its working begins: the whole question, and the turn's opening in a chat."""
    first = min(fact.stated_at for fact in episode.facts if fact.stated_at is not None)
    return episode.text[: max(episode.text.rfind(mark, 0, first) + len(mark) for mark in ("\n", "<|assistant|>"))]


def solved(model: Any, tokenizer: Any, n: int, seed: int = 0, max_tokens: int = 64) -> float:
    """Share of `n` held-out word problems that the model works to the right `#### N` by itself, greedily."""
    some = list(episodes(seed + 2_000_003, n, "heldout", ["problems"]))
    asked = [tokenizer(question_of(episode))["input_ids"] for episode in some]
    ends = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END))
    right = 0
    for episode, made in zip(some, lm.greedy(model, tokenizer, asked, max_tokens, ends, batch_tokens=1), strict=True):
        said = ANSWER.search(tokenizer.decode(made.ids))
        answer = next(fact.value for fact in episode.facts if fact.name == "answer")
        right += said is not None and said.group(1) == answer
    return right / n


def table(found: Sequence[Probed]) -> str:
    """The probes as a Markdown table."""
    columns = [(at, wording) for at in AT for wording in WORDINGS]
    titles = ["family", "fact", "values", *(f"{at}, {wording} wording" for at, wording in columns), "commonest value"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for family, fact in dict.fromkeys((p.family, p.fact) for p in found):
        here = {(p.at, p.wording): p for p in found if (p.family, p.fact) == (family, fact)}
        shown = [f"{here[key].accuracy:.2f}" if key in here else "" for key in columns]
        values, majority = (max(getattr(p, name) for p in here.values()) for name in ("values", "majority"))
        lines.append("| " + " | ".join([family, fact, str(values), *shown, f"{majority:.2f}"]) + " |")
    return "\n".join(lines)


def main(
    model: str = "pocket/base",
    layer: int = 5,
    train: int = 3000,
    heldout: int = 1000,
    problems: int = 400,
    out: Path | None = None,
) -> None:
    """Print the tables of the model card.

    Args:
        train: train episodes a family
        heldout: held-out episodes a family
        problems: held-out word problems to answer
        out: write the figures here as JSON
    """
    loaded, tokenizer = loading.load_causal_lm(model), loading.load_tokenizer(model)
    share = solved(loaded, tokenizer, problems)
    found = probe(loaded, tokenizer, Site("resid_post", layer), train, heldout)
    print(table(found))
    print(f"\nword problems answered right: {100 * share:.1f} % of {problems}")
    if out:
        out.write_text(json.dumps({"problems": share, "probes": [asdict(p) for p in found]}, indent=1))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m thinkaloud.pocket.probe")

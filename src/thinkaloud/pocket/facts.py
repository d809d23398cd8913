"""Evaluation of whether explanations name the facts of the pocket world: by words, by margin, beside linear probes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.forward import Pass
from thinkaloud.activations.tokens import Reader
from thinkaloud.batching import default_batch_tokens
from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.margin import logprobs
from thinkaloud.fingerprint import same_model
from thinkaloud.pocket.mention import Mention
from thinkaloud.pocket.probe import fitted, last_before, places, rows, settled_token
from thinkaloud.pocket.world import FAMILIES, Episode, Fact, episodes, rhyme_words, wordings
from thinkaloud.stats import contrast
from thinkaloud.writers.base import Context
from thinkaloud.writers.claims import by_kind, parse
from thinkaloud.writers.heuristic import explain_context

STREAM = 3_000_029  # held-out episodes that no other study or probe reads; its train episodes are the probes'
NOT_YET, SETTLED, BEFORE, STATED = AT = ("not yet settled", "settled", "before stated", "stated")
SWAPPED = "asked, names swapped"
SCORED = 24  # of a fact and place, for how many the margin is measured
CHOICES = 8  # values that a margin chooses among, the true one with them
RHYMES = 2  # words of a rhyme that stand for it
TOPICS = ("rhyme", "trait", "rule", "place")
"""Facts whose values stand where an explanation has its topic; those of the others where it has the next token."""
NEXT_TOKENS = 6
_WORD = re.compile(r"\w+")


@evaluation("world")
class World(Evaluation):
    """Facts of the pocket world: named by words, by margin, and read by linear probes"""

    suite = "truth"
    source = "Ours; the episodes are those of the pocket world, held out from all training."
    metric = (
        "Of facts whose truth is known: the share of greedy explanations that name the value (words), of sampled "
        "ones, of explanations in which another episode's value would stand (by chance), and that name a value "
        "neither true nor in the text so far (false); the writer's own text of the same position; a linear probe "
        "on the same vector. Margin: among eight values, put where the explanation has its topic or its next "
        "token, the share of the others that gain less log-probability by this vector in place of another "
        "episode's than the true one (0.5 by chance), and how often the true one gains most (0.125). Where a fact "
        "is not yet settled it is absent. With names swapped, who is where is exchanged between two people and "
        "nothing else: margin is then how often the vector alone tells the two texts apart."
    )
    limits = (
        "That a value is named because it is held: where it stands in the text already (in the text), copying is "
        "enough. A pair has words for what its writer had words for; that a fact is never named may be for want of "
        "them, which the margin shows."
    )
    figure = Figure("fact", ("words", "linear probe", "margin"), {"panel": "read at"})
    n = 240
    """Held-out episodes."""
    trained = 400
    """Train episodes of each family that the probes are fitted on."""

    def measure(self, bench: Bench) -> Records:
        if not same_model(str(bench.nla.base), "pocket/base"):
            return ()
        some = list(episodes(STREAM, self.n, "heldout"))
        both = [(f"{i}", one) for i, one in enumerate(some)]
        both += [(f"{i} swapped", twin) for i, one in enumerate(some) if (twin := swapped(one))]
        return measured(bench, both, self.trained)

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            yield {"fact": "left out: it needs a pair that reads the pocket base model"}, {}
            return
        for (family, name, at), part in found.own.groupby(["family", "fact", "at"], sort=False):
            docs, new = part["doc"], part["new"].astype(bool)

            def share(column: str, where: Any = None, part: pd.DataFrame = part) -> Any:
                some = part if where is None else part[where]
                values = pd.to_numeric(some[column]).to_numpy(dtype=float)
                return found.share(values, some["doc"]) if np.isfinite(values).any() else None

            line = {
                "words": share("named"),
                "sampled words": share("sampled"),
                "by chance": share("chance"),
                "gain over chance": found.estimate(contrast(part["named"] - part["chance"]), docs),
                "false": share("false"),
                "the writer": share("written"),
                "linear probe": share("probe"),
                "margin": share("margin"),
                "margin picks": share("picks"),
                "words, new wording": share("named", new) if new.any() else None,
                "probe, new wording": share("probe", new) if new.any() else None,
                "in the text": f"{part['stands'].mean():.2f}",
                "facts": len(part),
            }
            yield {"fact": f"{family}: {name}", "read at": at}, line


def points(episode: Episode, ends: Sequence[int]) -> Iterator[tuple[str, str, str, int]]:
    """(fact, value, where it is read, token index): as `probe.places`, where it is not yet settled, and just stated.

    A place is never quite absent: each placement but the first follows one.
    """
    yield from places(episode, ends)
    for fact in episode.facts:
        name = fact.name.partition(":")[0]
        if settled_token(ends, fact) > 0 and name != "place":
            yield name, fact.value, NOT_YET, settled_token(ends, fact) - 1
        if fact.stated_at is not None:
            first = _WORD.match(episode.text, fact.stated_at)
            end = fact.stated_at + len(fact.value) if not fact.value.startswith("-") else first.end() if first else 0
            if last_before(ends, fact) >= settled_token(ends, fact):
                yield name, fact.value, STATED, min(int(np.searchsorted(ends, end)), len(ends) - 1)


def swapped(episode: Episode) -> Episode | None:
    """The same tale with the names of the one asked for and of another exchanged but in the question; None without."""
    last = {fact.name.split(":")[1]: fact.value for fact in episode.facts if fact.name.startswith("place:")}
    asked = next((fact for fact in episode.facts if fact.name == "asked"), None)
    if asked is None or asked.stated_at is None:
        return None
    one = next((name for name in last if episode.text[: asked.known_from].endswith(name)), "")
    other = next((name for name, place in last.items() if name[0].isupper() and place != asked.value), "")
    if not one[:1].isupper() or not other:
        return None
    start = asked.known_from - len(one)
    exchanged = {one: other, other: one}
    body = re.sub(rf"\b(?:{one}|{other})\b", lambda found: exchanged[found.group()], episode.text[:start])
    moved, value = len(body) - start, last[other]
    rest = episode.text[start : asked.stated_at] + value + episode.text[asked.stated_at + len(asked.value) :]
    fact = Fact(SWAPPED, value, asked.known_from + moved, asked.stated_at + moved)
    return replace(episode, text=body + rest, facts=(fact,))


def measured(bench: Bench, read: Sequence[tuple[str, Episode]], trained: int) -> list[dict[str, Any]]:
    """A record for each fact of these episodes at each place where it is read."""
    nla, tokenizer = bench.nla, bench.nla.model_tokenizer
    records, contexts, vectors = _read(bench, read)
    said = [row[0] for row in bench.explain(vectors, "explaining facts")]
    some = sorted({record["vector"] for record in records if record["at"] == BEFORE})
    drawn = bench.explain(vectors[some], "sampling facts", temperature=1.0)
    sampled = {i: Mention(row[0].text) for i, row in zip(some, drawn, strict=True)}
    every: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for record in records:
        every[_key(record)][record["value"]] += 1
    mentions = [Mention(one.text) for one in said]
    for record in records:
        i, value = record["vector"], record["value"]
        others = Counter({other: n for other, n in every[_key(record)].items() if other != value})
        text, plain = Mention(contexts[i].prefix), Mention(explain_context(contexts[i]))
        named = {other: mentions[i].names(other) for other in others}
        record |= {
            "explanation": said[i].text,
            **dict.fromkeys(("margin", "picks")),
            "named": mentions[i].names(value),
            "sampled": sampled[i].names(value) if i in sampled else None,
            "written": plain.names(value),
            "stands": text.names(value),
            "false": any(hit and not text.names(other) for other, hit in named.items()),
            "chance": sum(n * named[other] for other, n in others.items()) / max(1, others.total()),
        }
    run = Pass(nla.model, nla.site)
    probes: dict[Any, Any] = {}
    for i, family in enumerate(FAMILIES):
        bench.watch("probes of facts", i, len(FAMILIES))
        train = rows(run, tokenizer, list(episodes(STREAM, trained, "train", [family])), points)
        probes |= {key: fitted(x, y) for key, (x, y) in train.items() if key[2] != NOT_YET and len(set(y)) > 1}
    for record in records:
        probe = probes.get((*_key(record), record["at"]))
        x = vectors[record["vector"]][None].numpy()
        record["probe"] = None if probe is None else bool(probe.predict(x)[0] == record["value"])
    return _margins(bench, records, vectors, [one.text for one in said], every)


def _read(
    bench: Bench, some: Sequence[tuple[str, Episode]]
) -> tuple[list[dict[str, Any]], list[Context], Float[Tensor, "n d"]]:
    """The records of the facts, and the contexts and vectors that they are read at, each once."""
    nla, tokenizer = bench.nla, bench.nla.model_tokenizer
    encoded = tokenizer([one.text for _, one in some], return_offsets_mapping=True)
    reader, wanted, records, contexts = Reader(tokenizer), [], [], []
    for (doc, episode), ids, offsets in zip(some, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        ends = [end for _, end in offsets]
        found = list(points(episode, ends))
        tokens = sorted({token for *_, token in found})
        at = {token: len(contexts) + i for i, token in enumerate(tokens)}
        new = episode.wording in wordings(episode.family, "heldout")
        for name, value, where, token in found:
            head = {"family": episode.family, "fact": name, "at": where, "value": value, "vector": at[token]}
            records.append({"doc": doc.split()[0], "episode": doc, "new": new} | head)
        chat = episode.messages is not None
        contexts += [Context(episode.text[: ends[token]], reader.token(ids[token]), is_chat=chat) for token in tokens]
        wanted.append(tokens)
    run = Pass(nla.model, nla.site, NEXT_TOKENS)
    got = run(encoded["input_ids"], wanted, default_batch_tokens(run.device.type))()
    assert got.next_ids is not None
    assert got.next_probs is not None
    following = [
        tuple((reader.token(one), p) for one, p in zip(ids, probs, strict=True))
        for ids, probs in zip(got.next_ids.tolist(), got.next_probs.tolist(), strict=True)
    ]
    contexts = [replace(context, next_tokens=tops) for context, tops in zip(contexts, following, strict=True)]
    return sorted(records, key=_order), contexts, got.vectors.float()


def _order(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return FAMILIES.index(record["family"]), record["fact"], AT.index(record["at"])


def _key(record: Mapping[str, Any]) -> tuple[str, str]:
    """Family and fact; one with names swapped is of the fact that it was."""
    return record["family"], "asked" if record["fact"] == SWAPPED else record["fact"]


def _margins(
    bench: Bench,
    records: list[dict[str, Any]],
    vectors: Float[Tensor, "n d"],
    said: Sequence[str],
    every: Mapping[tuple[str, str], Counter[str]],
) -> list[dict[str, Any]]:
    """The records with their margins, where the fact is settled and not yet stated, and those of swapped names."""
    scored = [record for record in records if record["at"] in (SETTLED, BEFORE)]
    groups: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in scored:
        groups[record["fact"], record["at"]].append(record)
    own = {(one["episode"], one["at"]): one for one in scored if one["fact"] == "asked"}
    dice = np.random.default_rng(bench.seed)
    asked: list[tuple[dict[str, Any], int, list[str]]] = []
    for record in (one for group in groups.values() for one in group[:: -(-len(group) // SCORED)]):
        if record["fact"] == SWAPPED:
            against = own[record["doc"], record["at"]]
            asked.append((record, against["vector"], [record["value"], against["value"]]))
            continue
        others = sorted(value for value in every[_key(record)] if value != record["value"])
        some = dice.permutation(others)[: CHOICES - 1].tolist()
        foreign = [one["vector"] for one in scored if _key(one) == _key(record) and one["doc"] != record["doc"]]
        if some and foreign:
            asked.append((record, int(dice.choice(foreign)), [record["value"], *some]))
    begins: list[str] = []
    endings: list[list[str]] = []
    for record, _, values in asked:
        topic = record["fact"] in TOPICS
        begins.append(_begin(said[int(record["vector"])], topic))
        endings.append([ending for value in values for ending in _endings(value, topic)])
    gains = []
    for which in ([record["vector"] for record, *_ in asked], [other for _, other, _ in asked]):
        bench.watch("margins", len(gains), 2)
        gains.append(logprobs(bench.nla.verbalizer, vectors[which], begins, endings))
    for (record, _, values), here, there in zip(asked, *gains, strict=True):
        sizes = [len(_endings(value, record["fact"] in TOPICS)) for value in values]
        gain = np.array([_pooled(a) - _pooled(b) for a, b in zip(_cut(here, sizes), _cut(there, sizes), strict=True)])
        beaten = (gain[1:] < gain[0]) + 0.5 * (gain[1:] == gain[0])
        record |= {"margin": float(beaten.mean()), "picks": bool((gain[1:] < gain[0]).all())}
    return records


def _begin(said: str, topic: bool) -> str:
    """An explanation up to where it names its topic, or its first next token."""
    claims = parse(said)
    for claim in claims:
        if claim.kind == ("topic" if topic else "next"):
            return said[: said.index(claim.value, claim.span[0])]
    genre = by_kind(claims).get("genre", "Plain prose")
    return f"{genre}, about " if topic else f"{genre}.\nnext is likely "


def _endings(value: str, topic: bool) -> list[str]:
    if value.startswith("-"):
        return [f"the {word}" for word in rhyme_words(value)[:RHYMES]]
    return [f"the {value}"] if topic else [f'"{value}"']


def _pooled(found: Sequence[float]) -> float:
    return float(torch.logsumexp(torch.tensor(found, dtype=torch.float64), 0))


def _cut(found: Sequence[float], sizes: Sequence[int]) -> list[Sequence[float]]:
    ends = np.cumsum(sizes).tolist()
    return [found[end - size : end] for end, size in zip(ends, sizes, strict=True)]

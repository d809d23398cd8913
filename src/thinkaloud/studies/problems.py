"""Word problems: what M answers, and named places in its solutions."""

import json
import lzma
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.forward import vectors_at
from thinkaloud.chat import chat_text
from thinkaloud.errors import UserError
from thinkaloud.models import lm
from thinkaloud.pair.nla import NLA
from thinkaloud.pocket.probe import question_of
from thinkaloud.pocket.world import episodes
from thinkaloud.studies.numbers import spans

BORDER = "####"
_PLACE = re.compile(r"(question end|border|answer|answer end|solution)(?:([+-])(\d+))?")


@dataclass(frozen=True)
class Problem:
    """A question as M is given it (whole text up to where its solution begins), and the right answer."""

    id: str
    prompt: str
    gold: Decimal


@dataclass(frozen=True)
class Solution:
    """A problem with what M wrote: token ids of prompt and solution, and where its answer stands among them.

    `answer` is the first number behind ####; without a ####, the last one that M names. None where there is none, and
    where M was cut off before it came to a ####: what it had named by then is no answer. `span` are the first and
    last of the answer's tokens, `border` is the last token of ####, all as indices into `ids`.
    """

    problem: Problem
    ids: tuple[int, ...]
    prompt_tokens: int
    text: str
    answer: Decimal | None
    span: tuple[int, int] | None
    border: int | None

    @property
    def right(self) -> bool:
        return self.answer == self.problem.gold

    def place(self, name: str) -> int | None:
        """The index of a named place, None where this solution has none there; UserError for what is no place."""
        base, sign, offset = place_of(name)
        if base == "solution":
            at: int | None = (self.prompt_tokens if sign != "-" else len(self.ids)) + offset
        else:
            first, last = self.span or (None, None)
            named = {"question end": self.prompt_tokens - 1, "border": self.border, "answer": first, "answer end": last}
            start = named[base]
            at = None if start is None else start + offset
        first_token = {"question end": 0, "solution": self.prompt_tokens}.get(base, self.prompt_tokens - 1)
        inside = at is not None and first_token <= at < len(self.ids)
        return at if inside else None


def place_of(name: str) -> tuple[str, str | None, int]:
    """What a place is counted from, the sign of its offset, if it has one, and the offset; UserError for no place."""
    match = _PLACE.fullmatch(name)
    if not match:
        raise UserError(
            f"no place {name!r}: expected question end, solution+k, solution-k, border, answer or answer end, "
            "perhaps with an offset as in answer-2"
        )
    base, sign, digits = match.groups()
    return base, sign, int(f"{sign}{digits}") if sign else 0


def load_problems(name: str, n: int, seed: int, tokenizer: Any) -> list[Problem]:
    """At most `n` problems: held-out ones of the pocket world, or those of a JSONL file."""
    if name == "pocket":
        return list(_of_the_world(n, seed))
    found = list(_of_a_file(Path(name), tokenizer))
    if len(found) > n:
        keep = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:n].sort().values
        found = [found[int(i)] for i in keep]
    return found


def _of_the_world(n: int, seed: int) -> Iterator[Problem]:
    for i, episode in enumerate(episodes(seed + 2_000_003, n, "heldout", ["problems"])):
        answer = next(fact.value for fact in episode.facts if fact.name == "answer")
        yield Problem(f"world-{i}", question_of(episode), Decimal(answer))


def _of_a_file(path: Path, tokenizer: Any) -> Iterator[Problem]:
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
    if not lines:
        raise UserError(f"{path} holds no problems")
    for number, line in lines:
        where = f"{path}, line {number}"
        try:
            record = json.loads(line)
            question, answer = str(record["question"]), str(record["answer"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{where}: expected a JSON object with question and answer ({error})") from None
        gold = answer_in(answer)
        if gold is None:
            raise UserError(f"{where}: the answer {answer[:60]!r} holds no number")
        yield Problem(f"{path.stem}-{number}", _asked(question, tokenizer), gold[0])


def _asked(question: str, tokenizer: Any) -> str:
    """The question as M reads it: a message if it knows chats, else the text and a new line."""
    if getattr(tokenizer, "chat_template", None):
        return chat_text(tokenizer, [{"role": "user", "content": question}], generation_prompt=True)
    return f"{question}\n"


def answer_in(text: str) -> tuple[Decimal, int, int] | None:
    """The number a solution comes to, and its place in the text: the first one behind the first ####, else its last."""
    border = text.find(BORDER)
    found = [(value, start, end) for start, end, value in spans(text)]
    if border >= 0:
        return next((one for one in found if one[1] >= border), None)
    return found[-1] if found else None


def solve(model: Any, tokenizer: Any, problems: Sequence[Problem], max_tokens: int, batch: int = 16) -> list[Solution]:
    """M's own greedy solutions, each up to its end of text or turn, or to the end of the line that holds its answer."""
    asked = [_encoded(problem, model, tokenizer) for problem in problems]
    written = lm.greedy(model, tokenizer, asked, max_tokens, batch=batch)
    return [_solution(p, a, w.ids, w.cut, tokenizer) for p, a, w in zip(problems, asked, written, strict=True)]


def _encoded(problem: Problem, model: Any, tokenizer: Any) -> list[int]:
    # A chat template writes its own special tokens.
    special = not (tokenizer.bos_token and problem.prompt.startswith(tokenizer.bos_token))
    ids = tokenizer(problem.prompt, add_special_tokens=special)["input_ids"]
    if len(ids) >= families.context_length(model):
        raise UserError(f"problem {problem.id} has {len(ids)} tokens: M's context is full before it can answer")
    return ids


def _solution(problem: Problem, asked: list[int], written: list[int], cut: bool, tokenizer: Any) -> Solution:
    ends = [len(tokenizer.decode(written[: i + 1])) for i in range(len(written))]
    text = tokenizer.decode(written)
    found = None if cut and BORDER not in text else answer_in(text)
    if found and BORDER in text:  # what follows the answer's line is another text
        stop = text.find("\n", found[2])
        keep = len(written) if stop < 0 else _token_at(ends, stop) + 1
        written, ends = written[:keep], ends[:keep]
        text = tokenizer.decode(written)
    at = text.find(BORDER)
    return Solution(
        problem,
        (*asked, *written),
        len(asked),
        text,
        found[0] if found else None,
        (len(asked) + _token_at(ends, found[1] + 1), len(asked) + _token_at(ends, found[2])) if found else None,
        len(asked) + _token_at(ends, at + len(BORDER)) if at >= 0 else None,
    )


def _token_at(ends: Sequence[int], character: int) -> int:
    """The first token with which the text has grown to so many characters."""
    return next(i for i, end in enumerate(ends) if end >= character)


@dataclass(frozen=True)
class Place:
    """A named place of a solution (its index) that is there: the token of `ids` at which M is read."""

    solution: int
    name: str
    token: int


def read_places(
    nla: NLA, solutions: Sequence[Solution], names: Sequence[str]
) -> tuple[list[Place], Float[Tensor, "n d"]]:
    """Every named place that there is, solution by solution, and the activation at each. UserError if there is none."""
    places = [
        Place(i, name, at)
        for i, solution in enumerate(solutions)
        for name in dict.fromkeys(names)
        if (at := solution.place(name)) is not None
    ]
    if not places:
        raise UserError(
            f"none of the places {', '.join(names)} is in any of {len(solutions)} solutions, of which the first ends "
            f"in {solutions[0].text.strip()[-60:]!r}: name others, or let solutions be longer"
        )
    wanted = [sorted({place.token for place in places if place.solution == i}) for i in range(len(solutions))]
    vectors = vectors_at(nla.model, nla.site, [s.ids for s in solutions], wanted)
    row = {(i, token): k for k, (i, token) in enumerate((i, t) for i, tokens in enumerate(wanted) for t in tokens)}
    return places, vectors[[row[place.solution, place.token] for place in places]]

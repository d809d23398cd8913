"""Word problems: what M answers, and named places in its solutions."""

import json
import lzma
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.forward import vectors_at
from thinkaloud.activations.tokens import Reader
from thinkaloud.chat import chat_text
from thinkaloud.errors import UserError
from thinkaloud.models import lm
from thinkaloud.numbers import numbers, spans
from thinkaloud.pair.nla import NLA
from thinkaloud.pocket.probe import question_of
from thinkaloud.pocket.world import episodes
from thinkaloud.sentences import spans as sentence_spans
from thinkaloud.studies.graded import graded

BORDER, THINK, THOUGHT = "####", "<think>", "</think>"
ASKED = f"Give the answer at the end, as {BORDER} <number>."
_PLACE = re.compile(
    r"(question end|solution|think start|think end|first mention|border|answer end|answer|"
    r"sentence -?[1-9]\d* (?:start|end))(?:([+-])(\d+))?"
)
_EVERY = {"sentence starts": "start", "sentence ends": "end"}

Outcome = Literal["right", "wrong", "cut", "none"]


@dataclass(frozen=True)
class Problem:
    """A question as M is given it (all up to where its solution begins), and the right answer.

    `question` is what is asked alone, `working` how it may be solved, `steps` in how many steps, where that is known.
    """

    id: str
    prompt: str
    gold: Decimal
    question: str = ""
    working: str = ""
    steps: int | None = None

    @cached_property
    def given(self) -> set[Decimal]:
        """The numbers of the question."""
        return numbers(self.question)


@dataclass(frozen=True)
class Solution:
    """A problem with what M wrote: token ids of prompt and solution, and where things stand among them.

    `answer` is the first number behind ####; without a ####, the last one that M names; of M's thinking neither counts.
    None where there is none, and where M was cut off before it came to a ####: what it had named by then is no answer.
    Indices into `ids`: `marks` are the places without an offset, by name; `mentions` the first and last token of the
    first time that a number is written. `sentences` is how many there are.
    """

    problem: Problem
    ids: tuple[int, ...]
    prompt_tokens: int
    text: str
    cut: bool
    answer: Decimal | None
    marks: Mapping[str, int]
    mentions: Mapping[Decimal, tuple[int, int]]
    sentences: int

    @property
    def right(self) -> bool:
        return self.answer == self.problem.gold

    @property
    def outcome(self) -> Outcome:
        """Right or wrong; `cut` at the limit before it came to an answer; `none` where it ended without one."""
        if self.answer is None:
            return "cut" if self.cut else "none"
        return "right" if self.right else "wrong"

    def place(self, name: str) -> int | None:
        """The index of a named place, None where this solution has none there; UserError for what is no place."""
        base, sign, offset = place_of(name)
        start = {"solution": len(self.ids) if sign == "-" else self.prompt_tokens, **self.marks}.get(base)
        first = {"question end": 0, "think start": 0, "solution": self.prompt_tokens}.get(base, self.prompt_tokens - 1)
        return start + offset if start is not None and first <= start + offset < len(self.ids) else None

    def expanded(self, names: Sequence[str]) -> list[str]:
        """The names of single places, each once: for `sentence starts` those of every sentence."""
        count = range(1, self.sentences + 1)
        each = ([f"sentence {k} {_EVERY[n]}" for k in count] if n in _EVERY else [n] for n in names)
        return list(dict.fromkeys(name for some in each for name in some))


def place_of(name: str) -> tuple[str, str | None, int]:
    """What a place is counted from, the sign of its offset, if it has one, and the offset; UserError for no place."""
    if name in _EVERY:
        return name, None, 0
    match = _PLACE.fullmatch(name)
    if not match:
        raise UserError(
            f"no place {name!r}: expected question end, think start, think end, sentence starts, sentence ends, "
            "sentence K start, sentence K end, solution+k, solution-k, first mention, border, answer or answer end, "
            "perhaps with an offset as in answer-2"
        )
    base, sign, digits = match.groups()
    return base, sign, int(f"{sign}{digits}") if sign else 0


def load_problems(
    name: str, n: int, seed: int, tokenizer: Any, system: str | None = None, instruction: str | None = None
) -> list[Problem]:
    """At most `n` problems: made ones (`graded`), held-out ones of the pocket world, or those of a JSONL file.

    `instruction` stands behind the question; where none is given, the questions of a file ask for `#### <number>`.
    """
    if name == "pocket":
        return list(_of_the_world(n, seed))
    if name == "graded":
        return [
            Problem(f"graded-{i}", _asked(tokenizer, q, system, instruction, examples), Decimal(n), q, w, steps)
            for i, (steps, q, w, n, examples) in enumerate(graded(n, seed))
        ]
    found = list(_of_a_file(Path(name), tokenizer, system, ASKED if instruction is None else instruction))
    if len(found) > n:
        keep = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:n].sort().values
        found = [found[int(i)] for i in keep]
    return found


def _of_the_world(n: int, seed: int) -> Iterator[Problem]:
    for i, episode in enumerate(episodes(seed + 2_000_003, n, "heldout", ["problems"])):
        facts, question = {fact.name: fact.value for fact in episode.facts}, question_of(episode)
        working = episode.text.removeprefix(question)
        yield Problem(f"world-{i}", question, Decimal(facts["answer"]), question, working, len(facts) - 1)


def _of_a_file(path: Path, tokenizer: Any, system: str | None, instruction: str) -> Iterator[Problem]:
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
        # GSM8K marks each step as <<3*4=12>>.
        steps = answer.count("<<") or None
        name = f"{path.name.split('.')[0]}-{number}"
        yield Problem(name, _asked(tokenizer, question, system, instruction), gold[0], question, answer, steps)


def _asked(
    tokenizer: Any, question: str, system: str | None, instruction: str | None, examples: Sequence[tuple[str, str]] = ()
) -> str:
    """The question as M reads it behind worked examples: messages if it knows chats, else texts and new lines."""
    from jinja2 import TemplateError

    asked = f"{question} {instruction}" if instruction else question
    if not getattr(tokenizer, "chat_template", None):
        return "".join([f"{system}\n\n" if system else "", *(f"{q}\n{w}\n\n" for q, w in examples), f"{asked}\n"])
    turns = [message for q, w in examples for message in (("user", q), ("assistant", w))]
    messages = [*([("system", system)] if system else []), *turns, ("user", asked)]
    try:
        return chat_text(tokenizer, [{"role": r, "content": c} for r, c in messages], generation_prompt=True)
    except TemplateError as error:
        raise UserError(f"M's chat template refuses the prompt ({error}): leave --system out, if it is given") from None


def answer_in(text: str, cut: bool = False, opened: bool = False) -> tuple[Decimal, int, int] | None:
    """The number a solution comes to, and its place in the text: the first one behind the first ####, else its last.

    What stands before </think> is left out. None where M was `cut` before it came to a ####, and where its thinking,
    maybe `opened` by the prompt, does not end.
    """
    thought = text.rfind(THOUGHT)
    border = text.find(BORDER, thought + 1)
    if (thought < 0 and (opened or THINK in text)) or (cut and border < 0):
        return None
    found = [(value, start, end) for start, end, value in spans(text) if start >= max(border, thought)]
    return found[0 if border >= 0 else -1] if found else None


def line_end(text: str, found: tuple[Decimal, int, int] | None) -> int:
    """Where the text of a solution ends: what follows the line of an answer behind a #### is another text."""
    bordered = found is not None and text.find(BORDER, text.rfind(THOUGHT) + 1) >= 0
    stop = text.find("\n", found[2]) if found and bordered else -1
    return stop if stop >= 0 else len(text)


def solve(model: Any, tokenizer: Any, problems: Sequence[Problem], max_tokens: int) -> list[Solution]:
    """M's own greedy solutions, each up to its end of text or turn, or to the end of the line that holds its answer."""
    asked = [_encoded(problem, model, tokenizer) for problem in problems]
    written = lm.greedy(model, tokenizer, asked, max_tokens)
    return [parsed(p, a, w.ids, w.cut, tokenizer) for p, a, w in zip(problems, asked, written, strict=True)]


def _encoded(problem: Problem, model: Any, tokenizer: Any) -> list[int]:
    # A chat template writes its own special tokens.
    special = not (tokenizer.bos_token and problem.prompt.startswith(tokenizer.bos_token))
    ids = tokenizer(problem.prompt, add_special_tokens=special)["input_ids"]
    if len(ids) >= families.context_length(model):
        raise UserError(f"problem {problem.id} has {len(ids)} tokens: M's context is full before it can answer")
    return ids


def parsed(problem: Problem, asked: Sequence[int], written: Sequence[int], cut: bool, tokenizer: Any) -> Solution:
    """What M wrote behind the prompt `asked`, read as a solution; `cut` says that the limit ended it."""
    opened = problem.prompt.rstrip().endswith(THINK)  # some templates open the thinking themselves
    text, ends = tokenizer.decode(written), token_ends(written, tokenizer)
    found = answer_in(text, cut, opened)
    if (stop := line_end(text, found)) < len(text):
        written = written[: bisect_left(ends, stop) + 1]
        text, ends = tokenizer.decode(written), ends[: len(written)]

    def at(start: int, end: int) -> tuple[int, int]:
        """The first and last token of a stretch of the text: those with which it has grown to so many characters."""
        return len(asked) + bisect_left(ends, start + 1), len(asked) + bisect_left(ends, end)

    marks, thought = {"question end": len(asked) - 1}, text.rfind(THOUGHT)
    starts = text.find(THINK), thought, text.find(BORDER, thought + 1)
    for name, mark, start in zip(("think start", "think end", "border"), (THINK, THOUGHT, BORDER), starts, strict=True):
        marks |= {name: at(start, start + len(mark))[1]} if start >= 0 else {}
    marks |= {"think start": len(asked) - 1} if opened else {}
    sentences = [at(*span) for span in sentence_spans(text)]
    for k, (first, last) in enumerate(sentences):
        for n in (k + 1, k - len(sentences)):
            marks |= {f"sentence {n} start": first, f"sentence {n} end": last}
    mentions: dict[Decimal, tuple[int, int]] = {}
    for start, end, value in spans(text):
        mentions.setdefault(value, at(start, end))
    if found:
        marks["answer"], marks["answer end"] = at(*found[1:])
        marks["first mention"] = mentions[found[0]][0]
    answer = found[0] if found else None
    return Solution(problem, (*asked, *written), len(asked), text, cut, answer, marks, mentions, len(sentences))


def token_ends(ids: Sequence[int], tokenizer: Any) -> list[int]:
    """How long the text is with each further token."""
    texts = list(map(Reader(tokenizer).token, ids))
    if "".join(texts) == tokenizer.decode(ids):
        return list(accumulate(map(len, texts)))
    # Characters of several tokens, or spaces that depend on what is before them.
    return [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]


class Place(NamedTuple):
    """A named place of a solution (its index): the token of `ids` at which M is read, and its further names."""

    solution: int
    name: str
    token: int
    also: tuple[str, ...]


def read_places(
    nla: NLA, solutions: Sequence[Solution], names: Sequence[str]
) -> tuple[list[Place], Float[Tensor, "n d"]]:
    """Every token that is a named place, solution by solution, and its activation. UserError if there is none."""
    places = []
    for i, solution in enumerate(solutions):
        found: dict[int, list[str]] = {}
        for name in solution.expanded(names):
            if (at := solution.place(name)) is not None:
                found.setdefault(at, []).append(name)
        places += [Place(i, named[0], at, tuple(named[1:])) for at, named in sorted(found.items())]
    if not places:
        raise UserError(
            f"none of the places {', '.join(names)} is in any of {len(solutions)} solutions, of which the first ends "
            f"in {solutions[0].text.strip()[-60:]!r}: name others, or let solutions be longer"
        )
    wanted = [[place.token for place in places if place.solution == i] for i in range(len(solutions))]
    return places, vectors_at(nla.model, nla.site, [solution.ids for solution in solutions], wanted)

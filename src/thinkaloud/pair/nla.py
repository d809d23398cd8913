"""The pair: text → activations → words → activations → score."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import activations, families
from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.store import check_vectors
from thinkaloud.activations.tokens import tokens_of
from thinkaloud.atomic import restore
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.loading import load_tokenizer, resolve
from thinkaloud.pair import known
from thinkaloud.pair.formats import Bases, read_contract
from thinkaloud.pair.reading import Reading, ReadPosition, ScoredExplanation
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.scores import Scores
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.rollout.base import engine as engines
from thinkaloud.site import Site

MAX_TOKENS = 200
NEXT_TOKENS = 8  # of M's own next tokens, beside what an explanation says comes next

Text = str | Sequence[dict[str, str]]


@dataclass
class NLA:
    """A verbalizer and a reconstructor of the same site, and the model M they read.

    M is needed only to read text; it is loaded when that is first asked for.

    >>> nla = NLA.from_pretrained("pocket")
    >>> nla
    NLA('pocket' at resid_post:5, d_model 256, V 0.8... on ... vectors of ... documents (heldout))
    """

    verbalizer: Verbalizer
    reconstructor: Reconstructor
    base: str | Path | None = None
    name: str = "nla"
    bases: Bases = field(default_factory=Bases, repr=False, compare=False)

    def __repr__(self) -> str:
        baseline = self.baseline or "no baseline"
        return f"NLA({self.name!r} at {self.site}, d_model {self.reconstructor.contract.d_model}, {baseline})"

    def __post_init__(self) -> None:
        av, ar = self.verbalizer.contract, self.reconstructor.contract
        if av.d_model != ar.d_model:
            raise UserError(f"the AV is of a model {av.d_model} wide, the AR of one {ar.d_model} wide: not a pair")
        if av.site is not None and av.site != ar.site:
            raise UserError(f"the AV was trained at {av.site}, the AR at {ar.site}: not a pair")

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path | None = None,
        *,
        av: str | Path | None = None,
        ar: str | Path | None = None,
        base: str | Path | None = None,
        device: str | None = None,
        dtype: Any = None,
        engine: str = "lockstep",
    ) -> "NLA":
        """Load a pair by its name ("pocket", "smollm2"), by a folder that holds `av` and `ar`, or the two given apart.

        A hub pair published as NAME-av and NAME-ar loads by NAME. `base` defaults to the pair's own base folder, then
        to the model that the contract names. `engine` samples the explanations: "lockstep", "vllm", or a file
        that registers one.

        >>> NLA.from_pretrained("pocket").site
        Site(kind='resid_post', layer=5)
        """
        if name is not None and (av is not None or ar is not None):
            raise UserError("give the name of a pair, or av and ar, not both")
        if name is not None:
            av, ar, found = pair_paths(name)
            base = base or found
        if av is None or ar is None:
            raise UserError("a pair needs both av and ar, or the name of a pair")
        bases = Bases()
        given: dict[str, Any] = {"base": base, "device": device, "dtype": dtype, "bases": bases}
        verbalizer = Verbalizer.from_pretrained(av, **given)
        reconstructor = Reconstructor.from_pretrained(ar, **given)
        if engine != "lockstep":
            verbalizer.engine = engines.find(engine)(verbalizer.model, verbalizer.tokenizer)
        base = base or reconstructor.contract.base_model or verbalizer.contract.base_model
        return cls(verbalizer, reconstructor, base, str(name if name is not None else av), bases)

    @property
    def site(self) -> Site:
        site = self.reconstructor.contract.site
        assert site is not None  # an AR's contract has one
        return site

    @property
    def tokenizer(self) -> Any:
        return self.verbalizer.tokenizer

    @property
    def baseline(self) -> Baseline | None:
        """What FVE is measured against: the held-out baseline the pair was trained with, where its contract says it."""
        return self.reconstructor.contract.baseline or self.verbalizer.contract.baseline

    def baseline_for(
        self, vectors: Float[Tensor, "n d"] | np.ndarray, doc_ids: Iterable[Any] = (0,), split: str = "these vectors"
    ) -> Baseline:
        """The pair's baseline; for a pair that has none, the variance of these vectors, under the name `split`.

        >>> nla.baseline_for(torch.eye(256)) == nla.baseline
        True
        """
        return self.baseline or Baseline.of(_tensor(vectors).float().numpy(), doc_ids, split)

    @cached_property
    def model_tokenizer(self) -> Any:
        """M's own tokenizer; the AV's where the pair does not say which model it reads."""
        return self.tokenizer if self.base is None else load_tokenizer(self.base)

    @cached_property
    def model(self) -> Any:
        """M, the model whose activations the pair reads. Adapters of the pair share its weights."""
        if self.base is None:
            raise UserError("this pair does not say which model it reads: give base")
        dtype = families.embedding(self.verbalizer.model).weight.dtype
        model = self.bases.model(self.base, str(self.verbalizer.device), dtype)
        width, wanted = families.d_model(model), self.reconstructor.contract.d_model
        if width != wanted:
            raise UserError(f"base model {self.base} is {width} wide, the pair reads {wanted}: another model")
        self.site.check(families.n_blocks(model))
        return model

    def explain(
        self,
        vectors: Float[Tensor, "m d"] | np.ndarray,
        n: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        max_tokens: int = MAX_TOKENS,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations of each vector. Temperature 0 is greedy; the same seed gives the same tokens.

        >>> nla.explain(torch.ones(1, 256), n=2, temperature=1.0, max_tokens=4)
        [[Explanation(..., 4 tokens), Explanation(..., 4 tokens)]]
        """
        room = families.context_length(self.verbalizer.model) - len(self.verbalizer.prompt_ids)
        sampling = Sampling(temperature, min(max_tokens, room), seed)
        return self.verbalizer.explain(_tensor(vectors), n, sampling, watch=watch)

    def reconstruct(self, texts: Sequence[str]) -> Float[Tensor, "n d"]:
        """The vectors the texts describe, float32 [n, d], unscaled.

        >>> nla.reconstruct(["Ends on \\"sea\\", a noun."]).shape
        torch.Size([1, 256])
        """
        return self.reconstructor.reconstruct(texts)

    def score(
        self, texts: Sequence[str], vectors: Float[Tensor, "n d"] | np.ndarray, baseline: Baseline | None = None
    ) -> Scores:
        """How well each text rebuilds its vector.

        FVE is relative to `baseline`: the given one, else the pair's, else the variance of these very vectors.

        >>> words = "Ends on \\"sea\\", a noun."
        >>> nla.score([words], nla.reconstruct([words]))
        Scores(FVE 1.000, cos 1.000, mse ...0.000 over 1 vector)
        """
        target = _tensor(vectors)
        check_vectors(target, self.reconstructor.contract.d_model)
        if len(texts) != len(target):
            raise UserError(f"expected a text for each of {len(target)} vectors, found {len(texts)}")
        return Scores.of(self.reconstruct(texts), target, baseline or self.baseline_for(target))

    def read(
        self,
        text: Text,
        positions: str | Sequence[int] = "all",
        samples: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
        max_tokens: int = MAX_TOKENS,
        watch: Callable[[int], None] = lambda rows: None,
        window: int | None = None,
    ) -> Reading:
        """Read a text or a chat: what M holds at each position, in words, and how well the words rebuild it.

        `positions`: "all", "last", "0,-1", "50:" or a list of indices. Of several `samples`, a `temperature` above 0
        makes different ones. `watch` is called with the number of explanations that have come since the last call.
        A text beyond M's context is read in consecutive windows of `window` tokens; M sees nothing of those before.

        >>> chat = [{"role": "user", "content": "Is the sea salt?"}, {"role": "assistant", "content": "Yes."}]
        >>> nla.read(chat, positions=[1, 2])
        Reading('pocket' at resid_post:5, 2 of ... positions x 1, FVE ..., 'Is the sea salt? Yes.')
        """
        content = text if isinstance(text, str) else list(text)
        if not content or (isinstance(content, str) and not content.strip()):
            raise UserError("the text is empty: there is nothing to read")
        tokenizer = self.model_tokenizer
        tokens = tokens_of(tokenizer, content)
        found = activations.extract(
            self.model, [content], self.site, positions, tokenizer, next_tokens=NEXT_TOKENS, window=window
        )
        explained = self.explain(found.vectors, samples, temperature, seed, max_tokens, watch)
        flat = [explanation.text for row in explained for explanation in row]
        baseline = self.baseline_for(found.vectors, split="this text")
        scores = self.score(flat, found.vectors.repeat_interleave(samples, dim=0), baseline)
        special = set(special_ids(tokenizer).tolist())
        names = ("token", "token_id", "norm", "next_tokens", "next_probs")
        columns = (found.column(name) for name in names)
        places = tuple(
            ReadPosition(
                position,
                token,
                token_id,
                norm,
                tuple(map(ScoredExplanation.of, explained[i], scores[i * samples : (i + 1) * samples])),
                token_id in special,
                tuple(zip(next_tokens, next_probs, strict=True)),
            )
            for i, (position, token, token_id, norm, next_tokens, next_probs) in enumerate(
                zip(activations.parse_positions(positions, len(tokens)), *columns, strict=True)
            )
        )
        return Reading(places, scores.baseline, self.site, self.name, content, tokens, found.vectors)

    def with_baseline(self, baseline: Baseline) -> "NLA":
        """The same pair, measured against another baseline.

        >>> nla.with_baseline(Baseline(v=0.5, n=4096, n_docs=512, split="mine")).baseline.split
        'mine'
        """
        contract = self.reconstructor.contract.with_baseline(baseline)
        return replace(self, reconstructor=replace(self.reconstructor, contract=contract))


def model_read(name: str | Path | None, av: str | Path | None, ar: str | Path | None) -> str | Path | None:
    """Where the model is that a pair reads, by its folder and its contracts alone; None where they do not say."""
    av, ar, base = (av, ar, None) if name is None else pair_paths(name)
    named = [read_contract(path, role).base_model for path, role in ((av, "av"), (ar, "ar")) if path is not None]
    return base or next((model for model in reversed(named) if model is not None), None)


def read(text: Text, nla: NLA | str | Path = "pocket", **options: Any) -> Reading:
    """Read a text or a chat with a pair, which is loaded where only its name is given; `options` as in `NLA.read`.

    >>> thinkaloud.read("The old captain looked at the sea", positions="last")
    Reading('pocket' at resid_post:5, 1 of 8 positions x 1, FVE ..., 'The old captain looked at the sea')
    """
    pair = nla if isinstance(nla, NLA) else NLA.from_pretrained(nla)
    return pair.read(text, **options)


def pair_paths(name: str | Path) -> tuple[str | Path, str | Path, str | Path | None]:
    """Where the AV, the AR and, if it lies beside them, the base model of a named pair are."""
    text = str(name)
    pair, local = known.known().get(text), Path(text).expanduser().is_dir()
    if pair is not None and (pair["where"] == "bundled" or not local):
        return known.paths(pair)
    if not local and text.count("/") == 1 and text[0] not in "./~":
        return f"{text}-av", f"{text}-ar", None
    folder = resolve(name)
    missing = [part for part in ("av", "ar") if not restore(folder / part)]
    if missing:
        raise UserError(f"{folder} is no pair: expected folders av and ar in it, {missing[0]} is not there")
    return folder / "av", folder / "ar", folder / "base" if (folder / "base").is_dir() else None


def _tensor(vectors: Tensor | np.ndarray) -> Tensor:
    tensor = torch.as_tensor(vectors)
    if tensor.ndim not in (2, 3):
        raise UserError(f"vectors must be [n, d], found shape {tuple(tensor.shape)}")
    return tensor.detach().cpu()

"""Warm-start objectives: AV cross-entropy, AR direction MSE, and their shuffled controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud import injection as injections
from thinkaloud.config.groups import FAIL_MSE
from thinkaloud.config.train import MARKERS, ARWarmStart, AVWarmStart, WarmStart
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.explanation import wrap
from thinkaloud.fingerprint import at
from thinkaloud.loading import load_backbone, load_causal_lm, load_tokenizer, pick_device, pick_dtype
from thinkaloud.pair.failures import explanation_mse, valid_explanations
from thinkaloud.pair.formats import official
from thinkaloud.pair.reconstructor import Reconstructor, pad
from thinkaloud.pair.scores import Scores, direction_mse, fve
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.rollout.lockstep import Lockstep
from thinkaloud.site import Site
from thinkaloud.training.data import Ragged, Rows
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.losses import response_cross_entropy
from thinkaloud.training.memory import logits_in_pieces
from thinkaloud.training.start import going_on, load_start

C = TypeVar("C", bound=WarmStart)


@dataclass
class Task(Generic[C]):
    """One learner. `weights` of a set of rows is what their summed loss is divided by; `module` holds what learns."""

    module: nn.Module
    train: Rows
    held: Rows
    tokens: Ragged
    held_tokens: Ragged
    config: C

    def sizes(self, rows: Sequence[int]) -> list[int]:
        """Tokens each row takes in a forward pass."""
        return [int(n) for n in self.tokens.lengths[np.asarray(rows)]]

    def targets(self, rows: Sequence[int]) -> list[int]:
        """The rows whose vectors go with these texts: themselves, or others in the shuffled control."""
        if self.config.control == "none":
            return list(rows)
        return [(i + len(self.train) // 2) % len(self.train) for i in rows]


@dataclass
class AVTask(Task[AVWarmStart]):
    """Vector to text: cross-entropy on the response alone."""

    verbalizer: Verbalizer
    ar: Reconstructor | None

    @property
    def part(self) -> Verbalizer:
        """What learns, with its contract."""
        return self.verbalizer

    @property
    def model(self) -> nn.Module:
        """The model that learns."""
        return self.verbalizer.model

    def sizes(self, rows: Sequence[int]) -> list[int]:
        return [n + len(self.verbalizer.prompt_ids) for n in super().sizes(rows)]

    def weight(self, rows: Sequence[int]) -> float:
        return float(self.tokens.lengths[np.asarray(rows)].sum())

    def loss(self, rows: Sequence[int]) -> Tensor:
        return self._loss(self.train.vectors[self.targets(rows)], [self.tokens[i] for i in rows])

    def _loss(self, vectors: Tensor, responses: Sequence[np.ndarray]) -> Tensor:
        """Summed cross-entropy of the responses given the vectors, nats."""
        model, device = self.verbalizer.model, self.verbalizer.device
        ids, lengths = pad([response.tolist() for response in responses], device)
        prompt, arguments = self.verbalizer.inputs(self.verbalizer.slot_vectors(vectors))
        embeds = torch.cat([prompt, families.embed(model, ids[:, :-1])], dim=1)
        hidden = families.text_model(model)(inputs_embeds=embeds, use_cache=False, **arguments).last_hidden_state
        hidden = hidden[:, prompt.shape[1] - 1 :]
        real = torch.arange(ids.shape[1], device=device)[None] < lengths[:, None]
        states, targets = hidden[real], ids[real].long()

        def piece(states: Tensor, targets: Tensor) -> Tensor:
            return response_cross_entropy(families.logits(model, states), targets)

        return torch.stack(logits_in_pieces(model, piece, states, targets)).sum()

    @torch.no_grad()
    def evaluate(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Held-out cross-entropy with the right and with shuffled vectors; FVE of its own words, given an AR.

        An explanation that does not close, or that the AR cannot read, counts with the direction MSE of a failure.
        """
        n = len(self.held)
        right = self._held_ce(list(range(n)))
        wrong = self._held_ce([(i + n // 2) % n for i in range(n)])
        metrics = {"heldout_ce": right, "heldout_ce_shuffled_vectors": wrong, "heldout_ce_gap": wrong - right}
        samples: list[dict[str, Any]] = []
        if self.ar is not None:
            some = self.held.take(range(min(self.config.eval.texts, n)))
            av, sampling = self.verbalizer, Sampling(max_tokens=self._cap())
            engine = Lockstep(av.model, av.tokenizer)  # not the AV's own: its cache would stay while the AV learns
            explained = [row[0] for row in engine.generate(av.prompt(some.vectors), 1, sampling)]
            valid = valid_explanations(explained, self.ar)
            of = self.ar.reconstruct
            mse = explanation_mse(explained, valid, some.vectors, of, FAIL_MSE)
            other = explanation_mse(explained, valid, some.vectors.roll(len(some) // 2, dims=0), of, FAIL_MSE)
            metrics |= {
                "heldout_fve": fve(float(mse.mean()), some.baseline),
                "heldout_fve_shuffled_pairs": fve(float(other.mean()), some.baseline),
                "closed": sum(e.finish == "closed" for e in explained) / len(explained),
                "length": sum(len(e.token_ids) for e in explained) / len(explained),
            }
            samples = [
                {
                    "prefix": some.prefixes[i][-200:],
                    "written": some.texts[i],
                    "read": explained[i].text,
                    "fve": fve(float(mse[i]), some.baseline),
                }
                for i in range(min(8, len(explained)))
            ]
        return metrics, samples

    def _cap(self) -> int:
        longest = int(self.held_tokens.lengths.max())
        room = families.context_length(self.verbalizer.model) - len(self.verbalizer.prompt_ids)
        return min(room, longest + longest // 4)

    def _held_ce(self, order: Sequence[int]) -> float:
        """Nats a token over the held-out texts, with text i beside the vector of row `order[i]`."""
        total = 0.0
        for start in range(0, len(self.held), 64):
            rows = range(start, min(start + 64, len(self.held)))
            vectors = self.held.vectors[[order[i] for i in rows]]
            total += float(self._loss(vectors, [self.held_tokens[i] for i in rows]))
        return total / float(self.held_tokens.lengths.sum())


@dataclass
class ARTask(Task[ARWarmStart]):
    """Text to vector: direction MSE at the last token."""

    reconstructor: Reconstructor

    @property
    def part(self) -> Reconstructor:
        """What learns, with its contract."""
        return self.reconstructor

    @property
    def model(self) -> nn.Module:
        """The model that learns, without the head."""
        return self.reconstructor.backbone

    def weight(self, rows: Sequence[int]) -> float:
        return float(len(rows))

    def loss(self, rows: Sequence[int]) -> Tensor:
        pred = self._predict([self.tokens[i] for i in rows])
        return direction_mse(pred, self.train.vectors[self.targets(rows)].to(pred.device)).sum()

    def _predict(self, prompts: Sequence[np.ndarray]) -> Tensor:
        return self.reconstructor.predict(*pad([prompt.tolist() for prompt in prompts], self.reconstructor.device))

    @torch.no_grad()
    def evaluate(self) -> tuple[dict[str, float], list[dict[str, Any]]]:
        """Held-out direction MSE and FVE of the written texts, and of texts paired with other rows' vectors."""
        n = len(self.held)
        parts = [self._predict([self.held_tokens[i] for i in range(s, min(s + 64, n))]).cpu() for s in range(0, n, 64)]
        scores = Scores.of(torch.cat(parts), self.held.vectors, self.held.baseline)
        other = Scores.of(torch.cat(parts).roll(n // 2, dims=0), self.held.vectors, self.held.baseline)
        return {
            "heldout_mse": scores.mse,
            "heldout_fve": fve(scores.mse, self.held.baseline),
            "heldout_fve_shuffled_pairs": fve(other.mse, self.held.baseline),
        }, []


def build(
    config: WarmStart, train: Rows, held: Rows, manifest: dict[str, Any], commit: str | None = None
) -> AVTask | ARTask:
    """The task that a configuration describes, with fresh weights from its base model, of `commit` if that is given.

    With `config.start` it goes on from the weights of that AV or AR.
    """
    name = base_model(config, manifest)
    source, learns = at(name, commit), (config.mode, config.lora, config.compute.gradient_checkpointing)
    device = pick_device(config.compute.device)
    dtype = torch.float32 if config.mode == "full" else pick_dtype(device, config.compute.dtype)
    site, tokenizer = Site(**manifest["site"]), load_tokenizer(source)
    d_model = int(train.vectors.shape[1])
    torch.manual_seed(config.seed)
    common = {
        "d_model": d_model,
        "site": site,
        "base_model": name,
        "baseline": held.baseline,
        "stage": "warmstart",
    }
    if isinstance(config, AVWarmStart):
        if config.start is None:
            model = require_gradients(load_causal_lm(source, str(device), dtype), *learns)
            contract = _av_contract(config, tokenizer, manifest, common)
        else:
            before = cast(Verbalizer, load_start(config, manifest, device, dtype))
            model, tokenizer = require_gradients(before.model, *learns), before.tokenizer
            contract = going_on(before, common, config.start)
        verbalizer = Verbalizer(model, tokenizer, contract)

        def encode(texts: Sequence[str]) -> list[list[int]]:
            ids = tokenizer([wrap(text) for text in texts], add_special_tokens=False)["input_ids"]
            return [[*row, tokenizer.eos_token_id] for row in ids]

        ar = Reconstructor.from_pretrained(config.ar, device=str(device)) if config.ar else None
        tokens, held_tokens = Ragged.of(train.texts, encode), Ragged.of(held.texts, encode)
        longest = max(int(tokens.lengths.max()), int(held_tokens.lengths.max())) + len(verbalizer.prompt_ids)
        if longest > families.context_length(model):
            context = families.context_length(model)
            raise UserError(f"the longest prompt and explanation take {longest} tokens, the context is {context}")
        return AVTask(model, train, held, tokens, held_tokens, config, verbalizer, ar)
    assert isinstance(config, ARWarmStart)  # there are two kinds
    if config.start is None:
        backbone = require_gradients(load_backbone(source, site.layer, str(device), dtype), *learns)
        head = official.head_from(torch.eye(d_model)).to(device)
        contract = Contract(
            role="ar",
            ar_template=config.ar_template,
            mse_scale=d_model**0.5,
            ar_suffix_ids=template_suffix(tokenizer, config.ar_template),
            **common,
        )
    else:
        begun = cast(Reconstructor, load_start(config, manifest, device, dtype))
        backbone, head, tokenizer = require_gradients(begun.backbone, *learns), begun.head, begun.tokenizer
        contract = going_on(begun, common, config.start)
    head.requires_grad_(True)
    reconstructor = Reconstructor(backbone, head, tokenizer, contract)
    module = nn.ModuleDict({"backbone": backbone, "head": head})
    tokens, held_tokens = Ragged.of(train.texts, reconstructor.encode), Ragged.of(held.texts, reconstructor.encode)
    return ARTask(module, train, held, tokens, held_tokens, config, reconstructor)


def base_model(config: WarmStart, manifest: Mapping[str, Any]) -> str:
    """The name of the model that a warm start begins with."""
    return str(config.model or manifest["model"]["name"])


def template_suffix(tokenizer: Any, template: str) -> tuple[int, ...]:
    """The ids every prompt of an AR template ends with, whatever the explanation: its anchor, checked at every call."""
    ends = [tokenizer(template.replace("{explanation}", text))["input_ids"] for text in ("One.", "two", '"3"')]
    suffix: list[int] = []
    for column in zip(*(reversed(ids) for ids in ends), strict=False):
        if len(set(column)) > 1:
            break
        suffix.insert(0, column[0])
    if not suffix:
        raise UserError(
            "the AR template must end with text behind {explanation}: its last token is where the AR is read"
        )
    return tuple(suffix)


def _av_contract(config: AVWarmStart, tokenizer: Any, manifest: dict[str, Any], common: dict[str, Any]) -> Contract:
    plain = not tokenizer.chat_template  # a base model's
    ids, marker = _marked_prompt(config, tokenizer, plain)
    kind = injections.chosen(config.injection)
    scale = config.injection_scale or float(manifest["norm_percentiles"]["75"])
    return Contract(
        role="av",
        av_template=config.av_template,
        marker=marker,
        prompt_hash=contracts.hash_ids(ids),
        plain_prompt=plain,
        injection=kind.name,
        injection_scale=scale if kind.takes_scale else None,
        **common,
    )


def _marked_prompt(config: AVWarmStart, tokenizer: Any, plain: bool) -> tuple[list[int], contracts.Marker]:
    """The AV prompt's ids with the marker that was asked for, or the first candidate that is one token in it."""
    for char in [config.marker] if config.marker else MARKERS:
        try:
            ids, _, marker = contracts.find_marker(tokenizer, config.av_template, char, plain)
        except UserError:
            if config.marker:
                raise
            continue
        return ids, marker
    raise UserError(f"none of {' '.join(MARKERS)} is one token of the AV prompt here: name one with --marker")

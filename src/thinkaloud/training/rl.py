"""Reinforcement learning of a pair: rollouts, their reward by the AR, one update of both; resumable to the bit.

A step samples a group of explanations of each vector, lets the AR rebuild the vectors from the words, moves the AV
towards the explanations that were better than their group's mean, with a tether to the AV it started from, and
regresses the AR on the same words. The AR's gradient never reaches the AV. Fraser-Taliente et al., 2026.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thinkaloud.atomic import write_text
from thinkaloud.attention import evaluating
from thinkaloud.config.train import RL, cosine_lr
from thinkaloud.errors import UserError
from thinkaloud.evals.prose import repeated_items, stutters
from thinkaloud.explanation import Explanation
from thinkaloud.lock import held
from thinkaloud.rollout.base import Sampling
from thinkaloud.training import checkpoint, losses, run_folder
from thinkaloud.training.critic import Critic, valid_explanations
from thinkaloud.training.data import load_held, load_vectors, step_rows
from thinkaloud.training.memory import PieceSize
from thinkaloud.training.policy import Policy, TokenStats
from thinkaloud.training.rl_setup import FREE, Setup, identity, prepare, same_command, same_identity, save_pair
from thinkaloud.training.trainer import Part, Trainer
from thinkaloud.training.validation import MISMATCH_BOUND, check_mismatch, collapse, validate

Watch = Callable[[dict[str, Any]], None]
# A further term of the reward: from texts, vectors [n, d] and the texts up to them, a number for each.
Term = Callable[[Sequence[str], Tensor, Sequence[str]], Sequence[float]]


def train(
    config: RL,
    watch: Watch = lambda metrics: None,
    stop: Callable[[], bool] = lambda: False,
    terms: Mapping[str, tuple[float, Term]] | None = None,
) -> Path:
    """Begin a run, or go on with the one in `config.out`; returns its folder, which is a pair. `watch` sees every line
    of its log, and where a resumed run goes on. UserError where the run in the folder was begun otherwise.

    `stop` is asked after every step: if it says yes, the run is saved and ends, to go on with `resume`. `terms` are
    further terms of the reward, each with its weight; they are named in the log.
    """
    out = Path(config.out)
    if (out / run_folder.CONFIG).exists():
        same_command(out, config)
        return _go_on(out, {name: getattr(config, name) for name in FREE}, watch, stop, terms or {})
    with held(out):
        setup = prepare(config)
        run = _Run(setup, watch, stop, terms or {})  # reads and checks all there is to read, before anything is written
        begun = {"config": setup.config.to_dict(), **identity(setup), "terms": sorted(terms or {})}
        write_text(out / run_folder.CONFIG, json.dumps(begun, indent=1))
        return run.go()


def resume(
    out: str | Path,
    watch: Watch = lambda metrics: None,
    stop: Callable[[], bool] = lambda: False,
    terms: Mapping[str, tuple[float, Term]] | None = None,
) -> Path:
    """Go on with the run in `out` where it stopped, as if it had not; a finished one is left as it is."""
    return _go_on(Path(out), {"out": str(out)}, watch, stop, terms or {})


def _go_on(
    out: Path,
    changes: Mapping[str, Any],
    watch: Watch,
    stop: Callable[[], bool],
    terms: Mapping[str, tuple[float, Term]],
) -> Path:
    begun = run_folder.begun_with(out)
    if "nla" not in begun.get("config", {}):
        raise UserError(f"{out} is a warm start: run the same thinkaloud warmstart command again to go on with it")
    if begun["terms"] != sorted(terms):
        raise UserError(f"{out} was begun with the reward terms {begun['terms']}, given {sorted(terms)}")
    if run_folder.status(out) in ("finished", "collapsed"):
        return out
    with held(out):
        setup = prepare(RL.from_dict({**begun["config"], **changes}), begun.get("revisions", {}))
        same_identity(out, begun, setup)
        return _Run(setup, watch, stop, terms).go()


class _Run:
    """The state of a run between its steps."""

    def __init__(
        self, setup: Setup, watch: Watch, stop: Callable[[], bool], terms: Mapping[str, tuple[float, Term]]
    ) -> None:
        self.config, self.watch, self.stop, self.terms = setup.config, watch, stop, terms
        config = self.config
        self.out = Path(config.out)
        self.policy, self.critic = Policy(setup.verbalizer, config), Critic(setup.reconstructor, config)
        self.vectors, self.contexts = load_vectors(config.data, config.seed, config.rows, bool(terms))
        self.selection, self.held = load_held(config.data, config.eval_rows)
        self.module = nn.ModuleDict({"av": setup.verbalizer.model, "ar": self.critic.module})
        self.trainer = Trainer(
            self.out,
            self.module,
            [
                Part(f"_{name}", module, partial(_rate, config, peak or 0.0))
                for (name, module), peak in zip(self.module.items(), (config.lr, config.ar_lr), strict=True)
            ],
            steps=config.steps,
            clip=config.clip,
            weight_decay=config.weight_decay,
            betas=(0.9, 0.99),
            watch=watch,
            note=self._note,
        )
        self.trainer.state |= {"best": -math.inf, "best_step": None}
        self.micro_tokens, self.rollout_rows = self._piece_sizes()

    @property
    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the tensors."""
        return self.trainer.state

    def go(self) -> Path:
        """Run to the end, or until something stops it."""
        config, trainer = self.config, self.trainer
        done = trainer.resume()
        if done is not None:
            if self.state["best_step"] not in checkpoint.steps(trainer.checkpoints):  # gone for a better, damaged one
                self.state.update(best=-math.inf, best_step=None)
            self.policy.refresh()
        if self.state.get("collapsed"):
            return self._finish(self.state["collapsed"])
        if done is not None:
            self.watch({"step": done, "steps": config.steps})
        else:
            self._judge({"step": 0, "steps": config.steps})
            self._save(0)
        for step in range(done or 0, config.steps):
            metrics = self._step(step)
            last = step + 1 == config.steps
            reason = ""
            if (step + 1) % config.eval_every == 0 or last:
                reason = self._judge(metrics)
            else:
                trainer.log(metrics)
            if reason:  # kept with the checkpoint: a run that is killed before it has finished does not train on
                self.state["collapsed"] = f"collapsed at {step + 1} of {config.steps}: {reason}"
            stopped = self.stop()
            if (step + 1) % config.save_every == 0 or last or stopped or reason or self.state["best_step"] == step + 1:
                self._save(step + 1)
            if reason:
                return self._finish(self.state["collapsed"])
            if stopped and not last:
                write_text(self.out / run_folder.STATUS, f"stopped at {step + 1} of {config.steps}")
                return self.out
        return self._finish("finished")

    def _piece_sizes(self) -> tuple[PieceSize, PieceSize]:
        """Tokens of a pass and rows of a rollout, each from what is asked for to where halving would change nothing."""
        config = self.config
        longest = len(self.policy.verbalizer.prompt_ids) + config.max_tokens
        advice = "lower --max-tokens, set --checkpointing, or train an adapter (--mode adapter)"

        def size(name: str, asked: int, least: int, advice: str) -> PieceSize:
            return PieceSize(name, asked, min(asked, least), advice, lambda line: self.watch({"note": line}))

        return (
            size("micro_tokens", config.micro_tokens, longest, advice),
            size("rollout_rows", config.rollout_rows, config.group, "lower --group or --max-tokens"),
        )

    def _sample(self, vectors: Tensor, n: int, sampling: Sampling) -> list[list[Explanation]]:
        """`n` explanations of each vector; how many fit into memory at once changes nothing about what is drawn."""
        return self.rollout_rows.fit(lambda rows: self.policy.sample(vectors, n, sampling, rows))

    def _step(self, step: int) -> dict[str, Any]:
        """Rollouts, rewards, and one update of both; the metrics of it."""
        config, begin = self.config, time.perf_counter()
        rows = step_rows(step, len(self.vectors), config.prompts, config.seed)
        vectors = self.vectors[rows]
        sampling = Sampling(config.temperature, config.max_tokens, step_seed(config.seed, step))
        groups = self._sample(vectors, config.group, sampling)
        said = [one for group in groups for one in group]
        sampled = time.perf_counter()
        valid = valid_explanations(said, self.critic.reconstructor)
        if not valid.any():
            raise UserError(_all_failed(said, config))
        targets = vectors.repeat_interleave(config.group, dim=0)
        contexts = [self.contexts[row] for row in rows for _ in range(config.group)] if self.contexts else []
        texts = [one.text for one in said]
        further = {name: torch.tensor(list(term(texts, targets, contexts))) for name, (_, term) in self.terms.items()}
        metrics, stats = self.micro_tokens.fit(lambda tokens: self._learn(vectors, said, valid, further, tokens))
        if step % config.mismatch_every == 0:
            bound = config.mismatch_bound or MISMATCH_BOUND["bfloat16" if self.policy.bfloat16 else "float32"]
            metrics["mismatch"] = check_mismatch(stats.logprobs, said, bound)
        metrics |= self.trainer.update(step)
        self.policy.refresh()
        tokens, closed = sum(len(one.token_ids) for one in said), sum(one.finish == "closed" for one in said)
        seconds = time.perf_counter() - begin
        return {
            "step": step + 1,
            "steps": config.steps,
            **metrics,
            **{f"term_{name}": float(value.float().mean()) for name, value in further.items()},
            "train_closed": closed / len(said),
            "train_refused": (closed - int(valid.sum())) / len(said),
            "train_length": tokens / len(said),
            "skipped_av": self.state["skipped_av"],
            "skipped_ar": self.state["skipped_ar"],
            "seconds": round(seconds, 3),
            "seconds_rollout": round(sampled - begin, 3),
            "tokens_per_second": round(tokens / seconds),
        }

    def _learn(
        self,
        vectors: Tensor,
        said: Sequence[Explanation],
        valid: Tensor,
        further: Mapping[str, Tensor],
        micro_tokens: int,
    ) -> tuple[dict[str, Any], TokenStats]:
        """The gradients of a step: the AR's pass over the words, then the AV's over its own.

        It begins by dropping gradients and changes nothing else, so that it can be called again where it failed.
        """
        config, v = self.config, self.held.baseline.v
        self.trainer.optimizer.zero_grad(set_to_none=True)
        which = valid.nonzero()[:, 0].tolist()
        mse = torch.full((len(said),), config.fail_mse)
        targets = vectors.repeat_interleave(config.group, dim=0)
        mse[which] = self.critic.score([said[i].text for i in which], targets[which], micro_tokens)
        reward = self._reward(said, valid, mse, further)
        advantages = losses.advantages(reward.view(-1, config.group), config.advantage == "group").flatten()
        stats = self.policy.update(vectors, [one.token_ids for one in said], advantages, micro_tokens)
        metrics = {
            "reward": float(reward.mean()),
            "mse": float(mse[which].mean()),
            "train_fve": 1 - float(mse.mean()) / v if v > 0 else None,
            "kl": float(stats.kl.mean()),
            "entropy": -float(stats.logprobs.mean()),
        }
        return metrics, stats

    def _reward(self, said: Sequence[Explanation], valid: Tensor, mse: Tensor, further: Mapping[str, Tensor]) -> Tensor:
        """Minus the direction MSE or its logarithm, less the penalties, plus the further terms by their weights.

        What failed pays for the whole cap, lest ending early without the tag be cheaper than closing.
        """
        config = self.config
        lengths = torch.tensor([len(one.token_ids) for one in said]).where(valid, config.max_tokens)
        reward = losses.rewards(mse, valid, config.fail_mse, config.reward == "log_mse")
        reward = reward - losses.length_penalty(lengths, config.length_penalty, config.length_free)
        again = torch.tensor([repeated_items(one.text) + stutters(one.text) for one in said])
        reward = reward - config.repetition_penalty * again
        return reward + sum(weight * further[name].float() for name, (weight, _) in self.terms.items())

    def _judge(self, metrics: dict[str, Any]) -> str:
        """Validate, log, note the best step; why to stop, if there is a reason."""
        config, begin = self.config, time.perf_counter()
        vectors = torch.cat([self.selection.vectors, self.held.vectors])
        with evaluating(self.module):
            said = [row[0] for row in self._sample(vectors, 1, Sampling(0.0, config.max_tokens, config.seed))]
            chosen, figures, table = self.micro_tokens.fit(
                lambda tokens: validate(
                    said, self.policy, self.critic, self.selection, self.held, replace(config, micro_tokens=tokens)
                )
            )
        figures["seconds_eval"] = round(time.perf_counter() - begin, 3)
        step = metrics["step"]
        if "selection" not in self.state:  # a best step noted by an earlier version was chosen on other rows
            self.state.update(selection=True, best=-math.inf)
        if chosen["fve_frozen"] > self.state["best"]:
            self.state["best"], self.state["best_step"] = chosen["fve_frozen"], step
        run_folder.append(self.out / run_folder.SAMPLES, [{"step": step, **row} for row in table])
        self.trainer.log({**metrics, **figures, "best_step": self.state["best_step"]})
        return collapse(chosen, self.state["best"], config)

    def _note(self, text: str) -> None:
        self.watch({"note": text})

    def _save(self, step: int) -> None:
        best = self.state["best_step"]
        self.trainer.save(step, () if best is None else (best,), self.config.keep)

    def _finish(self, status: str) -> Path:
        """Write the best of the evaluated steps as a pair."""
        best, folder = self.state["best_step"], self.trainer.checkpoints
        if best is not None and (problem := checkpoint.damage(folder, best)):
            best = checkpoint.steps(folder)[-1]
            self._note(f"the best step's checkpoint cannot be read ({problem}): the pair is of step {best} instead")
        elif best is not None:
            self.trainer.restore(best)
        save_pair(self.policy.verbalizer, self.critic.reconstructor, self.config, self.held.baseline, best)
        write_text(
            self.out / run_folder.STATUS, f"{status}\n" if best is None else f"{status}; the pair is of step {best}"
        )
        return self.out


def _rate(config: RL, peak: float, step: int) -> float:
    return cosine_lr(step, config.steps, peak, peak * config.final_lr, config.warmup)


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's rollouts: 64 bits that depend on both."""
    return int.from_bytes(blake2b(f"{seed}|{step}".encode(), digest_size=8).digest(), "big")


def _all_failed(said: Sequence[Explanation], config: RL) -> str:
    count = Counter(one.finish for one in said)
    refused = f", {count['closed']} closed but the AR cannot read them" if count["closed"] else ""
    return (
        f"none of {len(said)} explanations can be learnt from: {count['cut']} reached the cap of {config.max_tokens} "
        f"tokens, {count['eos']} ended without their tag{refused}. Raise --max-tokens, or look at the pair with "
        f"thinkaloud read --nla {config.nla}"
    )

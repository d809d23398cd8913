"""GRPO training loop of a pair: rollouts, reward by the AR, one update of both; resumable to the bit on a CPU.

A step samples a group of explanations of each vector, lets the AR rebuild the vectors from the words, moves the AV
towards the explanations that were better than their group's mean, with a tether to the AV it started from, and
regresses the AR on the same words. The AR's gradient never reaches the AV. Fraser-Taliente et al., 2026.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thinkaloud.atomic import write_text
from thinkaloud.attention import evaluating
from thinkaloud.config.train import RL, cosine_lr
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.lock import held
from thinkaloud.pair.failures import explanation_mse, valid_explanations
from thinkaloud.rollout.base import Sampling
from thinkaloud.training import checkpoint, losses, rewards, run_folder
from thinkaloud.training.data import load_held, load_vectors, step_rows
from thinkaloud.training.memory import PieceSize
from thinkaloud.training.policy import Policy, TokenStats
from thinkaloud.training.reward_model import RewardModel
from thinkaloud.training.rewards import Rollouts
from thinkaloud.training.rl_setup import FREE, Setup, from_anywhere, identity, prepare, same_identity, save_pair
from thinkaloud.training.tracking import tracked
from thinkaloud.training.trainer import Part, Trainer
from thinkaloud.training.validation import MISMATCH_BOUND, check_mismatch, collapse, validate

Watch = Callable[[dict[str, Any]], None]


def train(
    config: RL,
    watch: Watch = lambda metrics: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Begin a run, or go on with the one in `config.out`; returns its folder, which is a pair. `watch` sees every line
    of its log, and where a resumed run goes on. UserError where the run in the folder was begun otherwise.

    `stop` is asked after every step: if it says yes, the run is saved and ends, to go on with `resume`.
    """
    out = Path(config.out)
    if (out / run_folder.CONFIG).exists():
        return _go_on(out, run_folder.as_begun(out, from_anywhere(config), FREE), watch, stop)
    with held(out), tracked(config.report_to, out, config.to_dict(), watch) as seen:
        setup = prepare(config)
        run = _Run(setup, seen, stop)  # reads and checks all there is to read, before anything is written
        whole = {"config": setup.config.to_dict(), **identity(setup)}
        write_text(out / run_folder.CONFIG, json.dumps(whole, indent=1))
        return run.go()


def resume(
    out: str | Path,
    watch: Watch = lambda metrics: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Go on with the run in `out` where it stopped, as if it had not; a finished one is left as it is."""
    return _go_on(Path(out), begun(out), watch, stop)


def begun(out: str | Path) -> RL:
    """The configuration of the run in `out`; UserError where that is no reinforcement learning."""
    config = run_folder.begun_with(Path(out)).get("config", {})
    if "nla" not in config:
        raise UserError(f"{out} is a warm start: run the same thinkaloud warmstart command again to go on with it")
    return RL.of(**{**config, "out": str(out)})


def _go_on(
    out: Path,
    config: RL,
    watch: Watch,
    stop: Callable[[], bool],
) -> Path:
    before = run_folder.begun_with(out)
    if before.get("terms"):
        raise UserError(f"{out} has reward terms of an earlier version, {before['terms']}: begin another run")
    if run_folder.status(out) in ("finished", "collapsed"):
        return out
    with held(out), tracked(config.report_to, out, config.to_dict(), watch) as seen:
        setup = prepare(config, before.get("revisions", {}))
        same_identity(out, before, setup)
        return _Run(setup, seen, stop).go()


class _Run:
    """The state of a run between its steps."""

    def __init__(self, setup: Setup, watch: Watch, stop: Callable[[], bool]) -> None:
        self.config, self.terms, self.watch, self.stop = setup.config, setup.terms, watch, stop
        config = self.config
        self.out = Path(config.out)
        self.policy, self.reward_model = Policy(setup.verbalizer, config), RewardModel(setup.reconstructor, config)
        contexts = any(term.contexts for _, term in self.terms)
        written = config.optim.ar_written > 0
        self.vectors, self.contexts, self.written = load_vectors(
            config.data, config.seed, config.rows, contexts, written
        )
        self.selection, self.held = load_held(config.data, config.eval.rows, written)
        self.module = nn.ModuleDict({"av": setup.verbalizer.model, "ar": self.reward_model.module})
        self.trainer = Trainer(
            self.out,
            self.module,
            [
                Part(f"_{name}", module, partial(_rate, config, peak or 0.0))
                for (name, module), peak in zip(self.module.items(), (config.optim.lr, config.optim.ar_lr), strict=True)
            ],
            steps=config.steps,
            optim=config.optim,
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
            if (step + 1) % config.eval.every == 0 or last:
                reason = self._judge(metrics)
            else:
                trainer.log(metrics)
            if reason:  # kept with the checkpoint: a run that is killed before it has finished does not train on
                self.state["collapsed"] = f"collapsed at {step + 1} of {config.steps}: {reason}"
            stopped = self.stop()
            if (step + 1) % config.save.every == 0 or last or stopped or reason or self.state["best_step"] == step + 1:
                self._save(step + 1)
            if reason:
                return self._finish(self.state["collapsed"])
            if stopped and not last:
                trainer.stopped(step + 1)
                return self.out
        return self._finish("finished")

    def _piece_sizes(self) -> tuple[PieceSize, PieceSize]:
        """Tokens of a pass and rows of a rollout, each from what is asked for to where halving would change nothing."""
        config = self.config
        longest = len(self.policy.verbalizer.prompt_ids) + config.rollout.max_tokens
        advice = "lower --max-tokens, set --gradient-checkpointing, or train an adapter (--mode adapter)"

        def size(name: str, asked: int, least: int, advice: str) -> PieceSize:
            return PieceSize(name, asked, min(asked, least), advice, lambda line: self.watch({"note": line}))

        return (
            size("micro_tokens", config.compute.micro_tokens or longest, longest, advice),
            size("rollout.rows", config.rollout.rows, config.rollout.group_size, "lower --group-size or --max-tokens"),
        )

    def _sample(self, vectors: Tensor, n: int, sampling: Sampling) -> list[list[Explanation]]:
        """`n` explanations of each vector; how many fit into memory at once changes nothing about what is drawn."""
        return self.rollout_rows.fit(lambda rows: self.policy.sample(vectors, n, sampling, rows))

    def _step(self, step: int) -> dict[str, Any]:
        """Rollouts, rewards, and one update of both; the metrics of it."""
        config, begin = self.config, time.perf_counter()
        rows = step_rows(step, len(self.vectors), config.rollout.prompts, config.seed)
        vectors = self.vectors[rows]
        sampling = Sampling(config.rollout.temperature, config.rollout.max_tokens, step_seed(config.seed, step))
        groups = self._sample(vectors, config.rollout.group_size, sampling)
        said = [one for group in groups for one in group]
        sampled = time.perf_counter()
        valid = valid_explanations(said, self.reward_model.reconstructor)
        if not valid.any():
            raise UserError(_all_failed(said, config))
        size = config.rollout.group_size
        targets = vectors.repeat_interleave(size, dim=0)
        written = [self.written[row] for row in rows] if self.written else []
        mse, mse_written = self.micro_tokens.fit(lambda tokens: self._read(said, valid, targets, written, tokens))
        contexts = [self.contexts[row] for row in rows for _ in range(size)] if self.contexts else []
        mse_of = partial(self._mse_of, targets=targets)
        rollouts = Rollouts(said, valid, targets, mse, contexts, config, mse_of)
        reward, terms = rewards.total(self.terms, rollouts)
        advantages = losses.advantages(reward.view(-1, size), config.reward.advantage == "grpo").flatten()
        stats = self.micro_tokens.fit(lambda tokens: self._learn(vectors, said, advantages, tokens))
        v = self.held.baseline.v
        metrics: dict[str, Any] = {
            "reward": float(reward.mean()),
            **terms,
            "mse": float(mse[valid].mean()),
            **({"mse_written": mse_written} if written else {}),
            "train_fve": 1 - float(mse.mean()) / v if v > 0 else None,
            "kl": float(stats.kl.mean()),
            "entropy": -float(stats.logprobs.mean()),
        }
        if step % config.rollout.mismatch_every == 0:
            bound = config.rollout.mismatch_bound or MISMATCH_BOUND["bfloat16" if self.policy.bfloat16 else "float32"]
            metrics["mismatch"] = check_mismatch(stats.logprobs, said, bound)
        metrics |= self.trainer.update(step)
        self.policy.refresh()
        tokens, closed = sum(len(one.token_ids) for one in said), sum(one.finish == "closed" for one in said)
        seconds = time.perf_counter() - begin
        return {
            "step": step + 1,
            "steps": config.steps,
            **metrics,
            "train_closed": closed / len(said),
            "train_refused": (closed - int(valid.sum())) / len(said),
            "train_length": tokens / len(said),
            "skipped_av": self.state["skipped_av"],
            "skipped_ar": self.state["skipped_ar"],
            "seconds": round(seconds, 3),
            "seconds_rollout": round(sampled - begin, 3),
            "tokens_per_second": round(tokens / seconds),
        }

    def _read(
        self, said: Sequence[Explanation], valid: Tensor, targets: Tensor, written: Sequence[str], micro_tokens: int
    ) -> tuple[Float[Tensor, " n"], float]:
        """Direction MSE of the valid explanations by the AR, whose gradient is added; of the others `fail_mse`.

        The second is the mean of the texts `written` of the same vectors, in order and one each, if there are any;
        their gradient is added too, with the weight `ar_written`. It begins by dropping the AR's gradients, so that it
        can be called again where it failed.
        """
        self.reward_model.module.zero_grad(set_to_none=True)
        which = valid.nonzero()[:, 0].tolist()
        mse = torch.full((len(said),), self.config.reward.fail_mse)
        mse[which] = self.reward_model.score([said[i].text for i in which], targets[which], micro_tokens)
        if not written:
            return mse, math.nan
        vectors, weight = targets[:: self.config.rollout.group_size], self.config.optim.ar_written
        return mse, float(self.reward_model.score(written, vectors, micro_tokens, weight).mean())

    def _mse_of(self, said: Sequence[Explanation], targets: Tensor, frozen: bool = False) -> Float[Tensor, " n"]:
        """Direction MSE of other explanations of the step's vectors, by the AR as it is or was, without a gradient."""
        valid, fail = valid_explanations(said, self.reward_model.reconstructor), self.config.reward.fail_mse
        return self.micro_tokens.fit(
            lambda tokens: explanation_mse(
                said, valid, targets, partial(self.reward_model.reconstruct, frozen=frozen, batch_tokens=tokens), fail
            )
        )

    def _learn(self, vectors: Tensor, said: Sequence[Explanation], advantages: Tensor, micro_tokens: int) -> TokenStats:
        """The AV's gradient on its own explanations; begins by dropping it, as `_read` does."""
        self.policy.model.zero_grad(set_to_none=True)
        return self.policy.update(vectors, [one.token_ids for one in said], advantages, micro_tokens)

    def _judge(self, metrics: dict[str, Any]) -> str:
        """Validate, log, note the best step; why to stop, if there is a reason."""
        config, begin = self.config, time.perf_counter()
        vectors = torch.cat([self.selection.vectors, self.held.vectors])
        with evaluating(self.module):
            said = [row[0] for row in self._sample(vectors, 1, Sampling(0.0, config.rollout.max_tokens, config.seed))]
            chosen, figures, table = self.micro_tokens.fit(
                lambda tokens: validate(said, self.policy, self.reward_model, self.selection, self.held, config, tokens)
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
        self.trainer.save(step, () if best is None else (best,), self.config.save.keep)

    def _finish(self, status: str) -> Path:
        """Write the best of the evaluated steps as a pair."""
        best, folder = self.state["best_step"], self.trainer.checkpoints
        if best is not None and (problem := checkpoint.damage(folder, best)):
            best = checkpoint.steps(folder)[-1]
            self._note(f"the best step's checkpoint cannot be read ({problem}): the pair is of step {best} instead")
        elif best is not None:
            self.trainer.restore(best)
        save_pair(self.policy.verbalizer, self.reward_model.reconstructor, self.config, self.held.baseline, best)
        write_text(
            self.out / run_folder.STATUS, f"{status}\n" if best is None else f"{status}; the pair is of step {best}"
        )
        return self.out


def _rate(config: RL, peak: float, step: int) -> float:
    return cosine_lr(step, config.steps, peak, peak * config.optim.final_lr_ratio, config.optim.warmup_steps)


def step_seed(seed: int, step: int) -> int:
    """The seed of a step's rollouts: 64 bits that depend on both."""
    return int.from_bytes(blake2b(f"{seed}|{step}".encode(), digest_size=8).digest(), "big")


def _all_failed(said: Sequence[Explanation], config: RL) -> str:
    count = Counter(one.finish for one in said)
    refused = f", {count['closed']} closed but the AR cannot read them" if count["closed"] else ""
    return (
        f"none of {len(said)} explanations can be learnt from: {count['cut']} reached the cap of "
        f"{config.rollout.max_tokens} tokens, {count['eos']} ended without their tag{refused}. "
        f"Raise --max-tokens, or look at the pair with thinkaloud read --nla {config.nla}"
    )

"""Held-out figures are by the AR with failures counted; rollouts by other weights are found out."""

from functools import cache
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.config.groups import Lora
from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.training.data import Held
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.policy import Policy
from thinkaloud.training.reward_model import RewardModel
from thinkaloud.training.validation import check_mismatch, collapse, validate

BASELINE = Baseline(0.8, 100, 50, "heldout")
ENDS: Any = ["closed", "cut", "closed", "eos", "closed", "closed"]
TEXTS = ["boats at sea", "gulls, gulls", "a storm", "the harbour", "it refuses this<|user|>", "day seven"]


def config(**changes: Any) -> RL:
    return RL.of(**{"nla": "", "data": "", "out": "", "max_tokens": 20, "temperature": 0.7, "kl": 0.3} | changes)


def verbalizer() -> Verbalizer:
    """An AV all of whose weights learn."""
    av = tiny.verbalizer()
    av.model = require_gradients(av.model, "full", Lora(rank=4, alpha=4))
    return av


def said(texts: list[str], responses: list[list[int]]) -> list[Explanation]:
    return [
        Explanation(text, text, tuple(ids), (0.0,) * len(ids), end)
        for text, ids, end in zip(texts, responses, ENDS, strict=True)
    ]


def refusing() -> Reconstructor:
    """An AR whose tokenizer lets a special token take the line break behind it, so that a prompt has another end."""
    from tokenizers import AddedToken

    ar = tiny.reconstructor()
    ar.tokenizer.add_tokens([AddedToken(tiny.USER, special=True, rstrip=True)], special_tokens=True)
    return ar


@pytest.mark.parametrize("fail_mse", [2.0, 1.5])
def test_what_failed_counts_as_failed(fail_mse: float) -> None:
    vectors = tiny.vectors(6, seed=8)
    given = config(fail_mse=fail_mse, kl=0.3)
    ar = refusing()
    first, second = [Held(vectors[s], ["…"] * 3, BASELINE) for s in (slice(0, 3), slice(3, 6))]
    explained = said(TEXTS, [[72, 101]] * 6)
    chosen, figures, table = validate(
        explained, Policy(verbalizer(), given), RewardModel(ar, given), first, second, given, 4096
    )
    rebuilt = {i: ar.reconstruct([TEXTS[i]])[0] for i in (0, 2, 5)}
    mse = [
        float(2 - 2 * torch.cosine_similarity(rebuilt[i], vectors[i], dim=0)) if i in rebuilt else fail_mse
        for i in range(6)
    ]
    wanted = tuple(1 - sum(mse[s]) / 3 / BASELINE.v for s in (slice(0, 3), slice(3, 6)))
    assert chosen["fve"] == figures["selection_fve"] == pytest.approx(wanted[0], abs=1e-5)
    assert figures["selection_fve_frozen"] == pytest.approx(wanted[0], abs=1e-5)
    assert figures["heldout_fve"] == figures["heldout_fve_frozen"] == pytest.approx(wanted[1], abs=1e-5)
    assert [row["fve"] for row in table] == pytest.approx([1 - one / BASELINE.v for one in mse[3:]], abs=1e-5)
    assert (figures["closed"], figures["refused"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (chosen["closed"], chosen["refused"]) == (pytest.approx(2 / 3), 0)


def teacher_forced(av: Verbalizer, vector: Tensor, response: list[int]) -> Tensor:
    """Log-probabilities [t, v] before each token of the response at temperature 0.7, over one text, nothing packed."""
    prompt, (slot,) = av.prompt_ids.tolist(), av.slots
    embeds = av.model.get_input_embeddings()(torch.tensor([prompt + response])).clone()
    embeds[0, slot] = 3.0 * vector / vector.norm()
    logits = av.model(inputs_embeds=embeds, use_cache=False).logits
    return torch.log_softmax(logits[0, len(prompt) - 1 : -1] / 0.7, dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("form", ["k3", "full"])
def test_the_kl_is_the_exact_one_whatever_the_loss_takes(form: str) -> None:
    policy, start, vectors = Policy(verbalizer(), config(kl_form=form)), verbalizer(), tiny.vectors(2)
    for parameter in policy.model.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())))
    first, second = [Held(vectors[:1], ["…"], BASELINE), Held(vectors[1:], ["…"], BASELINE)]
    response = [116, 104, 101, 32, 98, 111, 97, 116, 115, 46, 257]
    explained = [Explanation("boats", "", tuple(ids), (0.0,) * len(ids), "closed") for ids in ([7, 8], response)]
    reward_model = RewardModel(tiny.reconstructor(), policy.config)
    _, figures, _ = validate(explained, policy, reward_model, first, second, policy.config, 4096)
    now, before = (teacher_forced(av, vectors[1], response) for av in (policy.verbalizer, start))
    exact = float((now.exp() * (now - before)).sum(1).mean())
    assert exact > 1e-3
    assert figures["heldout_kl"] == pytest.approx(exact, rel=1e-3)


def test_reasons_to_stop() -> None:
    given = config(stop_closed=0.5, stop_drop=0.2, stop_repetition=0.5)
    good = {"closed": 0.9, "fve_frozen": 0.4, "repetition": 0.1}
    assert collapse(good, 0.5, given) == ""
    assert collapse(good | {"closed": 0.4}, 0.5, given) == "only 40 % of the held-out explanations close"
    assert collapse(good, 0.7, given) == "FVE with the frozen AR fell from 0.700 to 0.400"
    assert collapse(good | {"repetition": 0.6}, 0.5, given) == "60 % of the word pairs repeat"


@cache
def rolled_out() -> tuple[Tensor, list[Explanation]]:
    """Trainer log-probabilities, in float32, and rollouts of 64 vectors, two of which were sampled with another's."""
    policy = Policy(verbalizer(), config(temperature=1.0, max_tokens=40))
    vectors = tiny.vectors(64)
    wrong = vectors.clone()
    wrong[[7, 40]] = vectors[[8, 41]]
    flat = [one for row in policy.sample(wrong, 4, Sampling(1.0, 40, seed=5)) for one in row]
    return policy.evaluate(vectors, [one.token_ids for one in flat], 4096).logprobs, flat


def test_two_wrong_vectors_of_64_are_found_out() -> None:
    """In the mean they disappear: the bound is that of bfloat16, what is computed is exact otherwise."""
    logprobs, flat = rolled_out()
    sampled = torch.tensor([value for one in flat for value in one.logprobs])
    assert (logprobs - sampled).abs().mean() < 0.05
    with pytest.raises(
        UserError, match=r"^rollout–trainer log-probability mismatch: .* of 256 responses \([1-8] above 0.2\)"
    ):
        check_mismatch(logprobs, flat, 0.05)
    lengths = [len(one.token_ids) for one in flat]
    right = [i for i in range(256) if i // 4 not in (7, 40)]
    kept = torch.cat([logprobs.split(lengths)[i] for i in right])
    assert check_mismatch(kept, [flat[i] for i in right], 1e-3) < 1e-5


def test_a_single_token_rounded_far_is_no_mismatch() -> None:
    _, flat = rolled_out()
    exact = torch.tensor([value for one in flat for value in one.logprobs])
    short = min(range(len(flat)), key=lambda i: len(flat[i].token_ids))
    at = sum(len(one.token_ids) for one in flat[:short])
    off = exact.clone()
    off[at] += 1.0
    assert check_mismatch(off, flat, 0.05) == pytest.approx(1 / len(exact), rel=1e-3)
    off[at] += 3.0
    with pytest.raises(UserError, match=r"by 0.25 in the worst of 256 responses \(1 above 0.2\)"):
        check_mismatch(off, flat, 0.05)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_a_mismatch(value: float) -> None:
    _, flat = rolled_out()
    off = torch.tensor([value for one in flat for value in one.logprobs])
    off[3] = value
    with pytest.raises(UserError, match="mismatch"):
        check_mismatch(off, flat, 0.05)

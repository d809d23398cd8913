"""Warm start objectives are what an independent computation says, whatever the micro-batches and the mode."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from real import mistral
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations import Activations
from thinkaloud.batching import length_batches
from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.contract import hash_ids
from thinkaloud.errors import UserError
from thinkaloud.explanation import wrap
from thinkaloud.pair.formats import save
from thinkaloud.training.data import load_rows
from thinkaloud.training.tasks import ARTask, AVTask, _marked_prompt, build, template_suffix

AV: dict[str, Any] = {"injection_scale": 3.0, "av_template": "Vector: {injection_char} Words:"}
AR: dict[str, Any] = {"ar_template": "{explanation}\nVector:"}


def task(data: Path, role: str, **changes: Any) -> Any:
    config = AVWarmStart.of(data=str(data), out="", **(AV | changes)) if role == "av" else None
    config = config or ARWarmStart.of(data=str(data), out="", **(AR | changes))
    train, found = load_rows(data, "train", 0)
    held, _ = load_rows(data, "heldout", 0)
    assert found.manifest is not None
    return build(config, train, held, found.manifest)


def independent_av(model: Any, tok: Any, text: str, vector: Tensor, marker: str) -> tuple[float, int]:
    """Summed cross-entropy and tokens of one response: one row, nothing padded, the whole sequence through the head."""
    content = f"Vector: {marker} Words:"
    if tok.chat_template:
        messages = [{"role": "user", "content": content}]
        prompt = tok.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    else:
        prompt = [tok.bos_token_id, *tok(content, add_special_tokens=False)["input_ids"]]
    response = [*tok(wrap(text), add_special_tokens=False)["input_ids"], tok.eos_token_id]
    embeds = model.get_input_embeddings()(torch.tensor([prompt + response]))
    embeds = embeds.clone()
    embeds[0, prompt.index(tok.convert_tokens_to_ids(marker))] = 3.0 * vector / vector.norm()
    logits = model(inputs_embeds=embeds).logits[0, len(prompt) - 1 : -1]
    each = -torch.log_softmax(logits.double(), dim=-1)[torch.arange(len(response)), torch.tensor(response)]
    return float(each.sum()), len(response)


@pytest.mark.parametrize("model", ["base", "plain_base"])
@torch.no_grad()
def test_the_av_minimises_cross_entropy_on_the_response_alone(
    data: Path, model: str, request: pytest.FixtureRequest
) -> None:
    made: AVTask = task(data, "av", model=str(request.getfixturevalue(model)))
    assert made.verbalizer.contract.plain_prompt == (model == "plain_base")
    marker = made.verbalizer.contract.marker
    assert marker is not None
    rows = [0, 5, 11, 17]
    each = [
        independent_av(made.module, made.verbalizer.tokenizer, made.train.texts[i], made.train.vectors[i], marker.char)
        for i in rows
    ]
    assert made.weight(rows) == sum(n for _, n in each)
    assert float(made.loss(rows)) == pytest.approx(sum(ce for ce, _ in each), rel=1e-5)
    held = [
        independent_av(made.module, made.verbalizer.tokenizer, text, vector, marker.char)
        for text, vector in zip(made.held.texts, made.held.vectors, strict=True)
    ]
    expected = sum(ce for ce, _ in held) / sum(n for _, n in held)
    assert made.evaluate()[0]["heldout_ce"] == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_the_ar_minimises_the_direction_mse_at_the_last_token(data: Path, base: Path) -> None:
    made: ARTask = task(data, "ar")
    tok, whole = made.reconstructor.tokenizer, tiny.model("llama", max_position_embeddings=1024)
    rows, expected = [1, 2, 8], 0.0
    for i in rows:
        ids = tok(f"{made.train.texts[i]}\nVector:")["input_ids"]
        state = whole(torch.tensor([ids]), output_hidden_states=True).hidden_states[3][0, -1]
        expected += float(2 - 2 * torch.cosine_similarity(state, made.train.vectors[i], dim=0))
    assert made.weight(rows) == 3
    assert float(made.loss(rows)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("role", ["av", "ar"])
@pytest.mark.parametrize("mode", ["full", "adapter"])
def test_micro_batches_change_nothing(data: Path, role: str, mode: str) -> None:
    made = task(data, role, mode=mode, adapter_rank=4)
    rows = list(range(9))

    def gradients(budget: int) -> dict[str, Tensor]:
        made.module.zero_grad()
        for micro in length_batches(made.sizes(rows), budget):
            (made.loss([rows[i] for i in micro]) / made.weight(rows)).backward()
        return {name: p.grad.clone() for name, p in made.module.named_parameters() if p.grad is not None}

    whole, parts = gradients(100_000), gradients(1)
    assert whole
    assert whole.keys() == parts.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=2e-6, rtol=1e-3)


@pytest.mark.parametrize("role", ["av", "ar"])
def test_what_learns(data: Path, role: str) -> None:
    full = {n for n, p in task(data, role).module.named_parameters() if p.requires_grad}
    adapted = {
        n for n, p in task(data, role, mode="adapter", adapter_rank=4).module.named_parameters() if p.requires_grad
    }
    assert any("embed_tokens" in name for name in full)
    assert ("head.weight" in full) == (role == "ar")
    assert all("lora_" in name or name == "head.weight" for name in adapted)
    assert any("lora_" in name for name in adapted)


def test_the_av_prompt_is_marked_as_its_tokenizer_allows(data: Path) -> None:
    made: AVTask = task(data, "av")
    contract, ids = made.verbalizer.contract, made.verbalizer.prompt_ids.tolist()
    assert contract.prompt_hash == hash_ids(ids)
    config = AVWarmStart.of(data=str(data), out="")
    ids, marker = _marked_prompt(config, mistral("v1"), plain=False)
    assert (marker.char, ids.count(marker.token_id)) == ("※", 1), "the first of the candidates that is one token"
    with pytest.raises(UserError, match="the marker 'Zzyx' must be one token, this tokenizer makes it"):
        _marked_prompt(config.but(marker="Zzyx"), mistral("v1"), plain=False)
    with pytest.raises(UserError, match=r"none of ㈎ ㈜ .* is one token of the AV prompt here: name one with --marker"):
        _marked_prompt(config.but(av_template="x{injection_char}"), without_marker(), plain=False)


def without_marker() -> Any:
    """The tiny tokenizer, its marker a sequence of bytes like any other text."""
    tok = tiny.tokenizer()
    core = json.loads(tok._tokenizer.to_str())
    core["added_tokens"] = [token for token in core["added_tokens"] if token["content"] != tiny.MARKER]
    tok._tokenizer = type(tok._tokenizer).from_str(json.dumps(core))
    return tok


def test_the_ar_starts_as_the_models_own_vector(data: Path) -> None:
    made: ARTask = task(data, "ar")
    assert torch.equal(made.reconstructor.head.weight, torch.eye(32))
    assert made.reconstructor.head.weight.dtype == torch.float32


@pytest.mark.parametrize("role", ["av", "ar"])
def test_checkpointing_gives_the_same_gradients(data: Path, role: str) -> None:
    found = []
    for checkpointing in (False, True):
        made = task(data, role, checkpointing=checkpointing)
        made.loss([0, 1, 2]).backward()
        found.append({n: p.grad for n, p in made.module.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


def test_logits_in_pieces_are_the_same_loss(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: AVTask = task(data, "av")
    made.loss([0, 1]).backward()
    embedding = families.embedding(made.module).weight
    assert embedding.grad is not None
    whole = embedding.grad.clone()
    made.module.zero_grad()
    monkeypatch.setattr("thinkaloud.training.memory.LOGITS", {"cpu": 7 * tiny.VOCABULARY})
    made.loss([0, 1]).backward()
    torch.testing.assert_close(embedding.grad, whole, atol=1e-4, rtol=1e-4)


def test_the_shuffled_control_learns_from_other_rows(data: Path) -> None:
    real, control = task(data, "ar"), task(data, "ar", control="shuffled")
    n = len(real.train)
    assert real.targets(range(n)) == list(range(n))
    assert sorted(control.targets(range(n))) == list(range(n))
    assert all(i != j for i, j in enumerate(control.targets(range(n))))
    assert float(real.loss([0, 1]).detach()) != float(control.loss([0, 1]).detach())


def test_the_controls_of_an_evaluation_pair_texts_with_other_vectors(data: Path) -> None:
    made: ARTask = task(data, "ar")
    metrics, _ = made.evaluate()
    vectors, n = made.held.vectors, len(made.held)
    rebuilt = made.reconstructor.reconstruct(made.held.texts)
    for name, target in (("heldout_fve", vectors), ("heldout_fve_shuffled_pairs", vectors.roll(-(n // 2), dims=0))):
        mse = float((2 - 2 * torch.cosine_similarity(rebuilt, target)).mean())
        assert metrics[name] == pytest.approx(1 - mse / made.held.baseline.v, abs=1e-4)


def test_an_explanation_that_does_not_close_counts_as_failed(data: Path, tmp_path: Path) -> None:
    """Whatever its text rebuilds: V is below 2, so an AV that never closes has an FVE of 1 − 2 / V."""
    save(tiny.reconstructor(), tmp_path / "ar")
    made: AVTask = task(data, "av", ar=str(tmp_path / "ar"), eval_texts=6)
    metrics, samples = made.evaluate()
    assert metrics["closed"] == 0
    wanted = 1 - 2 / made.held.baseline.v
    assert metrics["heldout_fve"] == pytest.approx(wanted)
    assert [sample["fve"] for sample in samples] == pytest.approx([wanted] * 6)


@pytest.mark.parametrize(
    ("template", "end"),
    [("{explanation}\nVector:", "\nVector:"), ("Notes: {explanation} – end.", " – end."), ("{explanation}!", "!")],
)
def test_the_suffix_is_what_every_prompt_ends_with(template: str, end: str) -> None:
    tok = tiny.tokenizer()
    assert tok.decode(template_suffix(tok, template)) == end


def test_a_template_without_an_end_is_refused() -> None:
    from thinkaloud.errors import UserError

    with pytest.raises(UserError, match="must end with text behind"):
        template_suffix(tiny.tokenizer(), "The words: {explanation}")


def test_the_injected_norm_is_the_layers_75th_percentile(data: Path) -> None:
    made: AVTask = task(data, "av", injection_scale=None)
    norms = Activations.load(data).vectors.norm(dim=1)
    assert made.verbalizer.contract.injection_scale == pytest.approx(float(norms.quantile(0.75)), rel=1e-3)

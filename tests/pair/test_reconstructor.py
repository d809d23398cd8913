"""Texts are turned into vectors the same way, however many there are and in whichever order."""

from typing import Any

import pytest
import tiny
import torch

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.pair import reconstructor
from thinkaloud.pair.reconstructor import Reconstructor, pad

TEXTS = ["a short one", "", "the clause names a river and expects where it flows next", "x", "Ünïcode, 日本 too"] * 3


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_batches_change_nothing(name: str) -> None:
    ar = tiny.reconstructor(name)
    alone = torch.cat([ar.reconstruct([text]) for text in TEXTS])
    together = ar.reconstruct(TEXTS)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(ar.reconstruct(TEXTS, batch_tokens=100), alone, atol=2e-5, rtol=1e-5)
    turned = ar.reconstruct(TEXTS[::-1]).flip(0)
    torch.testing.assert_close(turned, alone, atol=2e-5, rtol=1e-5)


def test_many_texts_are_tokenised_a_slice_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ar = tiny.reconstructor()
    whole = ar.reconstruct(TEXTS)
    monkeypatch.setattr(reconstructor, "ENCODED_AT_ONCE", 4)
    torch.testing.assert_close(ar.reconstruct(TEXTS), whole, atol=2e-5, rtol=1e-5)
    rows = [row for batch, _ in ar.batches(TEXTS, 100) for row in batch]
    assert sorted(rows) == list(range(len(TEXTS)))
    with pytest.raises(UserError, match=r"^explanation 15 has 614 tokens with its template: the context is 256$"):
        ar.reconstruct([*TEXTS, "x" * 600])


def test_it_is_the_state_at_the_last_token_through_the_head() -> None:
    ar = tiny.reconstructor("llama", seed=1)
    full = tiny.model("llama", 1)
    ids = ar.tokenizer("Said: hello\nMeant:", return_tensors="pt")["input_ids"]
    assert ids[0, 0] == ar.tokenizer.bos_token_id
    with torch.no_grad():
        state = full(input_ids=ids, output_hidden_states=True).hidden_states[3][0, -1]
    torch.testing.assert_close(ar.reconstruct(["hello"])[0], ar.head.weight @ state)
    scaled = tiny.reconstructor("llama", seed=1, scaled_state=True)
    wanted = ar.head.weight @ (state * 32**0.5 / state.norm())
    torch.testing.assert_close(scaled.reconstruct(["hello"])[0], wanted)


def test_gradients_reach_head_and_backbone() -> None:
    ar = tiny.reconstructor()
    ar.backbone.requires_grad_(True)
    ar.head.requires_grad_(True)
    ids, lengths = pad(ar.encode(["one", "and another"]), ar.device)
    ar.predict(ids, lengths).square().sum().backward()
    gradients = [ar.head.weight.grad, families.blocks(ar.backbone)[0].self_attn.q_proj.weight.grad]
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)


def test_the_suffix_guards_against_another_tokenizer() -> None:
    ar = tiny.reconstructor()
    other = tiny.reconstructor(ar_suffix_ids=(1, 2, 3))
    assert ar.encode(["hello"])[0][-5:] == list(ar.contract.ar_suffix_ids)[-5:]
    with pytest.raises(UserError, match=r"explanation 0 merges with the end of the AR's template: expected ids \[1, 2"):
        other.encode(["hello"])


def test_texts_it_cannot_read_are_told_apart() -> None:
    from tokenizers import AddedToken

    ar = tiny.reconstructor()
    ar.tokenizer.add_tokens([AddedToken(tiny.USER, special=True, rstrip=True)], special_tokens=True)
    texts = ["hello", f"hello{tiny.USER}", f"{tiny.USER} hello", "x" * 600, ""]
    assert ar.readable(texts) == [True, False, True, False, True]
    assert ar.readable([]) == []
    line = "^explanation 1 merges with the end of the AR's template: .*; it ends in a special token, or this is another"
    with pytest.raises(UserError, match=line):
        ar.reconstruct(texts[:3])


def test_an_end_token_that_the_tokenizer_adds_is_dropped() -> None:
    from tokenizers import processors

    ar = tiny.reconstructor()
    plain = ar.encode(["hello"])
    ar.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|bos|> $A <|end|>", special_tokens=[("<|bos|>", 256), ("<|end|>", 257)]
    )
    assert ar.tokenizer("hello")["input_ids"][-1] == 257
    assert ar.encode(["hello"]) == plain


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (
            lambda ar: Reconstructor(ar.backbone, ar.head, ar.tokenizer, tiny.ar_contract(layer=1)),
            "site resid_post:1, its weights hold 3 blocks",
        ),
        (lambda ar: Reconstructor(ar.backbone, tiny.head(16), ar.tokenizer, ar.contract), r"its head is \(16, 16\)"),
        (
            lambda ar: Reconstructor(ar.backbone, ar.head, ar.tokenizer, tiny.av_contract(ar.tokenizer)),
            r"a verbalizer's \(role av\)",
        ),
    ],
)
def test_parts_that_do_not_belong_together(make: Any, line: str) -> None:
    with pytest.raises(UserError, match=line):
        make(tiny.reconstructor())


@pytest.mark.slow
def test_compiled_it_gives_the_same_vectors() -> None:
    ar = tiny.reconstructor()
    texts = ["One thing.", "Another, which is longer than the first one was.", "A third"]
    plain = ar.reconstruct(texts)
    torch.testing.assert_close(ar.compile().reconstruct(texts), plain, atol=1e-5, rtol=1e-5)

"""The generated text is the likeliest, token by token, whatever shares its batch, and is ended at every end."""

from pathlib import Path

import pytest
import tiny
import torch

from thinkaloud.loading import load_causal_lm, load_tokenizer
from thinkaloud.models import lm

POCKET = Path(__file__).parent.parent.parent / "models" / "pocket" / "base"
PROMPTS = [[256, 72, 105], [256, 65], [256, 66, 67, 68, 69, 70], [256, 100]]


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_each_token_is_the_likeliest(name: str) -> None:
    """Also under the penalties that a checkpoint's own generation settings may hold."""
    model, tokenizer = tiny.model(name), tiny.tokenizer()
    model.generation_config.repetition_penalty = 1.9
    ends = set(range(20))
    for prompt, made in zip(PROMPTS, lm.greedy(model, tokenizer, PROMPTS, 12, ends), strict=True):
        ids = list(prompt)
        with torch.no_grad():
            for token in made.ids:
                logits = model(torch.tensor([ids])).logits[0, -1]
                assert float(logits[token]) > float(logits.max()) - 1e-5
                ids.append(token)
            following = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        assert not ends & set(made.ids)
        assert made.cut == (len(made.ids) == 12)
        assert made.cut or following in ends
    assert lm.greedy(model, tokenizer, PROMPTS, 12, ends, batch_tokens=1) == lm.greedy(
        model, tokenizer, PROMPTS, 12, ends
    )


def test_it_ends_where_the_context_does() -> None:
    (made,) = lm.greedy(tiny.model("llama"), tiny.tokenizer(), [[256] * 250], 100, {1000})
    assert (len(made.ids), made.cut) == (6, True)


def test_the_end_of_a_turn_is_an_end() -> None:
    assert tiny.tokenizer().convert_tokens_to_ids(tiny.END) in lm.turn_ends(tiny.model("llama"), tiny.tokenizer())


def test_replies_in_a_batch_are_those_given_alone() -> None:
    model, tokenizer = load_causal_lm(POCKET, "cpu"), load_tokenizer(POCKET)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=True, return_dict=True, add_generation_prompt=True
        )["input_ids"]
        for text in ("Why is the sky blue?", "Good evening. I step on wooden blocks. How do I get ink off a table?")
    ]
    together = lm.greedy(model, tokenizer, prompts, 12)
    assert together == [lm.greedy(model, tokenizer, [prompt], 12)[0] for prompt in prompts]
    assert all(one.ids for one in together)
    assert not lm.turn_ends(model, tokenizer) & {token for one in together for token in one.ids}

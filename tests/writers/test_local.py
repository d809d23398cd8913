"""Chat models in this process answer what they answer alone, and say what they cannot do."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from thinkaloud.chat import chat_ids
from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm, load_tokenizer
from thinkaloud.writers import Asked, Written
from thinkaloud.writers.base import Chat, Usage, models
from thinkaloud.writers.cache import Cache


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base("llama", tmp_path_factory.mktemp("local") / "model")


def local(base: Path, **options: Any) -> Any:
    return models["local"](str(base), Asking(**{"device": "cpu", "max_tokens": 12, **options}))


def chat(text: str) -> Chat:
    return [{"role": "user", "content": text}]


def test_a_batch_answers_what_the_model_says_greedily(base: Path, tmp_path: Path) -> None:
    texts = ["the sea", "a", "old men and the sea", "cats", "the sea"]
    options = Asking(device="cpu", max_tokens=12, concurrency=2)
    asked = Asked(models["local"](str(base), options), options, Cache(tmp_path / "cache.sqlite"))
    found = asked.ask([chat(text) for text in texts])
    model, tokenizer = load_causal_lm(base, "cpu"), load_tokenizer(base)
    for text, one in zip(texts, found, strict=True):
        prompt = ids = chat_ids(tokenizer, chat(text), generation_prompt=True)
        while len(ids) < len(prompt) + 12:
            with torch.no_grad():
                token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids = [*ids, token]
        said, cut = ids[len(prompt) :], len(ids) == len(prompt) + 12
        text = tokenizer.decode(said, skip_special_tokens=True).strip()
        assert one == Written(text, "cut off" if cut else None if text else "empty", Usage(len(prompt), len(said)))
    assert asked.asked == 4


def test_nothing_is_loaded_before_it_is_asked(tmp_path: Path) -> None:
    model = local(tmp_path / "none")
    assert model.request(chat("a")) == {"model": str(tmp_path / "none"), "messages": chat("a"), "max_tokens": 12}
    with pytest.raises(UserError, match=r"no folder .*none"):
        model.answer([chat("a")], print)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"temperature": 0.7}, "local:MODEL is greedy and in this process: leave --temperature out"),
        ({"base_url": "http://here"}, "local:MODEL is greedy and in this process: leave --base-url out"),
        ({"max_tokens": 250}, "a prompt of 12 tokens and 250 of an answer do not fit into the 256 of local:MODEL: "
         "lower --chars or --max-tokens"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_one_line(base: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError) as caught:
        local(base, **options).answer([chat("the sea!")], print)
    assert str(caught.value).replace(str(base), "MODEL") == line


def test_a_base_model_is_no_writer(base: Path, tmp_path: Path) -> None:
    plain = Path(shutil.copytree(base, tmp_path / "plain"))
    (plain / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template: local writes with a chat model"):
        local(plain).answer([chat("a")], print)

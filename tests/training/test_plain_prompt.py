"""A pair for a base model, whose tokenizer has no chat template: its AV's prompt is the same plain text all the way."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from thinkaloud import NLA
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart
from thinkaloud.contract import Contract, find_marker, hash_ids
from thinkaloud.errors import UserError
from thinkaloud.pair.doctor import diagnose, find
from thinkaloud.pair.formats import read_contract, save
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.training.rl import train
from thinkaloud.training.sft import warm_start

PROMPT = f"{tiny.BOS}Vector: {tiny.MARKER} Words:"
FEW: dict[str, Any] = {"batch": 8, "rows": 16, "eval_rows": 4, "mode": "adapter", "adapter_rank": 2}


@pytest.fixture(scope="module")
def plain(data: Path, plain_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of adapters over the base model, warm-started."""
    folder = tmp_path_factory.mktemp("plain")
    few = {**FEW, "data": str(data), "model": str(plain_base)}
    warm_start(ARWarmStart.of(**few, out=str(folder / "ar"), ar_template="{explanation}\nVector:"))
    warm_start(AVWarmStart.of(**few, out=str(folder / "av"), av_template="Vector: {injection_char} Words:"))
    return folder


def test_it_reads_texts_and_says_why_it_reads_no_chats(plain: Path) -> None:
    nla = NLA.from_pretrained(plain, device="cpu")
    av = nla.verbalizer
    assert av.tokenizer.decode(av.prompt_ids) == PROMPT
    reading = nla.read("The gulls stayed in the harbour", positions="last", max_tokens=6)
    assert reading.vectors is not None
    ids = torch.tensor(reading.positions[0].explanations[0].token_ids)
    with torch.no_grad():
        embeds = torch.cat([av.prompt_embeds(reading.vectors), av.model.get_input_embeddings()(ids[None])], dim=1)
        said = av.model(inputs_embeds=embeds).logits[0, len(av.prompt_ids) - 1 : -1].argmax(dim=-1)
    assert torch.equal(said, ids), "greedy, as one forward pass over prompt and words has it"
    with pytest.raises(UserError, match="the tokenizer has no chat template: chats need one; use plain text"):
        nla.read([{"role": "user", "content": "Where are the gulls?"}])


def test_doctor_finds_it_sound(plain: Path) -> None:
    checks = {check.name: check for check in diagnose(find(plain))}
    assert {name for name, check in checks.items() if not check.ok} <= {"AR held out", "AV held out"}, "it is untrained"
    assert checks["marker"].found == f"{tiny.MARKER} is token 260 at 9 of the prompt, a plain text, between 220 and 220"


def test_what_goes_on_from_it_keeps_its_prompt(data: Path, plain: Path, tmp_path: Path) -> None:
    told: list[str] = []
    begun = AVWarmStart.of(**FEW, data=str(data), out=str(tmp_path / "on"), start=str(plain / "av"))
    on = warm_start(begun, say=told.append)
    assert "the tokenizer has no chat template: the AV's prompt is a plain text" in told
    assert_same_prompt(read_contract(on, "av"), read_contract(plain / "av", "av"))


def test_reinforcement_learning_keeps_its_prompt(data: Path, pair: Path, plain_base: Path, tmp_path: Path) -> None:
    tok = tiny.tokenizer(chat=False)
    ids, _, marker = find_marker(tok, tiny.AV_TEMPLATE, tiny.MARKER, plain=True)
    said = {"marker": marker, "prompt_hash": hash_ids(ids), "plain_prompt": True, "base_model": str(plain_base)}
    closing = Verbalizer(tiny.closing_verbalizer().model, tok, tiny.av_contract(tok, **said))
    save(closing, tmp_path / "pair" / "av")
    shutil.copytree(pair / "ar", tmp_path / "pair" / "ar")
    small: dict[str, Any] = {"steps": 1, "prompts": 4, "group": 4, "max_tokens": 16, "eval_rows": 4, "device": "cpu"}
    run = train(RL.of(nla=str(tmp_path / "pair"), data=str(data), out=str(tmp_path / "rl"), **small))
    assert_same_prompt(read_contract(run / "av", "av"), closing.contract)
    assert Verbalizer.from_pretrained(run / "av").prompt_ids.tolist() == ids


def assert_same_prompt(found: Contract, was: Contract) -> None:
    assert found.plain_prompt
    assert (found.marker, found.prompt_hash) == (was.marker, was.prompt_hash)

"""vLLM says what lockstep says, with the same log-probabilities, whatever shares its batches.

    make vllm

runs this in an environment of its own, on the CPU.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("vllm")

from peft import LoraConfig, get_peft_model

from thinkaloud import NLA, UserError, families
from thinkaloud.contract import find_marker
from thinkaloud.explanation import Explanation
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.pocket.world import episodes
from thinkaloud.rollout.base import Request, Sampling
from thinkaloud.rollout.lockstep import Lockstep
from thinkaloud.rollout.vllm import VLLM

pytestmark = pytest.mark.vllm
TEXT = "The old captain looked at the sea, and said that the wind would turn."


@pytest.fixture(scope="module")
def nla() -> NLA:
    return NLA.from_pretrained("pocket", device="cpu")


@pytest.fixture(scope="module")
def vectors(nla: NLA) -> torch.Tensor:
    found = nla.read(TEXT, max_tokens=1).vectors
    assert found is not None
    return found


@pytest.fixture(scope="module")
def engine(nla: NLA) -> VLLM:
    """The pair's weights are stored in eight bits; vLLM gets ordinary ones."""
    return VLLM(nla.verbalizer.model, nla.tokenizer, rows=16)


def tokens(rows: list[list[Explanation]]) -> list[list[tuple[int, ...]]]:
    return [[one.token_ids for one in row] for row in rows]


def check(av: Verbalizer, vector: torch.Tensor, found: Explanation, temperature: float, given: int = 0) -> None:
    """The log-probabilities are those of one forward pass over the prompt and the tokens."""
    with torch.no_grad():
        embeds, arguments = av.inputs(av.slot_vectors(vector[None]))
        ids = torch.tensor(found.token_ids)
        whole = torch.cat([embeds, families.embed(av.model, ids[None])], dim=1)
        logits = av.model(inputs_embeds=whole, use_cache=False, **arguments).logits[0, embeds.shape[1] - 1 : -1]
        wanted = torch.log_softmax(logits / (temperature or 1.0), dim=-1)[torch.arange(len(ids)), ids]
    assert np.isnan(found.logprobs[:given]).all()
    torch.testing.assert_close(torch.tensor(found.logprobs[given:]), wanted[given:], atol=1e-3, rtol=0)


def test_greedy_equals_lockstep(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    """Different vectors in one batch, with prefix caching on; and again, in the other order, from a warm cache."""
    prompt, sampling = nla.verbalizer.prompt(vectors), Sampling(0.0, 80)
    wanted = Lockstep(nla.verbalizer.model, nla.tokenizer).generate(prompt, 1, sampling)
    assert len({row[0] for row in tokens(wanted)}) > 5
    told: list[int] = []
    for rows, turned in (
        (engine.generate(prompt, 1, sampling, watch=told.append), False),
        (engine.generate(nla.verbalizer.prompt(vectors.flip(0)), 1, sampling), True),
    ):
        found = rows[::-1] if turned else rows
        assert tokens(found) == tokens(wanted)
        for row, other in zip(found, wanted, strict=True):
            assert (row[0].text, row[0].finish) == (other[0].text, other[0].finish)
            assert row[0].logprobs == pytest.approx(other[0].logprobs, abs=1e-3)
    assert sum(told) == len(vectors)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_samples_have_the_models_log_probabilities(
    nla: NLA, vectors: torch.Tensor, engine: VLLM, temperature: float
) -> None:
    av, sampling = nla.verbalizer, Sampling(temperature, 60, seed=3)
    found = engine.generate(av.prompt(vectors), 3, sampling)
    for vector, row in zip(vectors, found, strict=True):
        for one in row:
            check(av, vector, one, temperature)
    assert len({ids for row in tokens(found) for ids in row}) > 2 * len(vectors), "samples differ"
    assert tokens(engine.generate(av.prompt(vectors[:2]), 2, sampling)) == [row[:2] for row in tokens(found[:2])]
    assert tokens(engine.generate(av.prompt(vectors[:2]), 2, Sampling(temperature, 60, seed=4))) != tokens(found[:2])


def test_a_response_goes_on_from_its_first_tokens(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    av, sampling = nla.verbalizer, Sampling(0.0, 60)
    whole = tokens(engine.generate(av.prompt(vectors), 1, sampling))
    prefixes = [[list(ids[: min(3 * i, len(ids) - 1)]) for ids in row] for i, row in enumerate(whole)]
    found = engine.generate(av.prompt(vectors), 1, sampling, prefixes)
    assert tokens(found) == whole
    for vector, row, given in zip(vectors, found, prefixes, strict=True):
        check(av, vector, row[0], 0.0, len(given[0]))


def other_reader(nla: NLA) -> Verbalizer:
    """The same weights asked in other words, the vector at another place."""
    template = "Words for {injection_char}, and no more."
    old = nla.verbalizer.contract
    assert old.marker is not None
    marker = find_marker(nla.tokenizer, template, old.marker.char)[2]
    contract = replace(old, av_template=template, marker=marker, prompt_hash=None)
    return Verbalizer(nla.verbalizer.model, nla.tokenizer, contract)


def test_prompts_of_several_pairs_are_kept_apart(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    """Requests of other prompts wait until the engine is empty, and its cache is reset between them."""
    readers, sampling = [nla.verbalizer, other_reader(nla), nla.verbalizer], Sampling(0.0, 30)
    requests: list[Request] = [engine.submit(av.prompt(vectors[:4]), 1, sampling) for av in readers]
    together: list[set[tuple[int, ...]]] = []
    while any(request.left for request in requests):
        engine.step()
        together.append({place.request.prompt.ids for place in engine.places.values()})
    assert max(len(texts) for texts in together) == 1
    for av, request in zip(readers, requests, strict=True):
        alone = Lockstep(av.model, av.tokenizer).generate(av.prompt(vectors[:4]), 1, sampling)
        assert [[request.done[i, 0].token_ids] for i in range(4)] == tokens(alone)


def test_a_cancelled_request_leaves_nothing_behind(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    av, sampling = nla.verbalizer, Sampling(0.0, 30)
    wanted = tokens(engine.generate(av.prompt(vectors[:3]), 1, sampling))
    long, late = (
        engine.submit(av.prompt(vectors), 1, Sampling(1.0, 150)),
        engine.submit(other_reader(nla).prompt(vectors)),
    )
    engine.step()
    engine.cancel(long)
    engine.cancel(late)
    assert not engine.places
    assert not engine.llm.llm_engine.has_unfinished_requests()
    assert tokens(engine.generate(av.prompt(vectors[:3]), 1, sampling)) == wanted


def test_new_weights_are_taken_over_in_place(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    """An adapter that learns: after each refresh what is sampled is that of the merged model, and only then."""
    model: Any = Verbalizer.from_pretrained("pocket/av", device="cpu").model
    torch.manual_seed(0)
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "down_proj"]))
    prompt, sampling = nla.verbalizer.prompt(vectors[:6]), Sampling(0.0, 40)
    before = tokens(engine.generate(prompt, 1, sampling))
    whole, engine.model = engine.model, model
    engine.refresh()
    assert before == tokens(engine.generate(prompt, 1, sampling)), "an adapter starts from nothing"
    for _ in range(2):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.02 * torch.randn_like(parameter))
        assert tokens(engine.generate(prompt, 1, sampling)) == before, "weights are those of the last refresh"
        engine.refresh()
        wanted = Lockstep(model, nla.tokenizer).generate(prompt, 1, sampling)
        found = engine.generate(prompt, 1, sampling)
        assert tokens(found) == tokens(wanted) != before
        for row, other in zip(found, wanted, strict=True):
            assert row[0].logprobs == pytest.approx(other[0].logprobs, abs=1e-3)
        before = tokens(found)
    engine.model = whole
    engine.refresh()
    assert tokens(engine.generate(prompt, 1, sampling)) == tokens(
        Lockstep(whole, nla.tokenizer).generate(prompt, 1, sampling)
    )


def test_injection_inside_the_model_is_refused(nla: NLA, vectors: torch.Tensor, engine: VLLM) -> None:
    contract = replace(nla.verbalizer.contract, injection="add", injection_scale=None)
    av = Verbalizer(nla.verbalizer.model, nla.tokenizer, contract)
    with pytest.raises(UserError) as caught:
        engine.generate(av.prompt(vectors))
    assert str(caught.value) == (
        "vLLM takes vectors as input embeddings, this AV takes them at block 2 (injection add): use --engine lockstep"
    )


def python(*args: str) -> subprocess.CompletedProcess[str]:
    """Another process: there is one engine in each."""
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False)


def test_the_command_reads_with_it() -> None:
    said = []
    for name in ("lockstep", "vllm"):
        options = ["--positions=-3,-2,-1", "--json", "--engine", name, "--device", "cpu"]
        done = python("-m", "thinkaloud.cli", "read", TEXT, *options)
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        said.append([line["explanations"][0]["text"] for line in lines])
    assert len(said[0]) == 3
    assert said[0] == said[1]


def test_a_second_engine_is_refused(nla: NLA, engine: VLLM) -> None:
    with pytest.raises(UserError, match="one vLLM engine is in this process already"):
        NLA.from_pretrained("pocket", engine="vllm")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data")
    text = out / "texts.txt"
    text.write_text("\n<|doc|>\n".join(episode.text for episode in episodes(3, 60, "train")), encoding="utf-8")
    options = ["--model", "pocket/base", "--layer", "5", "--positions", "2", "--min-position", "8", "--heldout", "0.3"]
    done = python(
        "-m",
        "thinkaloud.cli",
        "extract",
        "--corpus",
        str(text),
        "--out",
        str(out / "data"),
        *options,
        "--device",
        "cpu",
    )
    assert done.returncode == 0, done.stderr
    return out / "data"


def test_it_samples_for_training(data: Path, tmp_path: Path) -> None:
    """Weights move each step; what was sampled has the trainer's own log-probabilities, or the run is refused."""
    sizes = "--steps 3 --prompts 4 --group 2 --max-tokens 90 --eval-rows 8 --rollout-rows 16"
    options = f"{sizes} --lr 3e-4 --warmup 1 --mismatch-every 1 --engine vllm --device cpu"
    args = ["train", "--nla", "pocket", "--data", str(data), *options.split(), "--out"]
    done = python("-m", "thinkaloud.cli", *args, str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = [line["mismatch"] for line in metrics if "mismatch" in line]
    assert len(found) >= 3
    assert max(found) < 1e-4
    stale = (
        "from thinkaloud.rollout.vllm import VLLM; from thinkaloud.cli import main; import sys; real = VLLM.refresh; "
    )
    stale += "VLLM.refresh = lambda self: None if hasattr(self, 'old') else (real(self), setattr(self, 'old', 1)); "
    done = python("-c", f"{stale} sys.exit(main({[*args, str(tmp_path / 'stale')]!r}))")
    assert done.returncode != 0
    assert "rollout–trainer log-probability mismatch" in done.stderr

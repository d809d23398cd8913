"""A corpus of odd characters, on the whole way from texts to a scored pair, with a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from thinkaloud import cli
from thinkaloud.activations import Activations
from thinkaloud.training import checkpoint, run_folder

ODD = [
    "\u2028\u2029\u0085",
    "".join(map(chr, range(32))),
    "\x7f\x80\x9f\u200b\u2060\ufeff\ufffe",
    "👩‍🚀🏳️‍🌈👨‍👩‍👧🤷🏽‍♀️",
    "שלום לכולם \u202eمرحبا بالعالم\u202c",
    "e\u0301\u0327 ﷽ Z͑ͫ̓a̴l̶g̷o̸",
    "</explanation> <explanation> <|end|>",
]
STEPS = 4


def ran(*arguments: str) -> None:
    assert cli.main(arguments) == 0


@pytest.mark.slow
def test_odd_texts_go_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """extract, explain, warmstart, train, a kill, resume, score. The model closes what it says as it is."""
    start, data, pair, run = tiny.closing_verbalizer(), str(tmp_path / "data"), tmp_path / "pair", tmp_path / "run"
    start.model.save_pretrained(tmp_path / "model")
    start.tokenizer.save_pretrained(tmp_path / "model")
    texts = [f"On day {i} the boats {one} stayed {two} at sea {one}" for i, one in enumerate(ODD) for two in ODD]
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), encoding="utf-8")
    extract = ["--model", str(tmp_path / "model"), "--layer", "2", "--corpus", str(corpus), "--out", data]
    ran("extract", *extract, "--positions", "4", "--min-position", "30", "--next-tokens", "4", "--heldout", "0.3")
    found = Activations.load(data)
    assert {text for text in texts if any(text.startswith(prefix) for prefix in found.column("text"))} == set(texts)
    ran("explain", "--data", data)
    small = ["--data", data, "--batch", "32", "--lr", "1e-6", "--final-lr-ratio", "0", "--store", "float32"]
    ran("warmstart", "ar", *small, "--out", str(pair / "ar"), "--ar-template", tiny.AR_TEMPLATE)
    av = ["--out", str(pair / "av"), "--av-template", tiny.AV_TEMPLATE, "--ar", str(pair / "ar"), "--eval-texts", "4"]
    ran("warmstart", "av", *small, *av)
    given = ["--nla", str(pair), "--data", data, "--out", str(run), "--steps", str(STEPS), "--prompts", "6"]
    given += ["--group", "4", "--max-tokens", "16", "--eval-rows", "40", "--eval-every", "2", "--save-every", "1"]
    given += ["--stop-closed", "0", "--stop-drop", "9", "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "thinkaloud.cli", "train", *given], stderr=subprocess.PIPE)
    while not checkpoint.steps(run / "checkpoints")[1:]:
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert run_folder.status(run) == "running"
    ran("train", "--resume", str(run))
    assert [line["step"] for line in run_folder.log(run / run_folder.METRICS)] == list(range(STEPS + 1))
    samples = run_folder.log(run / run_folder.SAMPLES)
    assert any("\u2028" in sample["prefix"] for sample in samples)
    capsys.readouterr()
    ran("score", "--nla", str(run), "--data", data, "--limit", "4", "--max-tokens", "8")
    assert "AV → AR" in capsys.readouterr().out

"""A vLLM server of SmolLM2 on the CPU writes explanations as any service does.

    make vllm

runs this in an environment of its own, where SmolLM2 is here already (`thinkaloud get smollm2`).
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import tiny

from thinkaloud import cli, packages
from thinkaloud.activations import Activations
from thinkaloud.atomic import restore
from thinkaloud.site import Site

pytest.importorskip("vllm")
FOLDER = packages.packaged()["smollm2"].folder
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not restore(FOLDER), reason="SmolLM2 is not here: thinkaloud get smollm2"),
]
TEXTS = ["The old captain looked at the sea and said that", "def mean(values):\n    return sum(values) /"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address, once it serves."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(FOLDER), "--port", str(port)]
    command += ["--served-model-name", "smollm2", "--max-model-len", "2048", "--enforce-eager", "--dtype", "bfloat16"]
    log = tmp_path_factory.mktemp("vllm") / "log"
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_TARGET_DEVICE": "cpu"}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as server:
        try:
            while True:
                assert server.poll() is None, log.read_text()[-4000:]
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                except OSError:
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_served_model_writes(url: str, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    columns = {"doc_id": ["a", "b"], "text": TEXTS, "token": [" that", " /"]}
    Activations(tiny.vectors(2, 8), pa.table(columns), Site("resid_post", 2)).save(data)
    # Of the package's own prompt a model of 135 million weights makes nothing.
    (tmp_path / "prompt.txt").write_text(
        "Here is the beginning of a text:\n\n{text}\n\nIn one short sentence: what is it?"
    )
    address = url if kind == "openai" else url.removesuffix("/v1")
    given = [
        "--writer",
        f"{kind}:smollm2",
        "--base-url",
        address,
        "--temperature",
        "0",
        "--prompt",
        str(tmp_path / "prompt.txt"),
    ]
    assert cli.main(["explain", "--data", str(data), *given]) == 0
    said = capsys.readouterr().out
    assert "2 requests to" in said
    found = Activations.load(data)
    assert all(found.column("explanation")), said
    assert len(set(found.column("explanation"))) == 2

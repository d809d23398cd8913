"""Put into the README what its commands print now: every `text` block is replaced by the output of the block above it.

Run it from the environment of `make setup`, after a change of the bundled pair or of the tables:
`.venv/bin/python docs/refresh_readme.py`. tests/test_readme.py says when that is due.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
SHOWN = re.compile(r"```bash\n([^`]*)```\n\n```text\n.*?^```\n", re.MULTILINE | re.DOTALL)


def printed(commands: str) -> str:
    """What `commands` print, 100 columns wide, in a folder of their own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        run = ["bash", "-euo", "pipefail", "-c", commands]
        out = subprocess.run(run, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return out.strip("\n") + "\n"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(
        SHOWN.sub(lambda found: f"```bash\n{found[1]}```\n\n```text\n{printed(found[1])}```\n", text), encoding="utf-8"
    )

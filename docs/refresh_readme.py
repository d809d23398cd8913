"""Put into the README what its commands print now: every `text` block is replaced by the output of the block above it.

The picture of a report, docs/report.png, is taken anew where Chromium is installed. Run it from the environment of
`make setup`, after a change of the bundled pair or of the tables: `.venv/bin/python docs/refresh_readme.py`.
tests/test_readme.py says when that is due.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
PICTURE = README.parent / "docs" / "report.png"
PICTURED = (
    'thinkaloud read "The old lighthouse keeper had lived alone on the rock for eleven years, and he knew every sound '
    "the sea could make. But on the night of the great storm he heard something new: far out in the darkness, between "
    'two waves, a child was calling his name." --samples 3 --html {page}'
)
POSITION, SIZE = 24, "1200,800"  # the token that is chosen in the picture, and the window in pixels
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SHOWN = re.compile(r"```bash\n([^`]*)```\n\n```text\n.*?^```\n", re.MULTILINE | re.DOTALL)


def printed(commands: str) -> str:
    """What `commands` print, 100 columns wide, in a folder of their own."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        run = ["bash", "-euo", "pipefail", "-c", commands]
        out = subprocess.run(run, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    return out.strip("\n") + "\n"


def take_picture() -> None:
    """A screenshot of a report in a quiet window, light whatever the machine prefers."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        printed(PICTURED.format(page=page))
        quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
        look = ("--blink-settings=preferredColorScheme=1", f"--window-size={SIZE}", "--virtual-time-budget=2000")
        command = [str(CHROMIUM), *quiet, *look, f"--user-data-dir={folder}/profile", f"--screenshot={PICTURE}"]
        subprocess.run([*command, f"{page.as_uri()}#pos={POSITION}"], capture_output=True, check=True)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(
        SHOWN.sub(lambda found: f"```bash\n{found[1]}```\n\n```text\n{printed(found[1])}```\n", text), encoding="utf-8"
    )
    if CHROMIUM:
        take_picture()
    else:
        print(f"no chromium on the PATH: {PICTURE.name} stays as it is", file=sys.stderr)

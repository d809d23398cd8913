"""The picture of a report in the README: docs/report.png, taken by headless Chromium.

Run it from the environment of `make setup`, after a change of the bundled pair or of the report:
`.venv/bin/python docs/report_picture.py smollm2`, or another pair's name.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PICTURE = Path(__file__).parent / "report.png"
TEXT = (
    "The old lighthouse keeper had lived alone on the rock for eleven years, and he knew every sound the sea could "
    "make. But on the night of the great storm he heard something new: far out in the darkness, between two waves, a "
    "child was calling his name."
)
POSITION, SIZE = 24, "1200,800"  # the token that is chosen in the picture, and the window in pixels


def main(pair: str) -> None:
    """A screenshot of a report of `pair` in a quiet window, light whatever the machine prefers."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if chromium is None:
        sys.exit("no chromium on the PATH: install it (on Debian and Ubuntu: apt install chromium)")
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        read = [
            sys.executable,
            "-m",
            "thinkaloud.cli",
            "read",
            TEXT,
            "--nla",
            pair,
            "--samples",
            "3",
            "--html",
            str(page),
        ]
        subprocess.run(read, env=offline, stdout=subprocess.DEVNULL, check=True)
        quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
        look = ("--blink-settings=preferredColorScheme=1", f"--window-size={SIZE}", "--virtual-time-budget=2000")
        command = [chromium, *quiet, *look, f"--user-data-dir={folder}/profile", f"--screenshot={PICTURE}"]
        subprocess.run([*command, f"{page.as_uri()}#pos={POSITION}"], capture_output=True, check=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pocket")

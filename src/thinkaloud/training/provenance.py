"""Provenance of a run: package versions, and the commit where the package lies in a checkout of its own."""

import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

import thinkaloud


def provenance() -> dict[str, Any]:
    """`versions` of the packages that decide the numbers; `commit`, with a + where files differ, or None."""
    versions = {
        "thinkaloud": thinkaloud.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    return {"versions": versions, "commit": _commit(Path(thinkaloud.__file__).resolve().parents[2])}


def _commit(root: Path) -> str | None:
    if not (root / "src" / "thinkaloud").is_dir():
        return None  # installed: whatever repository lies around site-packages is not this one
    try:
        found = _git(root, "rev-parse", "HEAD")
        return found + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()

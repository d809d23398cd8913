"""Code run on a file system of a given size, where that can be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run_on(disk: Path, size: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python `code` where `disk` is a file system of `size`, in a mount namespace of its own."""
    disk.mkdir()
    script = f'mount -t tmpfs -o size={size} small "{disk}" && exec "{sys.executable}" -c "$CODE"'
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "CODE": code, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=environment)


def can_mount() -> bool:
    try:
        probe = subprocess.run(
            ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, timeout=300
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


needed = pytest.mark.skipif(not can_mount(), reason="no mount namespaces for this user")

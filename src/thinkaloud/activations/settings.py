"""Settings of an extraction (options, model, site, corpus), which a resumed one has to match.

A folder that was begun with other settings is refused, so that no folder ever holds rows of two kinds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from thinkaloud import families, ledger, loading
from thinkaloud.activations import store
from thinkaloud.activations.corpus import LONG, PAGE
from thinkaloud.atomic import sweep
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import module_hash, revision
from thinkaloud.site import Site

SETTINGS = "extraction.json"


@dataclass(frozen=True)
class ExtractOptions:
    """What is read of each document. `positions` None reads every allowed token of a window; `window` None takes a
    document whole, up to the model's context; `next_tokens` keeps M's own top-k expectation at each position.
    """

    positions: int | None = 10
    seed: int = 0
    min_position: int = 50
    window: int | None = None
    next_tokens: int = 0
    heldout: float = 0.02
    batch_tokens: int | None = None
    limit: int | None = None
    shard_docs: int = store.SHARD_DOCS

    def __post_init__(self) -> None:
        for name in ("positions", "window", "batch_tokens", "limit", "shard_docs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, found {value}")
        if self.min_position < 0 or self.next_tokens < 0:
            raise UserError("min_position and next_tokens must not be negative")
        if not 0 <= self.heldout < 1:
            raise UserError(f"heldout must be a share of the documents from 0 to below 1, found {self.heldout}")
        if self.window == 1:
            raise UserError("window must be at least 2: a document's BOS stands at the beginning of each")
        if self.window is not None and self.window <= self.min_position:
            raise UserError(f"a window of {self.window} tokens has none from min_position {self.min_position} on")


def settings_of(
    model: nn.Module, tokenizer: Any, model_name: str, site: Site, corpus_name: str, options: ExtractOptions
) -> dict[str, Any]:
    """The settings as they are written: what a person chose first, then which model and tokenizer exactly."""
    return {
        "site": site.to_dict(),
        "corpus": corpus_name,
        "text_pages": {"beyond": LONG, "characters": PAGE},
        "options": asdict(options),
        "model": {
            "name": model_name,
            "commit": commit_of(model),
            "dtype": str(families.embedding(model).weight.dtype).removeprefix("torch."),
            "tokenizer": loading.tokenizer_hash(tokenizer),
            "weights": module_hash(model, site),
        },
    }


def begin(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write down the settings of a new folder, or refuse to go on in one that has others."""
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file: give the name of a folder to write")
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    path = directory / SETTINGS
    if not path.is_file() and any(directory.glob("shard-*.parquet")):
        raise UserError(f"{directory} holds shards and no {SETTINGS}: choose another folder")
    ledger.begin(path, settings)


def abandon(directory: Path) -> None:
    """Take back the settings of a folder in which no shard came to be: a mistake leaves nothing behind."""
    if directory.is_dir() and not any(directory.glob("shard-*.parquet")):
        (directory / SETTINGS).unlink(missing_ok=True)
        if not any(directory.iterdir()):
            directory.rmdir()


def commit_of(model: nn.Module) -> str | None:
    """The commit of a model that was loaded from the hub's cache; else None."""
    return revision(getattr(families.text_model(model).config, "_name_or_path", ""))

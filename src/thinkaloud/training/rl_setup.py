"""What a run of reinforcement learning starts from: a pair and data that belong together, and their identity."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from thinkaloud import contract as contracts
from thinkaloud import families, ledger
from thinkaloud.activations import read_manifest
from thinkaloud.activations.store import check_read_by
from thinkaloud.baseline import Baseline
from thinkaloud.config.train import RL
from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import at, fingerprint, revision, weights_hash
from thinkaloud.loading import pick_device, pick_dtype, resolve
from thinkaloud.pair.formats import adapters, save
from thinkaloud.pair.nla import NLA, pair_paths
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.training import rewards, run_folder
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.plan import MICRO_TOKENS, default_lr
from thinkaloud.training.provenance import provenance

# Where a run is computed and what is kept of it may change between a stop and its resumption; nothing else may.
FREE = ("out", "compute.device", "compute.compile", "save.every", "save.keep", "report_to")


@dataclass(frozen=True)
class Setup:
    """A checked pair with what learns asking for gradients, and the configuration with every default resolved."""

    config: RL
    verbalizer: Verbalizer
    reconstructor: Reconstructor
    manifest: dict[str, Any]
    paths: dict[str, str | Path]
    """Where `av` and `ar` were loaded from, and `av_base` and `ar_base` where they are adapters; hub names pinned."""
    terms: list[tuple[float, rewards.Term]]
    """The terms of the reward, each with its weight."""


def prepare(config: RL, revisions: Mapping[str, str] = MappingProxyType({})) -> Setup:
    """Load and check the pair and the data; UserError in one line for whatever cannot go together.

    `revisions` are the commits of what comes from the hub, as `identity` notes them.
    """
    terms = rewards.chosen(config.reward.weights())
    manifest = read_manifest(config.data)
    torch.manual_seed(config.seed)  # of an adapter that starts afresh
    device = pick_device(config.compute.device)
    named = dict(zip(("av", "ar", "base"), pair_paths(config.nla), strict=True))
    base = named.pop("base")
    paths = {part: at(name, revisions.get(part)) for part, name in named.items() if name is not None}
    whole = {}
    for part in ("av", "ar"):
        folder = resolve(paths[part])
        whole[part] = config.mode != "adapter" and not adapters.is_adapter(folder)
        if adapters.is_adapter(folder):
            paths[f"{part}_base"] = at(adapters.base_of(folder, part, base), revisions.get(f"{part}_base"))
    # All weights learn in float32: in bfloat16 alone most of them would never move at these learning rates.
    dtypes = {part: torch.float32 if full else pick_dtype(device, config.compute.dtype) for part, full in whole.items()}
    given = {part: {"base": paths.get(f"{part}_base"), "device": str(device), "dtype": dtypes[part]} for part in whole}
    verbalizer = Verbalizer.from_pretrained(paths["av"], **given["av"])
    reconstructor = Reconstructor.from_pretrained(paths["ar"], **given["ar"])
    nla = NLA(verbalizer, reconstructor, base or reconstructor.contract.base_model, config.nla)
    check_pair(nla, config)
    check_data(nla, config.data, manifest)
    learns = (config.mode, config.lora, config.compute.gradient_checkpointing)
    verbalizer.model = require_gradients(verbalizer.model, *learns)
    if config.optim.ar_lr != 0:
        reconstructor.backbone = require_gradients(reconstructor.backbone, *learns)
        reconstructor.head.requires_grad_(True)
    optim = config.optim
    resolved = from_anywhere(config).but(
        lr=_default_lr("av", whole, verbalizer.model) if optim.lr is None else optim.lr,
        ar_lr=_default_lr("ar", whole, verbalizer.model) if optim.ar_lr is None else optim.ar_lr,
        micro_tokens=config.compute.micro_tokens or MICRO_TOKENS[device.type],
    )
    return Setup(resolved, verbalizer, reconstructor, manifest, paths, terms)


def _default_lr(part: str, whole: Mapping[str, bool], model: Any) -> float:
    """The AR's rate goes by the size of the model it was cut from, which is the AV's."""
    return default_lr(f"rl {part}", "full" if whole[part] else "adapter", families.size(model))


def from_anywhere(config: RL) -> RL:
    """Folders and files by their whole paths, so that the run goes on from wherever it is resumed."""
    terms = tuple(_whole_file(term) for term in config.reward.terms)
    return config.but(nla=_whole_folder(config.nla), data=_whole_folder(config.data), terms=terms)


def _whole_folder(path: str) -> str:
    """A folder by its whole path; other names as they are."""
    return str(Path(path).expanduser().resolve()) if Path(path).expanduser().is_dir() else path


def _whole_file(term: str) -> str:
    """A reward term with the whole path of the file that registers it, where one does."""
    name, equals, weight = term.partition("=")
    file, colon, part = (name, "", "") if name.endswith(".py") else name.rpartition(":")
    return f"{Path(file).expanduser().resolve()}{colon}{part}{equals}{weight}" if file else term


def check_pair(nla: NLA, config: RL) -> None:
    """Refuse what cannot be trained: two tokenizers, a cap within which no explanation can close."""
    av = nla.verbalizer
    if av.tokenizer.get_vocab() != nla.reconstructor.tokenizer.get_vocab():
        raise UserError("the AV and the AR have different tokenizers: they are not a pair")
    shortest = len(av.tokenizer(OPEN + CLOSE, add_special_tokens=False)["input_ids"]) + 1
    cap = config.rollout.max_tokens
    if cap < shortest:
        raise UserError(f"max_tokens {cap} is below the shortest explanation that closes, {shortest}")
    room = families.context_length(av.model) - len(av.prompt_ids)
    if cap > room:
        raise UserError(f"max_tokens {cap} do not fit behind the prompt: the context leaves {room}")


def check_data(nla: NLA, data: str, manifest: Mapping[str, Any]) -> None:
    """Refuse activations of another site, width or model than the pair reads."""
    check_read_by("the pair", data, manifest, nla.site, nla.reconstructor.contract.d_model, nla.base)
    for split in ("train", "heldout"):
        if not manifest["counts"]["splits"].get(split, {}).get("rows"):
            raise UserError(f"{data} has no {split} rows: training needs both splits (thinkaloud extract --heldout)")


def identity(setup: Setup) -> dict[str, Any]:
    """What makes the run this run: its pair's contracts and weights, those of the models that adapters stand on, its
    data (without explanations, unless the AR learns from these), and by what code it was begun.
    """
    paths = setup.paths
    digest = run_folder.digest if setup.config.optim.ar_written else run_folder.vectors_digest
    commits = {part: revision(resolve(path)) for part, path in paths.items()}
    data = {name: setup.manifest.get(name) for name in ("site", "d_model", "model", "corpus", "options", "counts")}
    return {
        "av": contracts.to_dict(setup.verbalizer.contract) | {"weights": weights_hash(paths["av"])},
        "ar": contracts.to_dict(setup.reconstructor.contract) | {"weights": weights_hash(paths["ar"])},
        "bases": {part: fingerprint(path) for part, path in paths.items() if part.endswith("_base")},
        "revisions": {part: commit for part, commit in commits.items() if commit},
        "data": data | {"digest": digest(setup.config.data)},
        **provenance(),
    }


def same_identity(out: Path, begun: Mapping[str, Any], setup: Setup) -> None:
    """Refuse to go on with another pair, over another base model or on other data, naming the first that differs."""
    now = identity(setup)
    if begun["data"]["digest"] == run_folder.digest(setup.config.data):  # as it once was, explanations included
        now["data"]["digest"] = begun["data"]["digest"]
    ledger.check(out, begun, {name: now[name] for name in ("av", "ar", "bases", "data")})


def save_pair(
    verbalizer: Verbalizer, reconstructor: Reconstructor, config: RL, baseline: Baseline, step: int | None
) -> None:
    """Write `av` and `ar` into the run's folder, their contracts saying how they came about.

    A baseline that the pair has stays: its figures from before and after are then on one scale.
    """
    made = {"rl": {"of": config.nla, "step": step}}
    for name, part in (("av", verbalizer), ("ar", reconstructor)):
        before = part.contract
        contract = replace(
            before, stage="rl", baseline=before.baseline or baseline, provenance={**before.provenance, **made}
        )
        save(replace(part, contract=contract), Path(config.out) / name, config.save.dtype)

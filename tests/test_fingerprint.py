"""Which weights exactly: hashes tell models apart, and a hub name may be pinned to a commit."""

import shutil
from pathlib import Path

import pytest
import tiny
from huggingface_hub import constants

from thinkaloud import loading
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import at, fingerprint, module_hash, revision, weights_hash
from thinkaloud.site import Site

OLD, NEW = "1" * 40, "2" * 40


def in_hub_cache(cache: Path, name: str, commit: str, folder: Path) -> None:
    """Put a checkpoint into a hub cache, as what the branch main points to."""
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / commit)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text(commit)


def test_hashes_tell_models_apart(tmp_path: Path) -> None:
    a, b = tiny.save_base("llama", tmp_path / "a"), tiny.save_base("llama", tmp_path / "b", seed=1)
    c = tiny.save_base("llama", tmp_path / "c")
    assert fingerprint(a) == fingerprint(c) != fingerprint(b)
    assert weights_hash(a) == weights_hash(c) != weights_hash(b)
    config = a / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert weights_hash(a) == weights_hash(c)
    assert fingerprint(a) != fingerprint(c)
    site = Site("resid_post", 1)
    hashes = [module_hash(loading.load_causal_lm(path), site) for path in (a, b, c)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_hub_name_may_be_pinned_to_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for seed, commit in enumerate((OLD, NEW)):
        base = tiny.save_base("llama", tmp_path / commit, seed=seed)
        in_hub_cache(tmp_path / "cache", "some/model", commit, base)
    assert revision(loading.resolve("some/model")) == NEW
    assert revision(loading.resolve(at("some/model", OLD))) == OLD
    assert fingerprint(at("some/model", OLD)) == fingerprint(tmp_path / OLD) != fingerprint("some/model")
    assert revision(tmp_path / OLD) is None
    assert at("some/model", None) == "some/model"
    with pytest.raises(UserError, match=f"some/model@{'3' * 40} is neither a folder here nor to be had from the hub"):
        loading.resolve(at("some/model", "3" * 40))

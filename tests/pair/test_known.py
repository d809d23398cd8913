"""The pairs known by name say what their checkpoints say, and where a name leads."""

import pytest

from thinkaloud import NLA
from thinkaloud.fingerprint import weights_hash
from thinkaloud.pair.known import known, paths
from thinkaloud.pair.nla import pair_paths


def test_the_bundled_pair_is_the_one_that_is_listed() -> None:
    pair = known()["pocket"]
    assert pair["where"] == "bundled"
    assert {part: weights_hash(pair[part]) for part in ("av", "ar", "base")} == pair["hash"]
    assert str(NLA.from_pretrained("pocket").site) == pair["site"]
    assert 0 < pair["figures"]["fve"] < pair["figures"]["fve_written"] < 1


@pytest.mark.parametrize("name", [name for name, pair in known().items() if pair["where"] == "hub"])
def test_pairs_of_the_hub_lead_to_their_halves(name: str) -> None:
    av, ar, base = pair_paths(name)
    assert (av, ar, base) == (f"{name}-av", f"{name}-ar", None)
    assert known()[name]["site"] == f"resid_post:{name.rpartition('-L')[2]}"


def test_a_revision_pins_each_half() -> None:
    pair = {"where": "hub", "av": "a/b-av", "ar": "a/b-ar", "site": "resid_post:3", "revision": {"av": "1" * 40}}
    assert paths(pair) == (f"a/b-av@{'1' * 40}", "a/b-ar", None)


@pytest.mark.parametrize("name", known())
def test_every_pair_has_the_keys_that_are_explained_and_no_others(name: str) -> None:
    assert {"where", "av", "ar", "site"} <= known()[name].keys()
    assert known()[name].keys() <= {"where", "av", "ar", "site", "base", "revision", "hash", "figures"}

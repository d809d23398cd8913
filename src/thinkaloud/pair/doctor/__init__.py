"""Checks of a model or a pair: loads what a name means and runs every check that applies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm, load_config, load_tokenizer, resolve
from thinkaloud.pair.doctor.check import Check
from thinkaloud.pair.doctor.halves import (
    check_marker,
    check_reached,
    check_reconstructor,
    check_together,
    check_verbalizer,
)
from thinkaloud.pair.doctor.model import check_model
from thinkaloud.pair.formats import read_contract
from thinkaloud.pair.nla import pair_paths
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

__all__ = ["Check", "Patient", "diagnose", "find"]

_FETCH = "fetch or train it again"


@dataclass(frozen=True)
class Patient:
    """What is looked at: a base model, an AV, an AR, any of them."""

    base: str | Path | None = None
    av: str | Path | None = None
    ar: str | Path | None = None


def find(name: str | Path | None, av: str | Path | None = None, ar: str | Path | None = None) -> Patient:
    """What is named: a pair, an AV or AR alone, or a base model, with `av` and `ar` beside it."""
    found = Patient() if name is None else _named(name)
    return Patient(found.base, av or found.av, ar or found.ar)


def diagnose(patient: Patient, layer: int | None = None, device: str | None = None) -> list[Check]:
    """Every check that applies. `layer` is the site where no contract names one: two thirds of the depth by default."""
    checks: list[Check] = []
    av = _contract(patient.av, "av", checks)
    ar = _contract(patient.ar, "ar", checks)
    if av is not None and ar is not None:
        checks.append(check_together(av, ar))
    model = _base(patient, [c for c in (ar, av) if c is not None], layer, device, checks)
    if patient.av is not None and av is not None:
        _verbalizer(patient.av, av, patient.base, device, checks)
    if patient.ar is not None and ar is not None:
        _reconstructor(patient.ar, patient.base, model, device, checks)
    return [*checks, *(check for half in (ar, av) if half is not None for check in check_reached(half))]


def _named(name: str | Path) -> Patient:
    try:
        folder = resolve(name)
    except UserError:
        try:
            resolve(f"{name}-av")
        except UserError:
            pass
        else:
            return Patient(None, f"{name}-av", f"{name}-ar")  # a pair on the hub is two repositories
        raise
    if (folder / "av").is_dir():
        av, ar, base = pair_paths(name)
        return Patient(base, av, ar)
    if (folder / contracts.FILE).is_file():
        role = contracts.ROLES.get(str(contracts.load(folder).get("role")))
        return Patient(ar=folder) if role == "ar" else Patient(av=folder)
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} holds no model, no pair, no AV and no AR: expected one of them")
    return Patient(base=folder)


def _contract(path: str | Path | None, role: str, checks: list[Check]) -> Contract | None:
    if path is None:
        return None
    name = f"{role.upper()} contract"
    try:
        contract = read_contract(path, role)
    except UserError as error:
        checks.append(Check(name, False, str(error), "take nla_meta.yaml from where the weights come from"))
        return None
    scale = f", norm {contract.injection_scale:g}" if contract.injection_scale else ""
    how = f", injects by {contract.injection}{scale}" if role == "av" else ""
    checks.append(Check(name, True, f"{contract.d_model} wide, {contract.site or 'site not named'}{how}"))
    return contract


def _base(patient: Patient, named: list[Contract], layer: int | None, device: str | None, checks: list[Check]) -> Any:
    """M, checked; None where it cannot be had."""
    base = patient.base or next((c.base_model for c in named if c.base_model), None)
    if base is None:
        checks.append(Check("model", None, "the pair does not name the model it reads"))
        return None
    try:
        depth = families.text_config(load_config(base)).num_hidden_layers
        model, tokenizer = load_causal_lm(base, device), load_tokenizer(base)
    except UserError as error:
        # A base that a contract merely names may be out of reach without anything being wrong.
        checks.append(Check("model", False if patient.base is not None else None, str(error), _FETCH))
        return None
    site = next((c.site for c in named if c.site), None)
    if site is None:
        site = Site("resid_post", round(depth * 2 / 3) if layer is None else layer)
    checks += check_model(model, tokenizer, site)
    return model


def _verbalizer(
    path: str | Path, contract: Contract, base: str | Path | None, device: str | None, checks: list[Check]
) -> None:
    try:
        folder = resolve(path)
        own = (folder / "tokenizer_config.json").is_file()
        marker = check_marker(contract, load_tokenizer(folder if own else base or contract.base_model or folder))
        checks.append(marker)
        if marker.ok:  # an AV whose marker is off is not loaded at all
            checks += check_verbalizer(Verbalizer.from_pretrained(path, base=base, device=device))
    except UserError as error:
        checks.append(Check("AV", False, str(error), _FETCH))


def _reconstructor(
    path: str | Path, base: str | Path | None, model: Any, device: str | None, checks: list[Check]
) -> None:
    try:
        checks += check_reconstructor(Reconstructor.from_pretrained(path, base=base, device=device), model)
    except UserError as error:
        checks.append(Check("AR", False, str(error), _FETCH))

"""Checks of a model or a pair: loads what a name means and runs every check that applies."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm, load_config, load_tokenizer, resolve
from thinkaloud.pair import known
from thinkaloud.pair.doctor.check import Check
from thinkaloud.pair.doctor.halves import check_marker, check_reconstructor, check_together, check_verbalizer
from thinkaloud.pair.doctor.model import check_model
from thinkaloud.pair.formats import read_contract
from thinkaloud.pair.nla import pair_paths
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.pair.verdict import recorded
from thinkaloud.site import Site

__all__ = ["Check", "Patient", "diagnose", "find"]


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
    load: dict[str, Any] = {"base": patient.base, "device": device}
    if patient.av is not None and av is not None:
        with _refusals("AV", checks):
            folder = resolve(patient.av)
            own = (folder / "tokenizer_config.json").is_file()
            marker = check_marker(av, load_tokenizer(folder if own else patient.base or av.base_model or folder))
            checks.append(marker)
            if marker.ok:  # an AV whose marker is off is not loaded at all
                checks += check_verbalizer(Verbalizer.from_pretrained(patient.av, **load))
    if patient.ar is not None and ar is not None:
        with _refusals("AR", checks):
            checks += check_reconstructor(Reconstructor.from_pretrained(patient.ar, **load), model)
    verdicts = [(half.role.upper(), recorded(half)) for half in (ar, av) if half is not None]
    return [*checks, *(Check(f"{role} held out", v.reads, v.words, v.advice) for role, v in verdicts if v is not None)]


@contextmanager
def _refusals(
    name: str, checks: list[Check], advice: str = "fetch or train it again", ok: bool | None = False
) -> Iterator[None]:
    """What is refused within is a finding."""
    try:
        yield
    except UserError as error:
        checks.append(Check(name, ok, str(error), advice))


def _named(name: str | Path) -> Patient:
    if known.is_bundled(str(name)):
        av, ar, base = pair_paths(name)
        return Patient(base, av, ar)
    try:
        folder = resolve(name)
    except UserError as error:
        with suppress(UserError):
            resolve(f"{name}-av")
            return Patient(None, f"{name}-av", f"{name}-ar")  # a pair on the hub is two repositories
        raise error
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
    with _refusals(name, checks, "take nla_meta.yaml from where the weights come from"):
        contract = read_contract(path, role)
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
    # A base that a contract merely names may be out of reach without anything being wrong.
    with _refusals("model", checks, ok=None if patient.base is None else False):
        depth = families.text_config(load_config(base)).num_hidden_layers
        model, tokenizer = load_causal_lm(base, device), load_tokenizer(base)
        default = Site("resid_post", round(depth * 2 / 3) if layer is None else layer)
        checks += check_model(model, tokenizer, next((c.site for c in named if c.site), default))
        return model

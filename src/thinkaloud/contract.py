"""The contract, `nla_meta.yaml` in each of its official spellings: read, written, checked against the tokenizer.

The file is `nla_meta.yaml` beside the weights, in the field's official spelling. What that spelling has no key for
stands under `thinkaloud:`; readers that do not know the section can ignore it.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from thinkaloud import injection as injections
from thinkaloud.atomic import read_mapping
from thinkaloud.baseline import Baseline
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError
from thinkaloud.site import Site

FILE = "nla_meta.yaml"
OPEN, CLOSE = "<explanation>", "</explanation>"
ROLES = {"av": "av", "actor": "av", "ar": "ar", "critic": "ar"}
LAYER = (
    "critic.extraction_layer_index",
    "critic.num_hidden_layers",
    "ar.extraction_layer_index",
    "ar.num_hidden_layers",
    "extraction.layer_index",
    "thinkaloud.site.layer",
)  # every name that the AR's layer has had
MARKER_KEYS = ("injection_char", "injection_token_id", "injection_left_neighbor_id", "injection_right_neighbor_id")
SUFFIX_KEY = "critic_suffix_ids"
_WORDS = {int: "a whole number", str: "text", list: "a list", Mapping: "a mapping"}


@dataclass(frozen=True)
class Marker:
    """The one token whose place in the prompt takes the vector, and the tokens that must stand beside it.

    >>> NLA.from_pretrained("pocket").verbalizer.contract.marker
    Marker(char='...', token_id=..., left_id=..., right_id=...)
    """

    char: str
    token_id: int
    left_id: int
    right_id: int


@dataclass(frozen=True)
class Contract:
    """Everything a checkpoint's weights rely on and cannot say themselves.

    `injection` is the name of an `Injection`. `scaled_state`: the AR scales the backbone state to √d before its head.
    `final_norm`: the AR keeps the model's final norm. `mse_scale` is the norm both sides are scaled to before the
    training loss. `prompt_hash` is `hash_ids` of the AV prompt; other projects' contracts have none. `plain_prompt`:
    the AV prompt is no chat message but a plain text with the tokenizer's own special tokens, as base models read one.

    >>> Contract("ar", d_model=256, site=Site("resid_post", 5), ar_template="Said: {explanation} Meant:")
    Contract(ar, d_model 256, at resid_post:5)
    """

    role: str
    d_model: int
    site: Site | None
    av_template: str | None = None
    ar_template: str | None = None
    marker: Marker | None = None
    prompt_hash: str | None = None
    plain_prompt: bool = False
    injection: str = "replace"
    injection_scale: float | None = None
    mse_scale: float | None = None
    scaled_state: bool = False
    final_norm: bool = False
    ar_suffix_ids: tuple[int, ...] = ()
    base_model: str | None = None
    baseline: Baseline | None = None
    stage: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.role not in ("av", "ar"):
            raise UserError(f"contract role must be av or ar, found {self.role!r}")
        takes_scale = injections.kind(self.injection).takes_scale
        if self.role == "av":
            _need(self.marker is not None, "an AV contract needs tokens.injection_char and its ids")
            _need(bool(self.av_template), "an AV contract needs prompt_templates.av")
            _need("{injection_char}" in (self.av_template or ""), "the AV template must hold {injection_char}")
            _need(
                self.injection_scale is not None or not takes_scale, "an AV contract needs extraction.injection_scale"
            )
        else:
            _need(self.site is not None, "an AR contract needs its layer (critic.extraction_layer_index)")
            _need(bool(self.ar_template), "an AR contract needs prompt_templates.ar")
            _need("{explanation}" in (self.ar_template or ""), "the AR template must hold {explanation}")
        if self.injection_scale is not None and not (math.isfinite(self.injection_scale) and self.injection_scale > 0):
            raise UserError(f"extraction.injection_scale must be a positive number, found {self.injection_scale!r}")

    def __repr__(self) -> str:
        marker = f", marker {self.marker.char!r} by {self.injection}" if self.marker else ""
        return f"Contract({self.role}, d_model {self.d_model}, at {self.site or 'no known site'}{marker})"

    def with_baseline(self, baseline: Baseline) -> "Contract":
        return replace(self, baseline=baseline)


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(f"{message}; nla_meta.yaml does not have it")


def load(directory: str | Path) -> dict[str, Any]:
    """The parsed nla_meta.yaml in `directory`, unchecked."""
    missing = f"no {FILE} in {directory}: an NLA checkpoint keeps its contract beside its weights"
    return read_mapping(Path(directory) / FILE, missing)


def read(directory: str | Path) -> Contract:
    """The contract in `directory`/nla_meta.yaml, in any of the official spellings."""
    data = load(directory)
    try:
        return from_dict(data)
    except UserError as error:
        raise UserError(f"{Path(directory) / FILE}: {error}") from None


def from_dict(data: Mapping[str, Any]) -> Contract:
    """A contract from the parsed sidecar of a model (`kind: nla_model`)."""

    def one(kind: type, what: str, *spellings: str) -> Any:
        return _one(data, kind, what, spellings or (what,))

    if data.get("kind") != "nla_model":
        raise UserError(f"kind must be nla_model, found {data.get('kind')!r}")
    role = ROLES.get(str(data.get("role")))
    if role is None:
        raise UserError(f"role must be one of {', '.join(ROLES)}, found {data.get('role')!r}")
    d_model = expect(data.get("d_model"), int, "d_model")
    if not 1 <= d_model <= 1 << 20:
        raise UserError(f"d_model must be the width of a model, found {d_model}")
    layer = one(int, "the AR's layer", *LAYER)
    baseline = one(Mapping, "thinkaloud.baseline")
    return Contract(
        role=role,
        d_model=d_model,
        site=None if layer is None else Site(one(str, "thinkaloud.site.kind") or "resid_post", layer),
        av_template=one(str, "the AV template", "prompt_templates.av", "prompt_templates.actor"),
        ar_template=one(str, "the AR template", "prompt_templates.ar", "prompt_templates.critic"),
        marker=_marker(_section(data, "tokens")) if role == "av" else None,
        prompt_hash=one(str, "thinkaloud.prompt_hash"),
        plain_prompt=bool(one(object, "thinkaloud.plain_prompt")),
        injection=one(str, "thinkaloud.injection") or "replace",
        injection_scale=_scale(data, "injection_scale", d_model, None),
        mse_scale=_scale(data, "mse_scale", d_model, "sqrt_d_model"),
        scaled_state=bool(one(object, "thinkaloud.scaled_state")),
        final_norm=bool(one(object, "thinkaloud.final_norm")),
        ar_suffix_ids=tuple(expect(i, int, SUFFIX_KEY) for i in one(list, f"tokens.{SUFFIX_KEY}") or ()),
        base_model=one(str, "the base model", "base_model", "base_checkpoint"),
        baseline=None if not baseline else Baseline.from_dict(baseline),
        stage=data.get("stage"),
        provenance=one(Mapping, "thinkaloud.provenance") or {},
    )


def to_dict(contract: Contract) -> dict[str, Any]:
    """The sidecar of a contract: official keys, then what they cannot hold under `thinkaloud`."""
    suffix, site, baseline = contract.ar_suffix_ids, contract.site, contract.baseline
    ours = {
        "injection": contract.injection,
        "scaled_state": contract.scaled_state,
        "final_norm": contract.final_norm,
        "prompt_hash": contract.prompt_hash,
        "plain_prompt": contract.plain_prompt or None,
        "site": site and site.to_dict(),
        "baseline": baseline and baseline.to_dict(),
        "provenance": dict(contract.provenance) or None,
    }
    return {
        "kind": "nla_model",
        "schema_version": 2,
        "role": contract.role,
        "stage": contract.stage,
        "base_checkpoint": contract.base_model,
        "d_model": contract.d_model,
        "extraction": {"injection_scale": contract.injection_scale, "mse_scale": contract.mse_scale},
        "tokens": marker_section(contract.marker) | ({SUFFIX_KEY: list(suffix)} if suffix else {}),
        "prompt_templates": without_none({"av": contract.av_template, "ar": contract.ar_template}),
        "thinkaloud": without_none(ours),
        **({"critic": {"extraction_layer_index": site.layer}} if site is not None else {}),
    }


def marker_section(marker: Marker | None) -> dict[str, Any]:
    """A marker as the `tokens` section of a sidecar has it; empty for none."""
    return {} if marker is None else dict(zip(MARKER_KEYS, astuple(marker), strict=True))


def _marker(tokens: Mapping[str, Any]) -> Marker:
    char, *ids = (tokens.get(key) for key in MARKER_KEYS)
    if not isinstance(char, str) or not char:
        raise UserError(f"tokens.injection_char must be a character, found {char!r}")
    return Marker(char, *(expect(i, int, f"tokens.{key}") for i, key in zip(ids, MARKER_KEYS[1:], strict=True)))


def write(contract: Contract, directory: str | Path) -> Path:
    """Write the contract beside the weights; returns the file."""
    path = Path(directory) / FILE
    path.write_text(to_yaml(to_dict(contract)), encoding="utf-8")
    return path


def to_yaml(data: Mapping[str, Any]) -> str:
    """A sidecar's text, in the order of `data`. Written characters stay readable, unless they would not come back."""
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    # PyYAML writes these three as they are, and reads the first of them as white space.
    return yaml.safe_dump(data, sort_keys=False) if re.search("[\x85\u2028\u2029]", text) else text


def find_marker(
    tokenizer: Any, av_template: str, char: str, plain: bool = False
) -> tuple[list[int], list[int], Marker]:
    """The AV prompt's ids, the marker's places in it, and the marker with its neighbours.

    The prompt is a user's message that waits for its answer, or with `plain` a plain text as M reads one.
    The marker is looked for in the prompt: alone, SentencePiece would put a space before it, and another token may be
    its own there. White space beside it may be part of its token.
    """
    content = av_template.replace("{injection_char}", char)
    if plain:
        ids = list(tokenizer(content)["input_ids"])
    elif tokenizer.chat_template:
        ids = chat_ids(tokenizer, [{"role": "user", "content": content}], generation_prompt=True)
    else:
        raise UserError("the AV's tokenizer has no chat template: the AV prompt is a chat message")

    def text(start: int, size: int = 1) -> str:
        return tokenizer.decode(ids[start : start + size], clean_up_tokenization_spaces=False)

    places = [i for i in range(len(ids)) if text(i).strip() == char.strip() != ""]
    wanted = av_template.count("{injection_char}")
    if len(places) > wanted:
        raise UserError(
            f"the AV prompt holds {len(places)} markers, its template {wanted}: drop {char!r} from its text"
        )
    if len(places) < wanted:
        sizes = range(1, 4 * len(char) + 2)  # a byte each at most, and a space
        size = next((size for size in sizes if any(char in text(i, size) for i in range(len(ids)))), None)
        if size is None:
            raise UserError(f"the marker {char!r} is unknown to this tokenizer: choose another")
        if size == 1:
            raise UserError(f"the marker {char!r} is lost in the AV prompt: its text merges it with its neighbours")
        raise UserError(f"the marker {char!r} must be one token, this tokenizer makes it {size}: choose another")
    first = places[0]
    if first == 0 or first == len(ids) - 1:
        raise UserError("the marker stands at the edge of the AV prompt: it needs a neighbour on both sides")
    return ids, places, Marker(char, ids[first], ids[first - 1], ids[first + 1])


def check_marker(contract: Contract, tokenizer: Any) -> tuple[list[int], list[int]]:
    """The AV prompt's ids and the marker's places, after checking the contract against the live tokenizer."""
    marker = contract.marker
    if marker is None or contract.av_template is None:
        raise UserError("this contract is an AR's: it has no marker")
    ids, places, live = find_marker(tokenizer, contract.av_template, marker.char, contract.plain_prompt)
    for name, wanted, found in (
        ("marker id", marker.token_id, live.token_id),
        ("left neighbour", marker.left_id, live.left_id),
        ("right neighbour", marker.right_id, live.right_id),
    ):
        if wanted != found:
            raise UserError(
                f"the contract's {name} is {wanted}, this tokenizer gives {found}: wrong tokenizer or template"
            )
    if contract.prompt_hash not in (None, hash_ids(ids)):
        head = tokenizer.decode(ids[: places[0]])
        raise UserError(
            f"the AV prompt (hash {hash_ids(ids)}; up to the marker {head!r}) is not the one this AV was trained with "
            f"(hash {contract.prompt_hash}): use the tokenizer and chat template that were saved with it"
        )
    return ids, places


def hash_ids(ids: Sequence[int]) -> str:
    """A short hash of token ids."""
    return hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()[:16]


def expect(value: Any, kind: type, name: str) -> Any:
    """`value`, which has to be of `kind`: UserError with its `name` where it is not."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name} must be {_WORDS[kind]}, found {value!r}")
    return value


def _section(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping under a dotted name; empty where nothing stands there."""
    above, _, key = name.rpartition(".")
    found = _section(data, above).get(key) if name else data
    return {} if found is None else expect(found, Mapping, name)


def _one(data: Mapping[str, Any], kind: type, what: str, spellings: Sequence[str]) -> Any:
    """The one value under several dotted names, or None; two that differ are a contradiction."""
    parted = {name: name.rpartition(".") for name in spellings}
    given = without_none({name: _section(data, above).get(key) for name, (above, _, key) in parted.items()})
    if len({repr(value) for value in given.values()}) > 1:
        raise UserError(f"{what} is given twice and differs: " + ", ".join(f"{k} = {v!r}" for k, v in given.items()))
    return expect(next(iter(given.values())), kind, what) if given else None


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The entries that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _scale(data: Mapping[str, Any], name: str, d_model: int, default: Any) -> float | None:
    """The norm under extraction.`name`, None for no scaling."""
    value = _section(data, "extraction").get(name, default)
    if value is None or value in ("none", "raw"):
        return None
    try:
        return math.sqrt(d_model) if value == "sqrt_d_model" else float(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"extraction.{name} must be a number or sqrt_d_model, found {value!r}") from None

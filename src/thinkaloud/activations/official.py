"""Conversion of activations to and from the field's official data sets: a Parquet file and its sidecar.

The file holds `activation_vector` (raw float32), `n_raw_tokens` (the 1-based position), `activation_layer`, `doc_id`,
`detokenized_text_truncated`, and by stage `prompt`, `response` or `api_explanation`. The sidecar is FILE.nla_meta.yaml.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.store import check_vectors, with_defaults
from thinkaloud.activations.table import Activations
from thinkaloud.atomic import read_mapping, write_text, write_whole
from thinkaloud.contract import CLOSE, SUFFIX_KEY, Contract, expect, marker_section, to_yaml, without_none
from thinkaloud.errors import UserError
from thinkaloud.explanation import unwrap, wrap
from thinkaloud.site import Site

compute: Any = pyarrow.compute  # its functions are made at import, unknown to type checkers
STAGES = ("base", "av_sft", "ar_sft", "rl")
PLACEHOLDER = "<INJECT>"
VECTOR = "activation_vector"
ROWS = 4096
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def sidecar_path(path: str | Path) -> Path:
    return Path(f"{path}.nla_meta.yaml")


def read_official(path: str | Path) -> Activations:
    """The activations of an official data set of any stage; explanations without their tags in `explanation`.

    What the format does not hold (token ids) is null. `manifest` has the base model's name, the corpus, and under
    `official` the sidecar's stage, tokens and prompt templates.
    """
    path = Path(path)
    meta = _read_sidecar(path)
    extraction = meta["extraction"]
    d_model, layer = int(extraction["d_model"]), int(extraction["layer_index"])
    try:
        with pq.ParquetFile(path) as file:
            rest = [name for name in file.schema_arrow.names if name != VECTOR]
            for name in (VECTOR, "doc_id"):
                if name not in file.schema_arrow.names:
                    raise UserError(f"{path} has no column {name!r}: it has {', '.join(file.schema_arrow.names)}")
            vectors, at = torch.empty(file.metadata.num_rows, d_model), 0
            for batch in file.iter_batches(batch_size=ROWS, columns=[VECTOR]):
                vectors[at : at + len(batch)] = _vectors(batch.column(VECTOR), d_model, path, at)
                at += len(batch)
            table = file.read(columns=rest)
    except FileNotFoundError:
        raise UserError(f"no file {path}: expected an official Parquet data set") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from None
    if not len(vectors):
        raise UserError(f"{path} has no rows")
    if "activation_layer" in rest:
        found = table["activation_layer"].unique().to_pylist()
        if found != [layer]:
            raise UserError(f"{path} holds layers {found}, its sidecar says layer_index {layer}: one of them is wrong")
    check_vectors(vectors, d_model, lambda i: f"the vector of row {i} of {path.name}")
    columns: dict[str, Any] = {"doc_id": table["doc_id"]}
    if "n_raw_tokens" in rest:
        columns["position"] = compute.subtract(table["n_raw_tokens"], 1)
    if "detokenized_text_truncated" in rest:
        columns["text"] = table["detokenized_text_truncated"]
    explanations = _explanations(table, meta)
    if explanations is not None:
        writer = (meta.get("api_summaries") or {}).get("model", "official")
        columns["explanation"] = pa.array(explanations, pa.string())
        columns["writer"] = pa.array([None if e is None else writer for e in explanations], pa.string())
    manifest = {
        "model": {"name": extraction.get("base_model")},
        "corpus": extraction.get("corpus"),
        "options": {"positions": extraction.get("positions_per_doc")},
        "official": {key: meta.get(key) for key in ("stage", "tokens", "prompt_templates")},
    }
    return Activations(vectors, with_defaults(pa.table(columns), vectors), Site("resid_post", layer), manifest)


def write_official(
    activations: Activations,
    path: str | Path,
    stage: str = "base",
    av: Contract | None = None,
    ar: Contract | None = None,
) -> Path:
    """Write `activations` as an official data set of `stage` with its sidecar; returns the Parquet file.

    `base` takes explanations along as `api_explanation` where there are any. `av_sft`, `ar_sft` and `rl` need the AV's
    contract, for the marker and the prompt; `ar_sft` the AR's as well; the two warm starts an explanation in every row.
    """
    path, table = Path(path), activations.table
    if stage not in STAGES:
        raise UserError(f"stage must be one of {', '.join(STAGES)}, found {stage!r}")
    site = activations.site
    if site is None:
        raise UserError("these activations do not say their site: an official data set needs the layer")
    if site.kind != "resid_post":
        raise UserError(f"these activations are of {site}: an official data set holds outputs of a block")
    av_template = av.av_template if av is not None and av.marker is not None else None
    ar_template = ar.ar_template if ar is not None else None
    if stage != "base" and av_template is None:
        raise UserError(f"stage {stage} needs the AV's contract: its marker and prompt go into the data set")
    if stage in ("av_sft", "rl") and av is not None and av.plain_prompt:
        raise UserError(f"stage {stage} holds the AV's prompt as a chat message: this AV's is a plain text")
    if stage == "ar_sft" and ar_template is None:
        raise UserError("stage ar_sft needs the AR's contract: its prompt goes into the data set")
    has_explanations = "explanation" in table.column_names
    if stage in ("av_sft", "ar_sft") and (not has_explanations or table["explanation"].null_count):
        missing = table["explanation"].null_count if has_explanations else table.num_rows
        raise UserError(f"stage {stage} needs an explanation in every row, {missing} have none: filter or explain them")
    check_vectors(activations.vectors, activations.vectors.shape[1], lambda i: f"the vector of row {i}")

    texts = table["explanation"].to_pylist() if has_explanations else []
    flat, n = pa.array(activations.vectors.contiguous().numpy().reshape(-1)), len(activations)
    columns: dict[str, Any] = {}
    if stage in ("av_sft", "rl"):
        content = (av_template or "").replace("{injection_char}", PLACEHOLDER)
        columns["prompt"] = pa.array([[{"role": "user", "content": content}]] * n, MESSAGES)
    if stage == "av_sft":
        columns["response"] = [wrap(text) for text in texts]
    if stage == "ar_sft":
        columns["prompt"] = [(ar_template or "").replace("{explanation}", text) for text in texts]
    columns |= {
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, activations.vectors.shape[1]),
        "n_raw_tokens": compute.add(table["position"].cast(pa.int64()), 1),
        "activation_layer": pa.array([site.layer] * n, pa.int64()),
        "doc_id": table["doc_id"],
        "detokenized_text_truncated": table["text"],
    }
    if stage == "base" and has_explanations:
        columns["api_explanation"] = table["explanation"]

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: pq.write_table(pa.table(columns), file, row_group_size=ROWS))
    sidecar = _sidecar(activations, stage, site)
    if stage != "base" and av is not None:
        suffix = list(ar.ar_suffix_ids) if ar is not None and ar.ar_suffix_ids else None
        sidecar["tokens"] = {**marker_section(av.marker), SUFFIX_KEY: suffix}
        sidecar["prompt_templates"] = without_none({"actor": av_template, "critic": ar_template})
    write_text(sidecar_path(path), to_yaml(sidecar))
    return path


def _sidecar(activations: Activations, stage: str, site: Site) -> dict[str, Any]:
    manifest, ids = activations.manifest or {}, activations.column("doc_id")
    base_model = str((manifest.get("model") or {}).get("name") or "unknown")
    per_document = np.unique(np.array(ids), return_counts=True)[1]
    key = hashlib.sha256(f"{base_model}|{site}|{manifest.get('corpus')}|{len(ids)}".encode()).hexdigest()[:8]
    return {
        "dataset_id": f"{stage}_{base_model.split('/')[-1]}_L{site.layer}_{key}",
        "stage": stage,
        "row_count": len(ids),
        "extraction": {
            "base_model": base_model,
            "d_model": activations.vectors.shape[1],
            "layer_index": site.layer,
            "norm": "none",
            "corpus": str(manifest.get("corpus") or "unknown"),
            "corpus_slice": {"start": 0, "length": len(per_document)},
            "positions_per_doc": int(per_document.max()) if len(per_document) else 0,
        },
        "kind": "nla_dataset",
        "schema_version": 1,
        "keep_debug_metadata": True,
        "created_by": "thinkaloud",
    }


def _read_sidecar(path: Path) -> dict[str, Any]:
    beside = sidecar_path(path)
    meta = read_mapping(beside, f"no sidecar {beside.name} beside {path}: an official data set comes with one")
    if meta.get("kind") != "nla_dataset":
        raise UserError(f"{beside} must be the sidecar of a data set (kind: nla_dataset)")
    extraction = meta.get("extraction")
    if not isinstance(extraction, dict):
        raise UserError(f"{beside} has no extraction section: it says the layer and the width")
    for name in ("d_model", "layer_index"):
        expect(extraction.get(name), int, f"{beside}: extraction.{name}")
    if extraction.get("norm", "none") != "none":
        raise UserError(f"{beside}: vectors must be raw (norm: none), found norm: {extraction['norm']}")
    return meta


def _vectors(column: pa.Array, d_model: int, path: Path, first_row: int) -> Float[Tensor, "n d"]:
    """Lists of floats, of fixed size or not, as one tensor; no Python object is made of a number."""
    if column.null_count:
        raise UserError(f"{path} has rows without a vector, from row {first_row + int(np.argmax(column.is_null()))} on")
    lengths = compute.list_value_length(column).to_numpy()
    wrong = np.flatnonzero(lengths != d_model)
    if len(wrong):
        row, found = first_row + int(wrong[0]), int(lengths[wrong[0]])
        raise UserError(f"row {row} of {path} has a vector of {found} values, its sidecar says d_model {d_model}")
    flat = column.flatten()
    if flat.null_count:
        raise UserError(f"{path} has vectors with empty values between row {first_row} and {first_row + len(column)}")
    return torch.from_numpy(flat.to_numpy(zero_copy_only=False).astype(np.float32)).reshape(len(column), d_model)


def _explanations(table: pa.Table, meta: Mapping[str, Any]) -> list[str | None] | None:
    """The rows' explanations from whichever column holds them; None where no column does."""
    if "api_explanation" in table.column_names:
        return table["api_explanation"].to_pylist()
    if "response" in table.column_names:
        return [unwrap(text) if text is not None and CLOSE in text else None for text in table["response"].to_pylist()]
    templates = meta.get("prompt_templates") or {}
    template = templates.get("ar") or templates.get("critic")
    if template and "prompt" in table.column_names and pa.types.is_string(table.schema.field("prompt").type):
        before, _, after = template.partition("{explanation}")
        prompts = table["prompt"].to_pylist()
        fits = [len(p) >= len(before + after) and p.startswith(before) and p.endswith(after) for p in prompts]
        return [p[len(before) : len(p) - len(after)] if fit else None for p, fit in zip(prompts, fits, strict=True)]
    return None

"""Conversion of activations to and from the field's official data sets: a Parquet file and its sidecar.

The file holds `activation_vector` (raw float32), `n_raw_tokens` (the 1-based position), `activation_layer`, `doc_id`,
`detokenized_text_truncated`, and by stage `prompt`, `response` or `api_explanation`. The sidecar is FILE.nla_meta.yaml.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.store import refuse_bad, with_defaults
from thinkaloud.activations.table import Activations
from thinkaloud.atomic import write_whole
from thinkaloud.contract import CLOSE, Contract, to_yaml
from thinkaloud.errors import UserError
from thinkaloud.explanation import unwrap, wrap
from thinkaloud.site import Site

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
            names = file.schema_arrow.names
            for name in (VECTOR, "doc_id"):
                if name not in names:
                    raise UserError(f"{path} has no column {name!r}: it has {', '.join(names)}")
            rest = [name for name in names if name != VECTOR]
            vectors, at, tables = torch.empty(file.metadata.num_rows, d_model), 0, []
            for batch in file.iter_batches(batch_size=ROWS):
                vectors[at : at + len(batch)] = _vectors(batch.column(VECTOR), d_model, path, at)
                at += len(batch)
                tables.append(pa.Table.from_batches([batch.select(rest)]))
    except FileNotFoundError:
        raise UserError(f"no file {path}: expected an official Parquet data set") from None
    except pa.ArrowInvalid as error:
        raise UserError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from None
    if not tables:
        raise UserError(f"{path} has no rows")
    table = pa.concat_tables(tables)
    if "activation_layer" in rest:
        found = table["activation_layer"].unique().to_pylist()
        if found != [layer]:
            raise UserError(f"{path} holds layers {found}, its sidecar says layer_index {layer}: one of them is wrong")
    refuse_bad(vectors, lambda i: f"row {i} of {path.name}")
    columns: dict[str, Any] = {"doc_id": table["doc_id"]}
    if "n_raw_tokens" in rest:
        counts = table["n_raw_tokens"].to_pylist()
        columns["position"] = pa.array([None if n is None else n - 1 for n in counts], pa.int32())
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
    if stage != "base" and (av is None or av.marker is None or av.av_template is None):
        raise UserError(f"stage {stage} needs the AV's contract: its marker and prompt go into the data set")
    if stage == "ar_sft" and (ar is None or ar.ar_template is None):
        raise UserError("stage ar_sft needs the AR's contract: its prompt goes into the data set")
    has_explanations = "explanation" in table.column_names
    if stage in ("av_sft", "ar_sft") and (not has_explanations or table["explanation"].null_count):
        missing = table["explanation"].null_count if has_explanations else table.num_rows
        raise UserError(f"stage {stage} needs an explanation in every row, {missing} have none: filter or explain them")
    refuse_bad(activations.vectors, lambda i: f"row {i}")

    d_model = activations.vectors.shape[1]
    fields: list[tuple[str, pa.DataType]] = []
    if stage != "base":
        fields.append(("prompt", pa.string() if stage == "ar_sft" else MESSAGES))
    if stage == "av_sft":
        fields.append(("response", pa.string()))
    fields += [
        (VECTOR, pa.list_(pa.float32(), d_model)),
        ("n_raw_tokens", pa.int64()),
        ("activation_layer", pa.int64()),
    ]
    fields += [("doc_id", pa.string()), ("detokenized_text_truncated", pa.string())]
    if stage == "base" and has_explanations:
        fields.append(("api_explanation", pa.string()))
    schema = pa.schema(fields)

    def write(file: IO[bytes]) -> None:
        with pq.ParquetWriter(file, schema) as writer:
            for part in _parts(activations, schema, site, av, ar):
                writer.write_table(part)

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, write)
    text = to_yaml(_sidecar(activations, stage, site, av, ar))
    write_whole(sidecar_path(path), lambda file: file.write(text.encode()))
    return path


def _parts(
    activations: Activations, schema: pa.Schema, site: Site, av: Contract | None, ar: Contract | None
) -> Iterator[pa.Table]:
    """The rows of a data set with the columns of `schema`, a few thousand at a time."""
    message = [{"role": "user", "content": ((av and av.av_template) or "").replace("{injection_char}", PLACEHOLDER)}]
    template = (ar and ar.ar_template) or ""
    for start in range(0, len(activations), ROWS):
        table, vectors = activations.table.slice(start, ROWS), activations.vectors[start : start + ROWS]
        n = table.num_rows
        texts = table["explanation"].to_pylist() if "explanation" in table.column_names else []
        flat = pa.array(vectors.float().contiguous().numpy().reshape(-1))
        known: dict[str, Any] = {
            VECTOR: pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "n_raw_tokens": pa.array([None if p is None else p + 1 for p in table["position"].to_pylist()], pa.int64()),
            "activation_layer": pa.array([site.layer] * n, pa.int64()),
            "doc_id": table["doc_id"],
            "detokenized_text_truncated": table["text"],
            "api_explanation": texts,
        }
        if "response" in schema.names:
            known["response"] = [wrap(text) for text in texts]
        if "prompt" in schema.names:
            as_chat = schema.field("prompt").type == MESSAGES
            known["prompt"] = [message] * n if as_chat else [template.replace("{explanation}", t) for t in texts]
        yield pa.table({name: known[name] for name in schema.names}, schema=schema)


def _sidecar(
    activations: Activations, stage: str, site: Site, av: Contract | None, ar: Contract | None
) -> dict[str, Any]:
    manifest, ids = activations.manifest or {}, activations.column("doc_id")
    base_model = str((manifest.get("model") or {}).get("name") or "unknown")
    per_document = np.unique(np.array(ids), return_counts=True)[1]
    key = hashlib.sha256(f"{base_model}|{site}|{manifest.get('corpus')}|{len(ids)}".encode()).hexdigest()[:8]
    data: dict[str, Any] = {
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
    if stage != "base" and av is not None and av.marker is not None:
        data["tokens"] = {
            "injection_char": av.marker.char,
            "injection_token_id": av.marker.token_id,
            "injection_left_neighbor_id": av.marker.left_id,
            "injection_right_neighbor_id": av.marker.right_id,
            "critic_suffix_ids": list(ar.ar_suffix_ids) if ar is not None and ar.ar_suffix_ids else None,
        }
        templates = {"actor": av.av_template, "critic": ar.ar_template if ar is not None else None}
        data["prompt_templates"] = {name: text for name, text in templates.items() if text is not None}
    return data


def _read_sidecar(path: Path) -> dict[str, Any]:
    beside = sidecar_path(path)
    if not beside.is_file():
        raise UserError(f"no sidecar {beside.name} beside {path}: an official data set comes with one")
    try:
        meta = yaml.safe_load(beside.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{beside} is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(meta, dict) or meta.get("kind") != "nla_dataset":
        raise UserError(f"{beside} must be the sidecar of a data set (kind: nla_dataset)")
    extraction = meta.get("extraction")
    if not isinstance(extraction, dict):
        raise UserError(f"{beside} has no extraction section: it says the layer and the width")
    for name in ("d_model", "layer_index"):
        if isinstance(extraction.get(name), bool) or not isinstance(extraction.get(name), int):
            raise UserError(f"{beside}: extraction.{name} must be a whole number, found {extraction.get(name)!r}")
    if extraction.get("norm", "none") != "none":
        raise UserError(f"{beside}: vectors must be raw (norm: none), found norm: {extraction['norm']}")
    return meta


def _vectors(column: pa.Array, d_model: int, path: Path, first_row: int) -> Float[Tensor, "n d"]:
    """Lists of floats, of fixed size or not, as one tensor; no Python object is made of a number."""
    if column.null_count:
        raise UserError(f"{path} has rows without a vector, from row {first_row + int(np.argmax(column.is_null()))} on")
    if not pa.types.is_fixed_size_list(column.type):
        lengths = column.value_lengths().to_numpy()
        wrong = np.flatnonzero(lengths != d_model)
        if len(wrong):
            row, found = first_row + int(wrong[0]), int(lengths[wrong[0]])
            raise UserError(f"row {row} of {path} has a vector of {found} values, its sidecar says d_model {d_model}")
    elif column.type.list_size != d_model:
        raise UserError(f"{path} has vectors of {column.type.list_size} values, its sidecar says d_model {d_model}")
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

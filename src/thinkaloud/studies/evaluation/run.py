"""The tables of an evaluation: activations → explanations, greedy and sampled → what each evaluation measures.

data           what is known of each activation, and the vectors
explanations   the explanations, greedy (sample 0) and sampled, with their scores
NAME           what the evaluation NAME has measured
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from thinkaloud import families
from thinkaloud.activations import Activations, extract, read_manifest
from thinkaloud.activations.corpus import Document
from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.store import check_read_by
from thinkaloud.activations.token_class import class_of
from thinkaloud.activations.tokens import encode, windows_to_read
from thinkaloud.baseline import Baseline
from thinkaloud.config.groups import FAIL_MSE
from thinkaloud.errors import UserError
from thinkaloud.evals.base import Bench
from thinkaloud.explanation import Explanation
from thinkaloud.pair.doctor import find
from thinkaloud.pair.failures import valid_explanations
from thinkaloud.pair.formats import read_contract
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.scores import cosine, direction_mse, fve
from thinkaloud.studies.evaluation import Evaluate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import examples
from thinkaloud.studies.survey.run import documents

EACH = 4  # activations of a document of a corpus
CHARACTERS = 2000  # of it that are read
NEXT_TOKENS = 8
PIECE = 256  # activations explained between two saves
SAMPLED = 4  # one activation of so many has sampled explanations too
KEPT = ("explanation", "raw", "token_ids", "logprobs", "finish")


def run(config: Evaluate, folder: Folder, nla: NLA) -> None:
    """Read, explain, and measure; a run that was stopped goes on with the next piece or evaluation."""
    data = _stored(folder, nla, lambda: _read(config, nla))
    of = Baseline.from_dict(folder.table("baseline", lambda: [_baseline(config, nla, data).to_dict()]).to_pylist()[0])
    rows = range(len(data))
    greedy = folder.pieces("greedy", rows, PIECE, lambda some, _: _explained(nla, data, some, 1, 0.0, config))
    drawn, size = (config.samples, 1.0, config), PIECE // SAMPLED
    sampled = folder.pieces("sampled", rows[::SAMPLED], size, lambda some, _: _explained(nla, data, some, *drawn))
    said = [Explanation(*map(_plain, row)) for row in zip(*(greedy[name].to_pylist() for name in KEPT), strict=True)]
    second = None if config.second is None else _ar(config.second, "--second", nla)
    tails = {k: _ar(name, "--tail-ar", nla) for k, name in config.tails().items()}
    how = (config.seed, config.max_tokens, second, folder.watch, config.other, tails)
    bench = Bench(nla, data, said, of, *how)
    asked, lacking = config.evaluations(), dict[str, str]()
    for name, evaluation in asked.items():
        path = folder.out / "tables" / f"{name}.parquet"
        if path.is_file():
            continue
        try:
            made = evaluation.measure(bench)
        except UserError as error:  # said on the page, where the others stand
            lacking[name] = str(error)
            continue
        if len(made):
            folder.table(name, lambda made=made: made)
    docs = data.column("doc_id")
    facts = {
        **config.facts(nla, of),
        "Activations": f"{len(data):,} of {len(set(docs)):,} documents of {config.data or config.texts}",
        "Explanations": f"{len(data):,} greedy, {len(sampled):,} sampled at temperature 1",
    }
    names = [data.column(name) for name in ("text", "token", "doc_id")]
    shown = [
        {"prefix": names[0][i], "token": names[1][i], "note": str(names[2][i]), "text": text, "fve": fve(mse, of)}
        for i, (text, mse) in enumerate(zip(greedy["explanation"].to_pylist(), greedy["mse"].to_pylist(), strict=True))
    ]
    folder.keep(facts, examples(shown), lacking=lacking)


def _read(config: Evaluate, nla: NLA) -> Activations:
    """The activations: of the data's split evenly spread, or of a corpus, each document's drawn by the seed."""
    if config.data is not None:
        manifest = read_manifest(config.data)
        width = nla.reconstructor.contract.d_model
        check_read_by("the pair", config.data, manifest, nla.site, width, nla.base)
        n = manifest["counts"]["splits"].get(config.split, {}).get("rows", 0)
        if not n:
            raise UserError(f"{config.data} has no {config.split} rows: choose another --split")
        chosen = np.unique(np.linspace(0, n - 1, min(config.n, n)).round().astype(int))
        return Activations.load(config.data, split=config.split, rows=chosen)
    found = []
    per_kind = -(-config.n // (2 * EACH))
    for kind in ("text", "chat"):
        found += islice(documents(config.texts, kind, config.seed), per_kind)
    if not found:
        raise UserError(f"no document to read in {config.texts}")
    texts = [document.messages or (document.text or "")[:CHARACTERS] for document in found]
    made = extract(
        nla.model, texts, nla.site, EACH, nla.model_tokenizer, seed=config.seed, next_tokens=NEXT_TOKENS,
        min_position=4, window=(size := families.context_length(nla.model)),
    )  # fmt: skip
    names = {f"text-{i}": str(document.id) for i, document in enumerate(found)}
    ids = pa.array([names[name] for name in made.column("doc_id")])
    table = made.table.set_column(made.table.column_names.index("doc_id"), "doc_id", ids)
    table = table.append_column("ids", pa.array(_ids(nla, texts, made, size)))
    keep = np.arange(len(made)) < config.n
    return replace(made, table=table).filter(keep)


def _ids(nla: NLA, texts: Sequence[Any], made: Activations, size: int) -> list[list[int]]:
    """The token ids up to each activation, as they were read."""
    documents = [
        Document(f"text-{i}", text=one) if isinstance(one, str) else Document(f"text-{i}", messages=tuple(one))
        for i, one in enumerate(texts)
    ]
    bos, context = nla.model_tokenizer.bos_token_id, families.context_length(nla.model)
    windows = {
        (one.doc_id, one.start): one.ids
        for document, ids in zip(documents, encode(nla.model_tokenizer, documents), strict=True)
        for one in windows_to_read(document, ids, bos, size, context, document.id)
    }
    places = zip(*(made.column(name) for name in ("doc_id", "window", "position")), strict=True)
    return [windows[doc, window][: position + 1] for doc, window, position in places]


def _stored(folder: Folder, nla: NLA, read: Any) -> Activations:
    """The activations, with what is known of their tokens, kept in the folder."""

    def table() -> pa.Table:
        data = read()
        special = set(special_ids(nla.model_tokenizer).tolist())
        tokens, texts, ids = (data.column(name) for name in ("token", "text", "token_id"))
        classes = [
            "special" if i in special else class_of(token, text.removesuffix(token))
            for token, text, i in zip(tokens, texts, ids, strict=True)
        ]
        kinds = ["chat" if chat else "text" for chat in data.column("chat")]
        more = {"class": classes, "kind": kinds, "special": [i in special for i in ids], "row": list(range(len(data)))}
        more["vector"] = list(data.vectors.numpy())
        out = data.table
        for name, column in more.items():
            out = out.append_column(name, pa.array(column))
        return out

    kept = folder.table("data", table)
    vectors = torch.from_numpy(np.stack(kept["vector"].to_numpy()))
    return Activations(vectors, kept.drop_columns(["vector"]), nla.site)


def _baseline(config: Evaluate, nla: NLA, data: Activations) -> Baseline:
    """The pair's baseline, so that figures of one pair are on one scale; else that of the data."""
    return nla.baseline or Baseline.of(data.vectors.numpy(), data.column("doc_id"), config.data or config.texts)


def _explained(
    nla: NLA, data: Activations, rows: Sequence[int], n: int, temperature: float, config: Evaluate
) -> list[Mapping[str, Any]]:
    """Explanations of these rows with their scores by the AR; a failed one has the MSE of a failure."""
    target = data.vectors[list(rows)]
    said = [e for row in nla.explain(target, n, temperature, config.seed, config.max_tokens) for e in row]
    target = target.repeat_interleave(n, dim=0)
    valid = valid_explanations(said, nla.reconstructor)
    pred = torch.zeros_like(target)
    if valid.any():
        pred[valid] = nla.reconstruct([one.text for one, fits in zip(said, valid.tolist(), strict=True) if fits]).cpu()
    mse, cos = direction_mse(pred, target).masked_fill(~valid, FAIL_MSE).tolist(), cosine(pred, target).tolist()
    first = 0 if temperature == 0 else 1
    return [
        {"row": row, "sample": first + k, "explanation": one.text, "raw": one.raw, "finish": one.finish}
        | {"token_ids": list(one.token_ids), "logprobs": list(one.logprobs), "tokens": len(one.token_ids)}
        | {"valid": bool(valid[i * n + k]), "mse": mse[i * n + k], "cos": cos[i * n + k]}
        for i, row in enumerate(rows)
        for k, one in enumerate(said[i * n : (i + 1) * n])
    ]


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _ar(name: str, option: str, nla: NLA) -> Reconstructor:
    """An AR beside the pair's own; UserError where it is of another site or width."""
    named = find(name)
    if named.ar is None:
        raise UserError(f"{name} is no pair and no AR: {option} is an AR of the pair's site")
    wanted, found = nla.reconstructor.contract, read_contract(named.ar, "ar")
    if (found.site, found.d_model) != (wanted.site, wanted.d_model):
        raise UserError(
            f"{name} rebuilds {found.site}, {found.d_model} wide, "
            f"the pair {wanted.site}, {wanted.d_model} wide: another AR is needed"
        )
    return Reconstructor.from_pretrained(named.ar, base=nla.base, device=str(nla.reconstructor.device))

"""Take the activations of a corpus into a folder of shards with a manifest; a killed run goes on where it stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkaloud.cli.progress import stages
from thinkaloud.config.data import Extract as Args
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from thinkaloud.activations.corpus import Corpus


def main(args: Args) -> None:
    from thinkaloud import loading
    from thinkaloud.activations import extract_to, read_corpus
    from thinkaloud.activations.shards import check
    from thinkaloud.site import Site

    corpus = read_corpus(args.corpus, text_column=args.text_column)
    if args.nla is not None:
        if args.model is not None or args.layer is not None:
            raise UserError("give --nla PAIR, or --model M and --layer K, not both: a pair names its model and layer")
        name, model_path, site = _of_pair(args.nla)
    elif args.model is not None and args.layer is not None:
        name, model_path, site = args.model, args.model, Site("resid_post", args.layer)
    else:
        raise UserError("say what to read: --nla PAIR, or --model M and --layer K")
    check(args, loading.load_config(model_path), site, str(model_path))
    extent = corpus.count(args.limit, args.heldout)
    foretold = extent.lacking() if extent and args.heldout else None
    if foretold:
        print(foretold, flush=True)
    with stages("tokens") as watch:
        watch(f"loading {model_path}", 0, None)
        if args.next_tokens:
            model = loading.load_causal_lm(model_path, args.device, args.dtype)
        else:
            model = loading.load_backbone(model_path, site.layer, args.device, args.dtype)
        tokenizer = loading.load_tokenizer(model_path)
        manifest = extract_to(args, model, tokenizer, corpus, site, name, watch)
    print(_summary(args, manifest, site, corpus, foretold))


def _of_pair(pair: str) -> tuple[str, str | Path, Any]:
    """(name to write down, where to load, site) of the model that a pair reads."""
    from thinkaloud.pair.formats import read_contract
    from thinkaloud.pair.nla import pair_paths

    _, ar, base = pair_paths(pair)
    found = read_contract(ar, "ar")
    assert found.site is not None  # an AR's contract has one
    base = base or found.base_model
    if base is None:
        raise UserError(
            f"the AR of {pair} does not say which model it reads: give --model M --layer {found.site.layer}"
        )
    return str(base), base, found.site


def kept(args: Args) -> str:
    """What an interrupt leaves."""
    from thinkaloud.activations.store import SHARD_DOCS, shards_in

    shards = shards_in(args.out)
    if not shards:
        return f"nothing is kept of the first {SHARD_DOCS} documents, which were not done"
    return f"{shards} finished shard{'s' * (shards > 1)} of {SHARD_DOCS} documents are kept in {args.out}"


def _summary(args: Args, manifest: dict[str, Any] | None, site: Any, corpus: "Corpus", foretold: str | None) -> str:
    if manifest is None:
        return f"worker {args.worker} of {args.workers} is done; other workers' shards are still missing in {args.out}"
    from thinkaloud.activations.corpus import Extent
    from thinkaloud.baseline import Baseline

    counts, norms = manifest["counts"], manifest["norm_percentiles"]
    splits = ", ".join(f"{name} {part['rows']:,}" for name, part in counts["splits"].items())
    lines = [
        f"{args.out}: {counts['rows']:,} activations ({splits}) of {counts['documents']:,} documents, "
        f"{counts['tokens']:,} tokens, in {manifest['n_shards']} shards",
        f"site {site}, {manifest['d_model']} wide",
    ]
    if counts["rows"]:
        lines.append("norms " + ", ".join(f"{p}% {value:.4g}" for p, value in norms.items()))
    lines += [str(Baseline.from_dict(baseline)) for baseline in manifest["baseline"].values()]
    if counts["truncated"]:
        lines.append(
            f"documents longer than the context, cut there: {counts['truncated']:,} (--window reads them whole)"
        )
    if counts["unreadable"]:
        example = f" (the first: {corpus.first_problem})" if corpus.first_problem else ""
        lines.append(f"rows that could not be read, passed over: {counts['unreadable']:,}{example}")
    held = counts["splits"].get("heldout", {"documents": 0})["documents"]
    lacking = Extent(counts["documents"], held, counts["tokens"]).lacking() if args.heldout else None
    if lacking and lacking != foretold:
        lines.append(lacking)
    if counts["rows"]:
        lines.append(f"next: thinkaloud explain --data {args.out}")
    else:
        lines.append(f"no document has a token from position {args.min_position} on: lower --min-position")
    return "\n".join(lines)

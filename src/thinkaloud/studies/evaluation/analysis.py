"""The results of an evaluation: every evaluation's rows, from the tables alone."""

import pandas as pd

from thinkaloud.baseline import Baseline
from thinkaloud.evals.base import Measured
from thinkaloud.studies.evaluation import Evaluate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results

_DATA = ("doc_id", "position", "text", "token", "class", "kind", "special", "norm", "chat", "next_tokens", "next_probs")

_NOT = ("token_ids", "logprobs", "raw")


def results(config: Evaluate, folder: Folder) -> Results:
    """A table of results for each evaluation that was asked for, and the FVE of all greedy explanations."""
    baseline = Baseline.from_dict(folder.kept("baseline")[0])
    data = pd.DataFrame(folder.kept("data", but=("vector",)))
    data = data[["row", *(name for name in _DATA if name in data)]]
    said = pd.DataFrame([row for kind in ("greedy", "sampled") for row in folder.kept(kind, but=_NOT)])
    explanations = said.merge(data, on="row", how="left")
    out = Results(config.name, cluster="doc_id", seed=config.seed)
    for name, evaluation in config.evaluations().items():
        found = Measured(explanations, pd.DataFrame(folder.kept(name)), baseline, config.seed)
        for labels, quantities in evaluation.rows(found):
            out.row(f"eval-{name}", labels, quantities)  # beside "values" and "claims"
    greedy = explanations[explanations["sample"] == 0]
    whole = Measured(explanations, pd.DataFrame(), baseline, config.seed)
    out.value("fve", whole.fve(greedy["mse"], greedy["doc_id"]))
    out.value("failed", whole.share(~greedy["valid"], greedy["doc_id"]))
    out.value("v", baseline.v)
    return out

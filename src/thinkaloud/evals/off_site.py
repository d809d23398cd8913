"""Evaluation off the pair's site: explanations of M's activations at the layers around the one it was trained on."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from thinkaloud import families
from thinkaloud.baseline import Baseline
from thinkaloud.config.groups import FAIL_MSE
from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.rereading import at_layers
from thinkaloud.pair.failures import valid_explanations
from thinkaloud.pair.scores import direction_mse
from thinkaloud.stats import mean

ROWS = 64
AROUND = 4  # layers on each side


@evaluation("off_site")
class OffSite(Evaluation):
    """Off its site: explanations of the layers around the pair's own"""

    source = "Observations of public users: a pair of layer 20 reads 18 and 22."
    metric = (
        "Explanations of M's vectors at other layers, rebuilt by the AR as always. FVE against the layer's own "
        "vector (V of that layer's vectors here), and against the vector of the pair's layer (V of its vectors "
        "here). Beside it the FVE of the layer's vector itself as an answer for that of the pair's layer, with "
        "no words between."
    )
    limits = (
        "The AR only ever gives vectors of the pair's layer, so a layer whose mean lies elsewhere scores low "
        f"against its own vector, whatever is said. It is of {ROWS} positions at most, evenly spread."
    )
    figure = Figure("layer", ("FVE, the layer's vector", "FVE, the vector of the pair's layer"), {"kind": "lines"})

    def measure(self, bench: Bench) -> Records:
        nla, own = bench.nla, bench.nla.site
        rows = bench.reread.some(ROWS)
        contexts = [bench.reread.ids[row] for row in rows]
        layers = range(max(0, own.layer - AROUND), min(families.n_blocks(nla.model), own.layer + AROUND + 1))
        found = at_layers(nla.model, [replace(own, layer=layer) for layer in layers], contexts)
        made = []
        found[own] = target = bench.vectors[torch.from_numpy(rows)]
        for layer in layers:
            vectors = found[replace(own, layer=layer)]
            if layer == own.layer:
                said = [bench.said[row] for row in rows]
            else:
                said = [one[0] for one in bench.explain(vectors, f"layer {layer}")]
            valid = valid_explanations(said, nla.reconstructor)
            pred = bench.reconstruct([one.text for one in said])
            v = Baseline.of(vectors.numpy(), [bench.docs[row] for row in rows], f"layer {layer}").v
            of_layer, of_own = (
                direction_mse(pred, of).masked_fill(~valid, FAIL_MSE).tolist() for of in (vectors, target)
            )
            as_it_is = direction_mse(vectors, target).tolist()
            made += [
                {"row": row, "layer": layer, "own": layer == own.layer, "v": v, "mse": a, "mse_own": b, "as_it_is": c}
                | {"valid": ok}
                for row, a, b, c, ok in zip(rows.tolist(), of_layer, of_own, as_it_is, valid.tolist(), strict=True)
            ]
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        v_own = float(found.own.loc[found.own["own"], "v"].iloc[0])
        for layer, part in found.own.groupby("layer", sort=True):
            docs, v = found.doc_of(part["row"]), float(part["v"].iloc[0])

            def fve(mse: str, v: float, part=part, docs=docs) -> object:
                return found.estimate(mean(1 - part[mse].to_numpy() / (v if v > 0 else float("nan"))), docs)

            yield (
                {"layer": int(layer), "the pair's": bool(part["own"].iloc[0])},
                {  # type: ignore[arg-type]
                    "FVE, the layer's vector": fve("mse", v),
                    "FVE, the vector of the pair's layer": fve("mse_own", v_own),
                    "FVE of the layer's vector itself": fve("as_it_is", v_own),
                    "V": v,
                    "failed": found.share(~part["valid"].astype(bool), docs),
                    "explanations": len(part),
                },
            )

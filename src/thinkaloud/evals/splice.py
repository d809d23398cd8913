"""Evaluation by splicing: what M goes on to predict with the reconstruction in the activation's place."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import DynamicCache

from thinkaloud import families, hooks
from thinkaloud.attention import cached
from thinkaloud.evals.base import Bench, Evaluation, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.models import lm
from thinkaloud.pair.scores import cosine

ROWS = 250
AFTER = 8  # tokens of M's own greedy continuation that are looked at
SAME, RECONSTRUCTION, NOISE, MEAN = "the vector itself", "reconstruction", "noise of the same error", "mean vector"
VARIANTS = (SAME, RECONSTRUCTION, NOISE, MEAN)


@evaluation("splice")
class Splice(Evaluation):
    """Splice: what M predicts with the reconstruction in the vector's place"""

    source = "Fraser-Taliente, Kantamneni, Ong et al., Transformer Circuits, May 2026; as loss recovered of SAEs."
    metric = (
        "M runs on with another vector of the same norm at the site and position. KL divergence, in nats, of its "
        f"next-token distribution from the undisturbed one, at the position and over the next {AFTER} tokens that "
        "M itself would write. Recovered: 1 − mean KL ∕ mean KL with the mean vector of this data, or with "
        "noise: a random vector at the same cosine to the original. The vector itself has to give 0. A failed "
        "explanation puts the mean vector in."
    )
    limits = (
        f"That M uses what the words say elsewhere than near this position. It is of {ROWS} positions at most, "
        "evenly spread, that M gives again for their text and that leave room for the tokens after them."
    )

    def measure(self, bench: Bench) -> Records:
        model = bench.nla.model
        rows = bench.reread.some(ROWS, room=families.context_length(model) - AFTER)
        contexts = [bench.reread.ids[row] for row in rows]
        bench.watch("splice", 0, len(rows))
        after = lm.greedy(model, bench.nla.model_tokenizer, contexts, AFTER)
        put = self._vectors(bench, rows)
        made: list[dict[str, Any]] = []
        for i, (row, ids, more) in enumerate(zip(rows.tolist(), contexts, after, strict=True)):
            found = divergence(model, bench.nla.site, ids, more.ids, put[i])
            for name, kl in zip(VARIANTS, found.tolist(), strict=True):
                later = float(np.mean(kl[1:])) if kl[1:] else None
                made.append({"row": row, "variant": name, "kl": kl[0], "after": later})
            bench.watch("splice", i + 1, len(rows))
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        wide = found.own.pivot(index="row", columns="variant")
        docs = found.doc_of(wide.index)
        for name in VARIANTS:
            here, later = wide["kl"], wide["after"]
            yield (
                {"in the vector's place": name},
                {
                    "KL at the position": found.share(here[name], docs),
                    "recovered, to the mean vector": _recovered(found, here, name, MEAN, docs),
                    "recovered, to noise": _recovered(found, here, name, NOISE, docs),
                    "KL after it": found.share(later[name], docs),
                    "recovered after it, to the mean vector": _recovered(found, later, name, MEAN, docs),
                    "positions": len(wide),
                },
            )

    def _vectors(self, bench: Bench, rows: np.ndarray) -> Float[Tensor, "n v d"]:
        """What is put in at each position, of the original's norm, in the order of `VARIANTS`."""
        at = torch.from_numpy(rows)
        original = bench.vectors[at].float()
        mean = normalize(bench.vectors.float(), dim=-1).mean(dim=0).expand_as(original)
        pred = bench.reconstruct([bench.texts[row] for row in rows])
        failed = torch.from_numpy(~bench.valid[rows]) | (pred == 0).all(dim=1)
        pred = torch.where(failed[:, None], mean, pred)
        noise = at_cosine(original, cosine(pred, original), bench.seed)
        put = torch.stack([original, pred, noise, mean], dim=1)
        return normalize(put, dim=-1) * original.norm(dim=-1)[:, None, None]


def _recovered(found: Measured, kl: Any, name: str, of: str, docs: Any) -> Any:
    known = kl[of].notna().to_numpy() & (name != of)
    return found.saved(kl[name][known], kl[of][known], docs[known]) if known.any() else None


def at_cosine(vectors: Float[Tensor, "n d"], cos: Float[Tensor, " n"], seed: int = 0) -> Float[Tensor, "n d"]:
    """A random direction at each of these cosines to the vectors."""
    unit = normalize(vectors, dim=-1)
    noise = torch.randn(unit.shape, generator=torch.Generator().manual_seed(seed))
    across = normalize(noise - (noise * unit).sum(dim=-1, keepdim=True) * unit, dim=-1)
    return cos[:, None] * unit + (1 - cos.square()).clamp(min=0).sqrt()[:, None] * across


@torch.no_grad()
def divergence(
    model: Any, site: Any, ids: list[int], after: list[int], vectors: Float[Tensor, "v d"]
) -> Float[Tensor, "v t"]:
    """KL of M's next-token distributions, at the last of `ids` and at each of `after`, with each of `vectors` there."""
    device, n = families.embedding(model).weight.device, len(vectors)
    text = families.text_model(model)
    cache = DynamicCache(config=text.config)
    how = {**cached(model, cache), "use_cache": True}
    if ids[:-1]:  # what stands before the position is the same for all
        text(input_ids=torch.tensor([ids[:-1]], device=device), **how)
        cache.batch_repeat_interleave(n + 1)
    run = torch.tensor([[ids[-1], *after]], device=device).expand(n + 1, -1)
    at = (torch.arange(1, n + 1, device=device), 0)
    with hooks.replace(model, site, vectors.to(device), at):
        hidden = text(input_ids=run, **how).last_hidden_state
    said = families.logits(model, hidden).float().log_softmax(dim=-1)
    return (said[:1].exp() * (said[:1] - said[1:])).sum(dim=-1).cpu()

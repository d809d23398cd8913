"""`Site`: hook point and layer, with its TransformerLens, Transformers and vLLM names."""

from dataclasses import asdict, dataclass
from typing import Any

from thinkaloud.errors import UserError

KINDS = ("resid_post", "resid_pre", "resid_mid", "attn_out", "mlp_out")


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model whose vectors are read.

    `Site("resid_post", K)` is the output of decoder block K, counted from 0, after the residual add. The other kinds
    are called as TransformerLens calls them: what enters the block, what stands between its attention and its MLP, and
    what each of the two adds to the stream.

    >>> Site("resid_post", 5).names()["Transformers hidden_states"]
    'hidden_states[6] (index 0 is the embedding)'
    """

    kind: str
    layer: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"site kind {self.kind!r} is not known: use one of {', '.join(KINDS)}")
        if isinstance(self.layer, bool) or not isinstance(self.layer, int) or self.layer < 0:
            raise UserError(f"site layer must be a block number counted from 0, found {self.layer!r}")

    def names(self) -> dict[str, str]:
        """The same vector in each convention: convention -> name."""
        k = self.layer
        if self.kind != "resid_post":
            return {"thinkaloud": str(self), "TransformerLens": f"blocks.{k}.hook_{self.kind}"}
        return {
            "thinkaloud": f"{self.kind}:{k} (output of block {k}, counted from 0)",
            "TransformerLens": f"blocks.{k}.hook_resid_post",
            "Transformers module": f"output of model.layers[{k}]",
            "Transformers hidden_states": f"hidden_states[{k + 1}] (index 0 is the embedding)",
            "vLLM auxiliary id": str(k + 1),
        }

    def check(self, n_blocks: int, model: str = "the model") -> None:
        """Refuse a layer that a model of `n_blocks` blocks does not have."""
        if self.layer >= n_blocks:
            raise UserError(f"layer {self.layer} is out of range: {model} has {n_blocks} blocks, 0 to {n_blocks - 1}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.kind}:{self.layer}"

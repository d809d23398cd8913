"""Sentence embeddings: the AR's own space, or a sentence encoder."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA

BATCH = 64

Embedder = Callable[[Sequence[str]], Float[Tensor, "n d"]]


def embedder(name: str, nla: NLA) -> Embedder:
    """`ar`: the vector that the AR makes of a sentence alone. Else an encoder on the hub or in a folder: the mean of
    its last hidden states over the sentence's tokens, as sentence encoders are read.
    """
    return nla.reconstruct if name == "ar" else _encoder(name, nla.verbalizer.device)


def _encoder(name: str, device: torch.device) -> Embedder:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name).to(device).eval()
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"no sentence encoder {name!r}: expected ar, a folder or a hub name ({said})") from None

    @torch.inference_mode()
    def embed(sentences: Sequence[str]) -> Float[Tensor, "n d"]:
        out = []
        for start in range(0, len(sentences), BATCH):
            batch = tokenizer(
                list(sentences[start : start + BATCH]), padding=True, truncation=True, return_tensors="pt"
            )
            batch = batch.to(device)
            hidden = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"][..., None]
            out.append(((hidden * mask).sum(dim=1) / mask.sum(dim=1)).cpu())
        return torch.cat(out)

    return embed

"""The pocket tokenizer: a byte-level BPE of 6,144 tokens, single digits, a chat template, the marker and the tags."""

from collections.abc import Iterable
from typing import Any

from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.pocket.chat import BOS, CHAT_TEMPLATE, END, ROLES

VOCABULARY = 6144
MARKER = "㈎"
CONTEXT = 512


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A tokenizer trained on `texts`. BOS is added by the tokenizer itself; eos is the end of a turn."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = [BOS, END, *(f"<|{role}|>" for role in ROLES)]
    # The tags are ordinary text that happens to be one token each: they stay visible when special tokens are skipped.
    plain = [MARKER, OPEN, CLOSE]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
        [
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(plain),
        special_tokens=special,  # type: ignore[arg-type]
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(token, normalized=False, special=False) for token in plain])
    core.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=special[2:],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer

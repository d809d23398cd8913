"""Configuration of the data: extraction of activations and the explanations written about them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thinkaloud.config.nested import Group, Nested
from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Extract(Group):
    """Take the activations of a corpus into a folder of shards."""

    corpus: str
    """A .txt, .jsonl or .parquet file (.xz and .gz are fine), a folder of them, or a hub data set (owner/name). A long
    .txt file without lines of <|doc|> is read as pages of whole paragraphs."""
    out: Path
    """The folder to write; one that a run with the same settings began is continued."""
    nla: str | None = None
    """A pair ("pocket", a folder, a hub name): its base model is read at its layer."""
    model: str | None = None
    """A model to read instead of a pair's: a folder or a hub name; needs --layer."""
    layer: int | None = None
    """The block whose output is read, counted from 0."""
    positions: int | None = 10
    """Tokens read of each document (of each window with --window), chosen by the seed; None: all from --min-position
    on."""
    seed: int = 0
    """What the choice of positions is keyed on, with the document's id."""
    min_position: int = 50
    """The first position that may be chosen: early ones have odd norms and say little."""
    special_tokens: bool = False
    """Choose special tokens too, as those between the turns of a chat; their vectors are odd like early ones."""
    window: int | None = None
    """Split documents into windows of so many tokens; default: whole documents, cut at the model's context."""
    next_tokens: int = 0
    """Keep so many of the model's own next tokens at each position; costs the rest of the forward pass."""
    heldout: float = 0.02
    """Share of the documents set aside by a hash of their ids."""
    text_column: str | None = None
    """The field that holds the text, if it is not "text"."""
    limit: int | None = None
    """Read no more than so many documents."""
    batch_tokens: int | None = None
    """Tokens in a batch; default: 32768 on an accelerator, 4096 on a CPU."""
    worker: int = 0
    """Which of --workers processes this is, from 0; together they write the same files as one."""
    workers: int = 1
    """How many processes share the corpus."""
    device: str | None = None
    """cpu, cuda or cuda:N; default: an accelerator where there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Default: bfloat16 on an accelerator, float32 on a CPU."""

    def __post_init__(self) -> None:
        self.at_least(1, "positions", "window", "batch_tokens", "limit")
        self.at_least(0, "min_position", "next_tokens")
        if not 0 <= self.heldout < 1:
            raise UserError(f"heldout must be a share of the documents from 0 to below 1, found {self.heldout}")
        if self.window == 1:
            raise UserError("window must be at least 2: a document's BOS stands at the beginning of each")
        if self.window is not None and self.window <= self.min_position:
            raise UserError(f"a window of {self.window} tokens has none from min_position {self.min_position} on")
        if not 0 <= self.worker < self.workers:
            raise UserError(f"worker must be 0 to {self.workers - 1} of {self.workers} workers, found {self.worker}")


@dataclass(frozen=True, kw_only=True)
class Asking(Group):
    """How a language model is asked. Every answer is kept in the cache: a run that goes on pays for none twice."""

    called = "ask"
    prompt: Path | None = None
    """A text file in place of the package's own prompt; {text} stands for the text up to the position, {token} for its
    last token, {next} for what --show-next adds."""
    chars: int = 2000
    """Show no more than so many of the last characters of the text."""
    show_next: bool = False
    """Show the target model's own likeliest next tokens too."""
    max_tokens: int = 400
    """Tokens an answer may take; one that is cut off is no explanation."""
    temperature: float | None = None
    """Default: what the service does by itself; local is greedy."""
    base_url: str | None = None
    """The address of another server with the same interface, as http://localhost:8000/v1 of a vLLM server. Keys are
    taken from OPENAI_API_KEY and ANTHROPIC_API_KEY alone, and go to the server that is asked."""
    concurrency: int = 8
    """Requests under way at once; local: chats in a batch."""
    tries: int = 8
    """How often a request is made before the run stops, where the service is busy, silent or broken."""
    timeout: float = 120.0
    """Seconds to wait for an answer."""
    batch: bool = False
    """Hand all requests in by the service's batch interface: cheaper, but the answers may take a day. A run that was
    stopped finds its batches again."""
    device: str | None = None
    """Where local runs: cpu, cuda or cuda:N; default: an accelerator where there is one."""
    price_in: float | None = None
    """Price of a million tokens read, for --dry-run."""
    price_out: float | None = None
    """Price of a million tokens written, for --dry-run."""

    def __post_init__(self) -> None:
        self.at_least(1, "chars", "max_tokens", "concurrency", "tries")
        self.at_least(0, "temperature", "price_in", "price_out")
        self.positive("timeout")
        if (self.price_in is None) != (self.price_out is None):
            raise UserError("a price is that of tokens read and of tokens written: give --price-in and --price-out")


@dataclass(frozen=True)
class Explain(Nested):
    """Write an explanation for every stored activation."""

    data: Path
    """Folder of an extraction that kept next tokens (`thinkaloud extract --next-tokens 6`)."""
    writer: str = "heuristic"
    """Who writes: heuristic goes by rules and needs no service; a language model, as openai:MODEL, anthropic:MODEL or
    local:MODEL, the last a chat model that runs here, by name or folder; or a Python file that registers a writer."""
    cache: Path | None = None
    """A SQLite file that remembers what was written, across runs and data sets; default: none, but for a language model
    asked.sqlite in the data's folder."""
    workers: int = 1
    """Processes to write with."""
    dry_run: bool = False
    """Only say what a language model would be asked: how many requests, about how many tokens, and one request."""
    ask: Asking = Asking()

    def __post_init__(self) -> None:
        self.check_groups()
        self.at_least(1, "workers")
        if self.cache is not None and self.workers > 1:
            raise UserError("a cache is kept by one process: use --workers 1 with --cache")

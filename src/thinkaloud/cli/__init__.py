"""The command `thinkaloud`: which verb is meant, and what a person sees when it fails.

Every verb is a module of this folder with `Args`, a frozen dataclass (or a union of them, for sub-verbs) whose docs are
the help, and `main(args) -> int | None`. A verb whose arguments depend on a file has `parse(arguments)` in place of
`Args`. Only the chosen verb's module is imported, so help costs no torch.
"""

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from thinkaloud.errors import UserError

VERBS = {
    "read": "read a text or a chat, token by token, in words",
    "extract": "take the activations of a corpus",
    "explain": "write an explanation for every activation",
    "warmstart": "train the verbalizer (av) or the reconstructor (ar) on written explanations",
    "train": "train a warm-started pair by reinforcement learning, or go on with a run",
    "runs": "list runs with their state, and the command to go on",
    "score": "say how well a pair's explanations rebuild held-out activations, with controls",
    "study": "rerun a public study of what explanations say, with intervals, as one page",
    "doctor": "check a model or a pair and say what is off",
    "demo": "read a few sentences with the bundled pair and write a report",
    "run": "run a whole recipe, every step resumable",
}

USAGE_ERROR, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is 0, 2 for a mistake that one line explains, 130 when interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(args))


def _dispatch(args: list[str]) -> int | None:
    first = args[0] if args else "--help"
    if first in ("-h", "--help", "help"):
        print(usage())
        return 0
    if first == "--version":
        from importlib.metadata import version

        print(f"thinkaloud {version('thinkaloud')}")
        return 0
    if first not in VERBS:
        raise UserError(f"no verb {first!r}: expected one of {', '.join(VERBS)}")
    _quiet_libraries()
    module = importlib.import_module(f"thinkaloud.cli.{first}")
    if hasattr(module, "parse"):
        return module.main(module.parse(args[1:]))
    import tyro

    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes)
    parsed = tyro.cli(module.Args, args=args[1:], prog=f"thinkaloud {first}", description=module.__doc__, config=config)
    return module.main(parsed)


def usage() -> str:
    """The help of the command itself: the verbs, a line each."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: thinkaloud VERB [options]",
            "",
            "Reads a language model's activations in words, and says how far to believe them.",
            "",
            *lines,
            "",
            "thinkaloud VERB --help says more; thinkaloud --version prints the version.",
        ]
    )


def guarded(action: Callable[[], int | None]) -> int:
    """Run `action`; what a person can mend becomes one line and an exit code, all else keeps its traceback."""
    try:
        code = action() or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_stdout()
        return PIPE_CLOSED
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        if isinstance(error, OSError):
            _drop_stdout()
        print(f"thinkaloud: {line}", file=sys.stderr)
        return USAGE_ERROR


def one_line(error: Exception) -> str | None:
    """The one line that tells a person what went wrong; None where only a traceback would help."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    # Arrow and safetensors report a full disk in their own exception types, with the system's words inside.
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in text:
        where = f" while writing {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return f"the disk is full{where}: free some space and run the same command again"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
        return "out of memory: use a smaller batch, a smaller model or a larger device"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return None


def _drop_stdout() -> None:
    """Let the interpreter's last flush go nowhere: it would fail again, after the line that explains."""
    with open(os.devnull, "w") as nowhere:
        try:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except (OSError, ValueError):  # a captured or closed stdout has no descriptor to turn away
            return


def _quiet_libraries() -> None:
    """Keep the libraries' advice and bars off a person's screen; variables that are set already win."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|huggingface_hub|accelerate)(\.|$)")

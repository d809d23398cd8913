"""What each scheme of reinforcement learning buys: a run of each from one pair, and the same evaluations of all.

python recipes/ablations/schemes.py --nla WARM --data DATA --out DIR --devices cuda:0 cuda:1

trains every scheme from the pair WARM on DATA (with explanations), one run at a time on each device, and evaluates each
with `thinkaloud eval`. DIR/NAME is the run, DIR/NAME-eval its page; given again, it goes on where it was. The table of
all is printed at the end, and is DIR/schemes.parquet.
"""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import tyro

COMMON = shlex.split(
    "--prompts 64 --group-size 8 --max-tokens 120 --temperature 0.8 --lr 1e-4 --ar-lr 1e-4 --final-lr-ratio 0.1 "
    "--warmup-steps 10 --repetition-penalty 1.0 --length-penalty 0.001 --eval.every 60 --eval.rows 1954"
)
KL = ["--kl.coef", "0.1"]
SCHEMES: dict[str, list[str]] = {
    "usual": KL,
    "reads-on": [*KL, "--ar-written", "1.0"],
    "frozen": [*KL, "--reward", "frozen=1"],
    "ensemble": [*KL, "--reward", "reconstruction=0.5", "--reward", "frozen=0.5"],
    "dropped": [*KL, "--reward", "dropped=1"],
    "half-dropped": [*KL, "--reward", "reconstruction=0.5", "--reward", "dropped=0.5"],
    "unquoted": [*KL, "--reward", "reconstruction=0.5", "--reward", "unquoted=0.5"],
    "reads-on-dropped": [*KL, "--ar-written", "1.0", "--reward", "dropped=1"],
    "no-kl": ["--kl.coef", "0"],
}
SHOWN = ("FVE", "failed")


@dataclass(frozen=True)
class Args:
    nla: str
    """The warm-started pair that all begin from."""
    data: Path
    """Activations with explanations."""
    out: Path
    """Folder of the runs."""
    steps: int = 300
    """Steps of each."""
    seed: int = 0
    """Seed of all."""
    only: tuple[str, ...] = ()
    """Only these schemes."""
    devices: tuple[str, ...] = ("auto",)
    """Where to run, one scheme at a time on each."""
    n: int = 1000
    """Held-out activations of an evaluation."""


def commands(args: Args, name: str, device: str) -> list[list[str]]:
    """The commands of a scheme, in their order."""
    run, thinkaloud = args.out / name, [sys.executable, "-m", "thinkaloud.cli"]
    train = ["train", "--nla", args.nla, "--data", str(args.data), "--out", str(run), "--steps", str(args.steps)]
    train += ["--seed", str(args.seed), "--device", device, *COMMON, *SCHEMES[name]]
    evaluate = ["eval", "--nla", str(run), "--data", str(args.data), "--suite", "all", "--second", args.nla]
    evaluate += ["--n", str(args.n), "--max-tokens", "120", "--out", f"{run}-eval"]
    return [[*thinkaloud, *train], [*thinkaloud, *evaluate, *(["--device", device] if device != "auto" else [])]]


def work(args: Args, name: str, device: str) -> int:
    """Run a scheme's commands, their output in a file beside the run; the exit code of the first that fails."""
    args.out.mkdir(parents=True, exist_ok=True)
    for command in commands(args, name, device):
        with (args.out / f"{name}.log").open("ab") as log:
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        if code:
            print(f"{name}: exit code {code}, see {args.out / name}.log", flush=True)
            return code
    print(f"{name}: done", flush=True)
    return 0


def main(args: Args) -> int:
    """Run all schemes, gather their results."""
    import pandas as pd

    names: Sequence[str] = args.only or tuple(SCHEMES)
    jobs = list(zip(names, cycle(args.devices), strict=False))
    by_device = [[name for name, device in jobs if device == where] for where in args.devices]
    with ThreadPoolExecutor(len(args.devices)) as pool:
        queues = zip(by_device, args.devices, strict=True)
        codes = list(pool.map(lambda queue: max([work(args, name, queue[1]) for name in queue[0]], default=0), queues))
    found = {name: args.out / f"{name}-eval" / "results.parquet" for name in names}
    tables = [pd.read_parquet(path).assign(scheme=name) for name, path in found.items() if path.is_file()]
    if tables:
        whole = pd.concat(tables)
        whole.to_parquet(args.out / "schemes.parquet", index=False)
        shown = whole[whole["quantity"].isin(SHOWN) | (whole["table"] == "values")]
        print(shown[["scheme", "table", "labels", "quantity", "value", "low", "high"]].to_string(index=False))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))

"""Draw the curves of the runs in curves.json, evaluated while they were trained, as figure.png.

python docs/pocket-rl/figure.py
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
COLOURS = {
    "length penalty": "#1b6ca8",
    "plain": "#5aa469",
    "−log MSE": "#8e5ea2",
    "no KL": "#d1495b",
    "kl003": "#e39c4a",
    "kl03": "#555555",
    "base": "#5aa469",
}


def curve(run: dict[str, Any], name: str) -> tuple[list[int], list[float]]:
    return [e["step"] for e in run["evaluations"]], [e[name] for e in run["evaluations"]]


def colour(run: dict[str, Any]) -> str:
    return COLOURS[run["name"].split(",")[0]]


def main() -> None:
    runs = json.loads((HERE / "curves.json").read_text(encoding="utf-8"))
    final = [run for run in runs if run["phase"] == "final"]
    sweep = {run["name"]: run for run in runs if run["phase"] == "sweep"}
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.9), constrained_layout=True)
    for run in final:
        style = "--" if run["name"].endswith("seed 1") else "-"
        left.plot(*curve(run, "heldout_fve"), style, color=colour(run), label=run["name"])
        left.plot(*curve(run, "heldout_fve_frozen"), style, color=colour(run), alpha=0.45)
        middle.plot(*curve(run, "repetition"), style, color=colour(run), label=run["name"])
    left.set(title="FVE: live AR above, frozen AR below and paler", xlabel="step", ylim=(0.4, 0.61))
    left.legend(frameon=False, fontsize=8, loc="lower right")
    start = final[0]["evaluations"][0]["repetition"]
    for axis in (middle, right):
        axis.axhline(start, color="#999999", linewidth=0.8)
        axis.text(0, start + 0.001, "warm start", color="#777777", fontsize=7, va="bottom")
    middle.set(title="share of word pairs that repeat", xlabel="step")
    for name, label in (("kl003", "KL 0.03"), ("base", "KL 0.1"), ("kl03", "KL 0.3")):
        right.plot(*curve(sweep[name], "repetition"), color=COLOURS[name], label=label)
    right.set(title="by weight of the KL (sweep)", xlabel="step")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(HERE / "figure.png", dpi=90)


if __name__ == "__main__":
    main()

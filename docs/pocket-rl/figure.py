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
    "no repetition penalty": "#8a8a8a",
    "repetition penalty 0.3": "#e39c4a",
    "repetition penalty 1": "#1b6ca8",
    "second run, from penalty 1": "#d1495b",
    "kl003": "#e39c4a",
    "base": "#5aa469",
    "kl03": "#555555",
}
FIRST_STEPS = 540
"""The second run begins with the pair of this step of the run with penalty 1."""


def curve(run: dict[str, Any], name: str) -> tuple[list[int], list[float]]:
    first = FIRST_STEPS if run["name"].startswith("second") else 0
    return [first + e["step"] for e in run["evaluations"]], [e[name] for e in run["evaluations"]]


def main() -> None:
    runs = json.loads((HERE / "curves.json").read_text(encoding="utf-8"))
    final = [run for run in runs if run["phase"] == "final"]
    sweep = {run["name"]: run for run in runs if run["phase"] == "sweep"}
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.9), constrained_layout=True)
    for run in final:
        colour = COLOURS[run["name"]]
        left.plot(*curve(run, "heldout_fve"), color=colour, label=run["name"])
        if not run["name"].startswith("second"):  # its frozen AR is that of its own start
            left.plot(*curve(run, "heldout_fve_frozen"), color=colour, alpha=0.4)
        steps, shares = curve(run, "repeating")
        middle.plot(steps, [100 * share for share in shares], color=colour, label=run["name"])
    left.set(title="FVE: live AR, and paler the warm start's", xlabel="step", ylim=(0.4, 0.62))
    left.legend(frameon=False, fontsize=8, loc="lower right")
    middle.axhline(3, color="#999999", linewidth=0.8, linestyle=":")
    middle.set(title="texts that name something again, %", xlabel="step", ylim=(0, None))
    for name, label in (("kl003", "KL 0.03"), ("base", "KL 0.1"), ("kl03", "KL 0.3")):
        right.plot(*curve(sweep[name], "repetition"), color=COLOURS[name], label=label)
    start = sweep["base"]["evaluations"][0]["repetition"]
    right.axhline(start, color="#999999", linewidth=0.8)
    right.text(0, start + 0.001, "warm start", color="#777777", fontsize=7, va="bottom")
    right.set(title="share of word pairs that repeat, by KL (sweep)", xlabel="step")
    right.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(HERE / "figure.png", dpi=90)


if __name__ == "__main__":
    main()

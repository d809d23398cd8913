"""Draw the table of published claims by model into docs/studies/README.md, from the results of the studies beside it.

`python docs/draw_claims.py --refresh` writes the table. A study of a model lies in docs/studies/MODEL/STUDY, with its
index.html and its results.parquet; what was not made is an empty cell.
"""

import re
import sys
from pathlib import Path

from thinkaloud.studies.results import Read
from thinkaloud.studies.verdicts import NOT_SHOWN, claims

PAGES = Path(__file__).parent / "studies"
BEGIN, END = "<!-- claims -->", "<!-- end of claims -->"


def table(pages: Path) -> str:
    """The claims, and the verdict on each for each model there, linked to the page that shows it."""
    models = sorted({path.parent.parent.name for path in pages.glob("*/*/results.parquet")})
    if not models:
        return "No study of a model lies here."
    found = {
        (model, claim["id"]): (path.parent.name, claim)
        for model in models
        for path in sorted((pages / model).glob("*/results.parquet"))
        for claim in Read(path.parent).claims()
    }
    lines = [f"| claim | {' | '.join(models)} |", "|---|" + "---|" * len(models)]
    source = ""
    for claim in claims().values():
        if claim.source != source:
            source = claim.source
            lines.append(f"| **{source}** |" + " |" * len(models))
        cells = []
        for model in models:
            study, judged = found.get((model, claim.id), ("", None))
            if judged is not None:
                parts = [part for part in judged["parts"] if part["verdict"] != NOT_SHOWN]
                hidden = len(judged["parts"]) - len(parts)
                held = f" ({sum(p['verdict'] == judged['verdict'] for p in parts)} of {len(parts)}"
                held += f", {hidden} not shown)" if hidden else ")"
                held = held if parts and judged["parts"][1:] else ""
                why = judged["parts"][0]["why"] if judged["verdict"] == NOT_SHOWN else ""
                cells.append(f"[{judged['verdict']}]({model}/{study}/index.html#claims){held}{why and ': ' + why}")
            else:
                cells.append(f"{NOT_SHOWN}: {claim.why}" if claim.why else "")
        lines.append(f"| {claim.id}. {claim.claim} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drawn(text: str, pages: Path) -> str:
    """A page of Markdown with the table between its marks."""
    return re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{table(pages)}\n{END}", text, flags=re.DOTALL)


if __name__ == "__main__":
    readme = PAGES / "README.md"
    new = drawn(readme.read_text(encoding="utf-8"), PAGES)
    if sys.argv[1:] == ["--refresh"]:
        readme.write_text(new, encoding="utf-8")
    else:
        print(table(PAGES))

"""The results tables of README.md and docs/*.md, made of what the runs under results/ left behind.

    python benchmarks/tables.py [--check]

Between the markers BEGIN and END of a document stands the table and nothing else. Without an option the documents
are rewritten; with `--check` nothing is, and the exit code is 1 if a document differs from what the files say.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEADER = (
    "| recipe | corpus and protocol | utterances | speakers | classes | seeds | UA, % [95 %] | WA, % "
    "| UA over seeds: std, range |\n|---|---|--:|--:|--:|--:|---|--:|---|\n"
)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Rewrite or check the documents under `root`; the command's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a document differs")
    check = parser.parse_args(arguments).check
    block = table(root / "results")
    differing = 0
    for document in [root / "README.md", *sorted(root.glob("docs/*.md"))]:
        text = document.read_text(encoding="utf-8")
        if BEGIN not in text and END not in text and document.name != "README.md":
            continue
        try:
            wanted = filled(text, block)
        except ValueError as error:
            print(f"{document}: {error}", file=sys.stderr)
            return 1
        if wanted == text:
            continue
        differing += 1
        print(f"{document} {'differs from results/' if check else 'rewritten'}")
        if not check:
            document.write_text(wanted, encoding="utf-8")
    return 1 if check and differing else 0


def filled(text: str, block: str) -> str:
    """`text` with `block` between its markers.

    Raises ValueError unless each marker stands there once, BEGIN first.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected {BEGIN} and then {END}, once each")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{block}{END}{rest.partition(END)[2]}"


def table(results: Path) -> str:
    """The Markdown table of every run in `results` with test speakers, in the order of their names."""
    rows = []
    for file in sorted(results.glob("*/metrics.json")):
        metrics = json.loads(file.read_text(encoding="utf-8"))
        if "evaluation" in metrics:
            recipe = json.loads((file.parent / "recipe.json").read_text(encoding="utf-8"))
            rows.append(row(recipe, metrics["evaluation"]))
    return HEADER + "".join(rows) if rows else ""


def row(recipe: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """One line: `recipe` as in recipe.json, `evaluation` as in metrics.json."""
    ua, wa = (evaluation["measures"][name] for name in ("UA", "WA"))
    n_seeds = len(evaluation["seeds"])
    spread = evaluation["spread"]["UA"]
    over_seeds = f"{percent(spread['std'])}, {percent(spread['low'])} to {percent(spread['high'])}"
    cells = (
        f"`{recipe['name']}`",
        recipe["title"] or f"{', '.join(recipe['data']['corpora'])}, {recipe['protocol']['folds']}",
        evaluation["n_utterances"],
        len(evaluation["speakers"]),
        len(evaluation["labels"]),
        n_seeds,
        f"**{percent(ua['value'])}** [{percent(ua['low'])}, {percent(ua['high'])}]",
        percent(wa["value"]),
        over_seeds if n_seeds > 1 else "one seed",
    )
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |\n"


def percent(fraction: float | None) -> str:
    """A fraction in percent with one decimal; a dash where it is undefined."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


if __name__ == "__main__":
    raise SystemExit(main())

"""The results tables of README.md and docs/*.md, made of what the runs under results/ left behind.

    python benchmarks/tables.py [--check]

Between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->` of a document stands the table NAME, one of TABLES,
and nothing else; README.md has all but those of ELSEWHERE. Without an option the documents are rewritten; with
`--check` nothing is, and the exit code is 1 if a document differs from what the files say.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HEADER = (
    "| run | corpus and protocol | utterances | speakers | classes | seeds | UA, % [95 %] | WA, % "
    "| UA over seeds: std, range |\n|---|---|--:|--:|--:|--:|---|--:|---|\n"
)
STUDY_HEADER = (
    "| study | system | members | UA of the vote, % [95 %] | WA, % | UA of the members: mean, range "
    "| gain of the vote in UA [95 %], p |\n|---|---|--:|---|--:|---|---|\n"
)
ABLATION_HEADER = (
    "| variant | UA, % [95 %] | WA, % | against | points of UA [95 %] | p |\n|---|---|--:|---|---|--:|\n"
)
AGAINST: Mapping[str, Mapping[str, str]] = {
    "ravdess-ablation": {
        "spectrogram-mfcc": "mfcc",
        "concatenation": "full",
        "vit-224": "spectrogram",
        "upper-block": "frozen",
        "lora": "frozen",
        "published": "full",
    }
}
"""Study -> variant -> the one that it is set beside in the table of ablations, unless that is the first."""
ELSEWHERE = ("ablations", "few-labels", "serving")
"""Tables that stand in a document of their own."""
SERVING_HEADER = "| what | measured |\n|---|--:|\n"
SHORTCUT_HEADER = (
    "| recipe | shortcut | UA without, % | UA with it, % | points it buys [95 %] | p |\n"
    "|---|---|--:|--:|---|--:|\n"
)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Rewrite or check the documents under `root`; the command's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if a document differs")
    check = parser.parse_args(arguments).check
    blocks = {name: make(root / "results") for name, make in TABLES.items()}
    differing = 0
    for document in [root / "README.md", *sorted(root.glob("docs/*.md"))]:
        text = wanted = document.read_text(encoding="utf-8")
        for name, block in blocks.items():
            try:
                wanted_here = document.name == "README.md" and name not in ELSEWHERE
                if wanted_here or any(marker in text for marker in markers(name)):
                    wanted = filled(wanted, name, block)
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


def markers(name: str) -> tuple[str, str]:
    """Between which two comments the table `name` stands."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def filled(text: str, name: str, block: str) -> str:
    """`text` with `block` between the markers of the table `name`.

    Raises ValueError unless each marker stands there once, in that order.
    """
    begin, end = markers(name)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected {begin} and then {end}, once each")
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{block}{end}{rest.partition(end)[2]}"


def table(results: Path) -> str:
    """The Markdown table of every run in `results` with test speakers, in the order of their names."""
    rows = []
    for file in sorted(results.glob("*/metrics.json")):
        metrics = load(file)
        if "evaluation" in metrics:
            recipe = load(file.parent / "recipe.json")
            rows.append(row(file.parent.name, recipe, metrics["evaluation"], changes(file.parent)))
            if "adapted" in metrics:  # a second figure, never in place of the first
                said = [*changes(file.parent), metrics["adapted"]["what"]]
                rows.append(row(file.parent.name, recipe, metrics["adapted"]["evaluation"], said))
    return HEADER + "".join(rows) if rows else ""


def changes(run: Path) -> list[str]:
    """What the command of `run` set in place of the recipe's own values."""
    file = run / "environment.json"
    words = load(file)["command"] if file.is_file() else []
    return [after for word, after in pairwise(words) if word == "--set"]


def row(name: str, recipe: Mapping[str, Any], evaluation: Mapping[str, Any], changed: Sequence[str]) -> str:
    """One line: the run's `name`, `recipe` as in recipe.json, `evaluation` as in metrics.json."""
    ua, wa = (evaluation["measures"][name] for name in ("UA", "WA"))
    n_seeds = len(evaluation["seeds"])
    spread = evaluation["spread"]["UA"]
    over_seeds = f"{percent(spread['std'])}, {percent(spread['low'])} to {percent(spread['high'])}"
    cells = (
        f"`{name}`",
        (recipe["title"] or f"{', '.join(recipe['data']['corpora'])}, {recipe['protocol']['folds']}")
        + "".join(
            f"; `{assignment}`" if "=" in assignment else f"; *{assignment}*" for assignment in changed
        ),
        evaluation["n_utterances"],
        len(evaluation["speakers"]),
        len(evaluation["labels"]),
        n_seeds,
        estimate(ua),
        percent(wa["value"]),
        over_seeds if n_seeds > 1 else "one seed",
    )
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |\n"


def studies(results: Path) -> str:
    """The Markdown table of the studies in `results`: of each variant its vote, its members and what the vote gains."""
    rows = []
    for file in sorted(results.glob("*/study.json")):
        study = load(file)
        for name in voting(file.parent, study["variants"]):
            vote = load(file.parent / name / "ensemble.json")
            metrics = load(file.parent / name / "metrics.json")
            ua = metrics["evaluation"]["measures"]["UA"]
            members, gain = vote["spread"]["UA"], vote["gain"]["UA"]
            cells = (
                f"`{study['name']}`",
                name,
                len(vote["members"]),
                estimate(ua),
                percent(vote["figures"]["WA"]),
                f"{percent(members['mean'])}, {percent(members['low'])} to {percent(members['high'])}",
                f"{points(gain)}, {gain['p']:.3f}",
            )
            rows.append(f"| {' | '.join(map(str, cells))} |\n")
    return STUDY_HEADER + "".join(rows) if rows else ""


def load(file: Path) -> Any:
    """What the JSON file `file` holds."""
    return json.loads(file.read_text(encoding="utf-8"))


def voting(study: Path, variants: Sequence[str]) -> list[str]:
    """Those of the `variants` of the folder `study` that are votes of members."""
    return [name for name in variants if (study / name / "ensemble.json").is_file()]


def ablations(results: Path) -> str:
    """The Markdown table of the studies in `results` whose variants have no members: each beside another."""
    rows = []
    for file in sorted(results.glob("*/study.json")):
        study = load(file)
        names = list(study["variants"])
        if voting(file.parent, names):
            continue
        compared = load(file.parent / "comparison.json")
        pairs = {(pair["first"], pair["second"]): pair for pair in compared["pairs"]}
        for name in names:
            metrics = load(file.parent / name / "metrics.json")
            recipe = load(file.parent / name / "recipe.json")
            measures = metrics["evaluation"]["measures"]
            against = AGAINST.get(study["name"], {}).get(name, names[0])
            pair = pairs.get((against, name))
            cells = (
                f"`{name}`: {recipe['title']}",
                estimate(measures["UA"]),
                percent(measures["WA"]["value"]),
                *(
                    (f"`{against}`", points(pair["difference"]["UA"]), f"{pair['p']['UA']:.3f}")
                    if pair
                    else ("",) * 3
                ),
            )
            rows.append(f"| {' | '.join(map(str, cells))} |\n")
    return ABLATION_HEADER + "".join(rows) if rows else ""


def shortcuts(results: Path) -> str:
    """The Markdown table of what shortcuts of evaluation bought in the `cheat-cost` runs in `results`."""
    rows = []
    for file in sorted(results.glob("*/cheat_cost.json")):
        recipe = load(file.parent / "recipe.json")
        for price in load(file)["prices"]:
            cells = (
                f"`{recipe['name']}`",
                price["shortcut"],
                percent(price["first"]["UA"]),
                percent(price["second"]["UA"]),
                points(price["difference"]["UA"]),
                f"{price['p']['UA']:.3f}",
            )
            rows.append(f"| {' | '.join(cells)} |\n")
    return SHORTCUT_HEADER + "".join(rows) if rows else ""


def serving(results: Path) -> str:
    """The Markdown table of what `benchmarks/streams.py` and `benchmarks/server.py` measured, by their --json."""
    folder = results / "benchmarks"
    rows = []
    for file in sorted(folder.glob("streams-*.json"), key=lambda path: load(path)["streams"]):
        it = load(file)
        what = f"{it['streams']} live streams for {it['seconds']:.0f} s, a result a second: late, p50 and p99, ms"
        rows.append((what, f"{it['late p50, ms']:.0f} and {it['late p99, ms']:.0f}"))
        server, generator = (it[f"{who}'s share of a core"] for who in ("server", "generator"))
        share = f"{server:.2f} and {generator:.2f}"
        rows.append(
            (f"the same: cores of {it['cores']} taken by the server and by the load generator", share)
        )
    if (folder / "server.json").is_file():
        it = load(folder / "server.json")
        refusals = f"{it['overload: refusals p50, ms']:.0f} and {it['overload: refusals p99, ms']:.0f}"
        rows += [
            ("clips of 5 s over HTTP, one after the other: p50, ms", f"{it['unloaded p50, ms']:.0f}"),
            ("their peak, a second", f"{it['peak, requests/s']:.1f}"),
            (
                "at 70 % of it, at random times: p99, ms, and that over the p50 without load",
                f"{it['at 70 % of peak: p99, ms']:.0f} and {it['at 70 % of peak: p99 over unloaded p50']:.2f}",
            ),
            (
                "the same at even times",
                f"{it['at 70 % of peak, evenly: p99, ms']:.0f} and "
                f"{it['at 70 % of peak, evenly: p99 over unloaded p50']:.2f}",
            ),
            (
                "ten times the peak: answered, % of the mean of the peaks before and after",
                f"{it['overload: goodput over peak, %']:.1f}",
            ),
            ("the same: refusals after, p50 and p99, ms", refusals),
            ("the same: without an answer", it["overload: without an answer"]),
        ]
    if (folder / "sigterm.json").is_file():
        it = load(folder / "sigterm.json")
        rows += [
            (f"SIGTERM under load, {it['SIGTERM: times']} times: answered", it["SIGTERM: answered"]),
            ("the same: accepted and lost", it["SIGTERM: accepted and lost"]),
        ]
    if (folder / "memory.json").is_file():
        it = load(folder / "memory.json")
        what = f"memory of all processes at first, and what {it['memory: requests']} clips added, MB"
        rows.append((what, f"{it['memory: at first, MB']:.0f} and {it['memory: grown, MB']:.1f}"))
    return SERVING_HEADER + "".join(f"| {what} | {measured} |\n" for what, measured in rows) if rows else ""


def few_labels(results: Path) -> str:
    """The Markdown table of what `benchmarks/few_labels.py` found."""
    file = results / "benchmarks" / "few-labels.json"
    if not file.is_file():
        return ""
    corpora = load(file)["corpora"]
    columns = list(next(iter(corpora.values())))
    heads = [f"{name} clips" if name.isdigit() else name for name in columns]
    header = f"| unseen corpus | {' | '.join(heads)} |\n|---{'|--:' * len(heads)}|\n"
    return header + "".join(
        f"| {name} | {' | '.join(percent(found[column]) for column in columns)} |\n"
        for name, found in corpora.items()
    )


def estimate(measure: Mapping[str, float]) -> str:
    """A measure with its interval, in percent."""
    return f"**{percent(measure['value'])}** [{percent(measure['low'])}, {percent(measure['high'])}]"


def points(difference: Mapping[str, float]) -> str:
    """A difference of two fractions with its interval, in points with their signs."""
    value, low, high = (f"{100 * difference[key]:+.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def percent(fraction: float | None) -> str:
    """A fraction in percent with one decimal; a dash where it is undefined."""
    return "-" if fraction is None or math.isnan(fraction) else f"{100 * fraction:.1f}"


TABLES: Mapping[str, Callable[[Path], str]] = {
    "results": table,
    "studies": studies,
    "shortcuts": shortcuts,
    "ablations": ablations,
    "few-labels": few_labels,
    "serving": serving,
}
"""Name -> what makes that table of the folder results/."""


if __name__ == "__main__":
    raise SystemExit(main())

"""The table of corpora in docs/corpora.md, made of the data sheets in src/voxaffect/corpora/.

    python benchmarks/corpora.py [--check]

Between the markers BEGIN and END stands the table and nothing else. Without an option the document is rewritten; with
`--check` it is not, and the exit code is 1 if it differs from what the data sheets say.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from voxaffect import corpora
from voxaffect.corpora.info import CorpusInfo

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "corpora.md"
BEGIN, END = "<!-- corpora:begin -->", "<!-- corpora:end -->"
HEADER = (
    "| name | corpus | language | utterances | speakers | labels | terms | download | how to get it |\n"
    "|---|---|---|--:|--:|---|---|---|---|\n"
)


def main(arguments: list[str] | None = None, document: Path = DOCUMENT) -> int:
    """Rewrite or check `document`; the command's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if the document differs")
    check = parser.parse_args(arguments).check
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"{document} has no {BEGIN} and {END}", file=sys.stderr)
        return 1
    wanted = f"{before}{BEGIN}\n{table()}{END}{after}"
    if wanted == text:
        return 0
    if check:
        print(f"{document} differs from the data sheets; run: python benchmarks/corpora.py", file=sys.stderr)
        return 1
    document.write_text(wanted, encoding="utf-8")
    return 0


def table() -> str:
    """A row for each corpus, in alphabetical order of the names."""
    return HEADER + "".join(f"{_row(corpora.get(name).INFO)}\n" for name in corpora.names())


def _row(info: CorpusInfo) -> str:
    title = f"[{info.title}]({info.url})" if info.url else info.title
    licence = f"[{info.licence}]({info.licence_url})" if info.licence_url else info.licence
    labels = ", ".join(f"{label} {n}" for label, n in info.expected.items()) or ", ".join(info.labels)
    if info.downloads:
        download = f"`corpus fetch {info.name}`"
    else:
        download = ("by hand: " if info.downloadable else "no: ") + (info.why_not_fetched or "")
    cells = (
        f"`{info.name}`",
        title,
        info.language,
        str(info.n_utterances or "-"),
        str(info.n_speakers or "-"),
        labels,
        licence,
        download,
        info.how_to_get,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    sys.exit(main())

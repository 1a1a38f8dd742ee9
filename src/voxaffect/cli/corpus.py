"""`voxaffect corpus`: what corpora can be read, whether a copy is sound, and what it holds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from voxaffect import corpora
from voxaffect.cli import add_common_arguments
from voxaffect.corpora.text import counted, text_table
from voxaffect.errors import ExitCode, UsageError
from voxaffect.table import UtteranceTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands list, show, check and analyse."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    commands.add_parser("list", help="the corpora that can be read")

    show = commands.add_parser("show", help="the data sheet of a corpus: licence, classes, where to get it")
    show.add_argument("name", metavar="NAME", help="one of those that `voxaffect corpus list` names")

    check = commands.add_parser("check", help="is a copy sound and whole? opens and counts every file")
    check.add_argument("name", metavar="NAME", help="one of those that `voxaffect corpus list` names")
    check.add_argument("root", metavar="ROOT", type=Path, help="the folder that the corpus was unpacked to")
    check.add_argument(
        "--allow-missing",
        action="store_true",
        help="accept files that are missing or not listed (default: exit code 4)",
    )

    analyse = commands.add_parser(
        "analyse", help="tables and pictures of classes, genders, durations and speakers"
    )
    analyse.add_argument(
        "pairs", metavar="NAME ROOT", nargs="+", help="one corpus or several, each with its folder"
    )
    analyse.add_argument(
        "--plot",
        metavar="FILE",
        type=Path,
        help="draw them into FILE: .png, .pdf or .svg (default: no picture)",
    )
    analyse.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="tables, pictures and data sheets as one HTML page, which loads nothing (default: no page)",
    )
    analyse.add_argument(
        "--allow-missing",
        action="store_true",
        help="leave out utterances whose file is missing (default: an error)",
    )
    for parser_of_action in commands.choices.values():
        add_common_arguments(parser_of_action, nested=True)


def run(args: argparse.Namespace) -> int:
    """Do what `args.action` names; the exit code comes back."""
    actions = {"list": _list, "show": _show, "check": _check, "analyse": _analyse}
    return int(actions[args.action](args))


def _list(args: argparse.Namespace) -> ExitCode:
    infos = [corpora.get(name).INFO for name in corpora.names()]
    rows = [
        [
            i.name,
            str(i.n_utterances or "-"),
            str(i.n_speakers or "-"),
            str(len(i.expected) or "-"),
            i.language,
            i.licence,
        ]
        for i in infos
    ]
    print(text_table(["name", "utterances", "speakers", "classes", "language", "licence"], rows))
    return ExitCode.OK


def _show(args: argparse.Namespace) -> ExitCode:
    info = corpora.get(args.name).INFO
    licence = f"{info.licence} ({info.licence_url})" if info.licence_url else info.licence
    sheet = {
        "title": info.title,
        "language": info.language,
        "licence": licence,
        "citation": info.citation,
        "source": info.url or "-",
        "get it": info.how_to_get,
        "utterances": str(info.n_utterances or "-"),
        "speakers": str(info.n_speakers or "-"),
        "classes": ", ".join(f"{label} {n}" for label, n in info.expected.items()) or "-",
    }
    print(f"{info.name}")
    for key, value in sheet.items():
        print(f"  {key:<11} {value}")
    for note in info.notes:
        print(f"  {'note':<11} {note}")
    return ExitCode.OK


def _check(args: argparse.Namespace) -> ExitCode:
    from voxaffect.corpora.check import check

    report = check(
        args.name, args.root, progress=_progress if sys.stderr.isatty() and not args.quiet else None
    )
    print(report.text(), end="")
    return report.exit_code(allow_missing=args.allow_missing)


def _analyse(args: argparse.Namespace) -> ExitCode:
    from voxaffect import analysis, analysis_figures, analysis_page

    if len(args.pairs) % 2:
        raise UsageError(
            "odd_arguments",
            f"{len(args.pairs)} arguments; expected a NAME and a ROOT for each corpus",
            hint="for example: voxaffect corpus analyse emodb data/emodb ravdess data/ravdess",
        )
    if args.plot:
        analysis_figures.check_plot_path(args.plot)
    if args.html:
        analysis_page.check_page_path(args.html)
    table = UtteranceTable(())
    for name, root in zip(args.pairs[::2], args.pairs[1::2], strict=True):
        found = corpora.read(name, root, allow_missing=args.allow_missing)
        n_absent = len(corpora.listed(name, root)) - len(found) if args.allow_missing else 0
        if n_absent:
            left = counted(n_absent, "utterance")
            print(f"voxaffect: {name}: {left} left out: file missing or empty", file=sys.stderr)
        table = table + found
    seconds = analysis.durations(table)
    print(analysis.describe(table, seconds), end="")
    for path, write in ((args.plot, analysis_figures.plot), (args.html, analysis_page.write_page)):
        if path:
            write(table, seconds, path)
            print(f"voxaffect: wrote {path}", file=sys.stderr)
    return ExitCode.OK


def _progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} files", end=end, file=sys.stderr, flush=True)

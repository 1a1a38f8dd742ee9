"""`voxaffect corpus`: what corpora can be read, how to get them, whether a copy is sound, and what it holds."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from types import TracebackType

from voxaffect import corpora
from voxaffect.cli import add_common_arguments
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.text import counted, text_table
from voxaffect.errors import ExitCode, UsageError
from voxaffect.table import UtteranceTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands list, show, fetch, check and analyse."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION")
    parser.set_defaults(usage=parser.format_help)
    listing = commands.add_parser(
        "list", help="the corpora that can be read: terms, how to get them, whom to cite"
    )
    listing.add_argument("--json", action="store_true", help="all of their data sheets, as JSON")

    show = commands.add_parser("show", help="the data sheet of a corpus: licence, classes, where to get it")
    show.add_argument("name", metavar="NAME", help="one of those that `voxaffect corpus list` names")

    fetch = commands.add_parser("fetch", help="download a corpus whose terms let a program do so")
    fetch.add_argument(
        "name", metavar="NAME", help="one of those that `voxaffect corpus list` marks with fetch"
    )
    fetch.add_argument("folder", metavar="DIR", type=Path, help="the corpus becomes DIR/NAME")
    fetch.add_argument(
        "--accept-licence",
        action="store_true",
        help="you have read its terms and accept them (default: their address, and nothing is downloaded)",
    )

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
    """Do what `args.action` names; the exit code comes back. Without any, what there is goes to stderr."""
    if args.action is None:
        print(args.usage(), end="", file=sys.stderr)
        return ExitCode.USAGE
    actions = {"list": _list, "show": _show, "fetch": _fetch, "check": _check, "analyse": _analyse}
    return int(actions[args.action](args))


def _list(args: argparse.Namespace) -> ExitCode:
    infos = [corpora.get(name).INFO for name in corpora.names()]
    if args.json:
        print(json.dumps([info.to_dict() for info in infos], indent=2, ensure_ascii=False))
        return ExitCode.OK
    rows = [
        [
            i.name,
            str(i.n_utterances or "-"),
            str(i.n_speakers or "-"),
            str(len(i.expected) or "-"),
            i.language,
            _download(i),
            i.licence,
        ]
        for i in infos
    ]
    header = ["name", "utterances", "speakers", "classes", "language", "download", "licence"]
    print(text_table(header, rows))
    print(
        "\ndownload: fetch = voxaffect corpus fetch NAME DIR; by hand = the terms let a program download it, but "
        "it is\nnot fetched; no = the terms do not."
    )
    for i in infos:
        print(
            f"\n{i.title} ({i.name})\n  from    {i.url or '-'}\n  get it  {i.how_to_get}\n  cite    {i.citation}"
        )
    return ExitCode.OK


def _download(info: CorpusInfo) -> str:
    if info.downloads:
        return "fetch"
    return "by hand" if info.downloadable else "no"


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
        "download": "allowed" if info.downloadable else "not allowed by its terms",
        "fetch": info.why_not_fetched or f"voxaffect corpus fetch {info.name} DIR",
        "utterances": str(info.n_utterances or "-"),
        "speakers": str(info.n_speakers or "-"),
        "classes": ", ".join(f"{label} {n}" for label, n in info.expected.items()) or "-",
    }
    print(f"{info.name}")
    for key, value in sheet.items():
        print(f"  {key:<11} {value}")
    for download in info.downloads:
        print(f"  {'archive':<11} {download.url} ({download.size / 1e6:.0f} MB, {download.checksum})")
    for note in info.notes:
        print(f"  {'note':<11} {note}")
    return ExitCode.OK


def _fetch(args: argparse.Namespace) -> ExitCode:
    from voxaffect.corpora.fetch import fetch

    with _Bar(quiet=args.quiet) as bar:
        target = fetch(args.name, args.folder, accept_licence=args.accept_licence, progress=bar.show)
    print(target)
    if not args.quiet:
        print(f"voxaffect: next: voxaffect corpus check {args.name} {target}", file=sys.stderr)
    return ExitCode.OK


class _Bar:
    """One bar on stderr for each stage of a download; none where stderr is no terminal."""

    def __init__(self, *, quiet: bool) -> None:
        from tqdm import tqdm

        self._tqdm, self._disable = tqdm, True if quiet else None
        self._bar: tqdm | None = None
        self._stage = ("", 0)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        """Set the bar of `stage` to `done` of `total`, in files for unpack and in bytes otherwise."""
        if self._bar is None or (stage, total) != self._stage or done < self._bar.n:
            self.__exit__(None, None, None)
            self._stage = (stage, total)
            unit = {"unit": " files"} if stage == "unpack" else {"unit": "B", "unit_scale": True}
            self._bar = self._tqdm(
                desc=stage,
                total=total or None,
                initial=done,  # what an earlier call had done says nothing about the speed of this one
                disable=self._disable,
                file=sys.stderr,
                **unit,
            )
        self._bar.update(done - self._bar.n)


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

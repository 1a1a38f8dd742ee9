"""The arguments of `voxaffect predict`, read and checked before anything heavy is loaded."""

from __future__ import annotations

import argparse
import math

from voxaffect import formats
from voxaffect.cli import add_model_arguments
from voxaffect.errors import UsageError

OPTIONS = (
    "channels",
    "window",
    "hop",
    "vad",
    "smoothing",
    "roles",
    "only",
    "start",
    "end",
    "uncertain_below",
    "max_duration",
    "strict",
    "enrol",
    "events",
)
"""Those that decide what is written about a recording."""
EPILOG = """\
examples:
  voxaffect predict call.wav                          a table
  voxaffect predict calls/ -f json,csv -o answers/    two files per recording
  voxaffect predict call.wav -f srt,textgrid -o out/  subtitles, and tiers for Praat
  voxaffect predict call.wav --plot call.png          and a picture of its course
  voxaffect predict stereo.wav --channels split       each channel by itself
  voxaffect predict call.wav --roles 0=customer,1=agent --only customer
                                                      one speaker of a call
  ffmpeg -i film.mkv -f wav - | voxaffect predict -   from a pipe
  voxaffect predict ten-hours.flac --events           said as it is heard, a line of JSON each
  voxaffect predict new.wav --enrol hers/             adapted to her other recordings (see docs/adaptation.md)
  voxaffect predict -- -odd-name.wav                  a name that begins with a dash

exit codes: 0 all good, 2 usage, 3 some inputs failed, 4 nothing usable, 5 model refused, 6 disk or memory ran out,
130 or 143 interrupted. A recording in which nobody speaks is no failure.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help='file, folder, pattern, or "-" for stdin')
    parser.add_argument(
        "-o",
        dest="output",
        type=_folder,
        metavar="DIR",
        help="write one file per input and format into DIR; without --resume or --overwrite only if none "
        'of them is there (default, as "-": print)',
    )
    parser.add_argument(
        "-f",
        dest="formats",
        metavar="FORMAT",
        help=f"{', '.join(formats.names())}; several with commas and -o (default: table, with -o json, "
        "with --events jsonl)",
    )
    parser.add_argument(
        "--events",
        action="store_true",
        help="with jsonl, a line for each utterance and window as it is heard, before the line of the result",
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--channels",
        type=_channels,
        default="mix",
        metavar="mix|split|N",
        help="judge the mean of the channels, each, or channel N counted from 0 (default: mix)",
    )
    parser.add_argument(
        "--window", type=float, metavar="S", help="seconds judged at once (default: the model's)"
    )
    parser.add_argument(
        "--hop", type=float, metavar="S", help="seconds between windows (default: the model's)"
    )
    parser.add_argument(
        "--no-vad",
        dest="vad",
        action="store_false",
        help="judge everything, silence too, without cuts at pauses (default: only speech)",
    )
    parser.add_argument(
        "--no-smoothing",
        dest="smoothing",
        action="store_false",
        help="each window by itself (default: it remembers the ones before it in its utterance)",
    )
    parser.add_argument(
        "--roles",
        type=_roles,
        metavar="0=customer,1=agent",
        help="who speaks on which channel; each is then judged by itself",
    )
    parser.add_argument("--only", metavar="ROLE", help="judge only the channels with this role")
    parser.add_argument(
        "--i-have-a-lawful-basis",
        dest="lawful_basis",
        action="store_true",
        help="analyse people at work or in education, which EU law prohibits but for medical or safety reasons",
    )
    parser.add_argument(
        "--start", type=_seconds, default=0.0, metavar="S", help="begin here: S, M:SS or H:MM:SS (default: 0)"
    )
    parser.add_argument("--end", type=_seconds, metavar="S", help="end here (default: the end)")
    parser.add_argument(
        "--uncertain-below",
        type=float,
        metavar="P",
        help="give no label to a recording whose score is below P, and mark such segments "
        "(default: the model's threshold, which only marks)",
    )
    parser.add_argument(
        "--max-duration", type=_seconds, metavar="S", help="refuse longer ones (default: any length)"
    )
    parser.add_argument(
        "--strict", action="store_true", help="what is cut short or damaged is an error (default: a warning)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="recordings at the same time (default: 1)"
    )
    parser.add_argument(
        "--enrol",
        action="append",
        default=[],
        metavar="CLIPS",
        help="adapt to other recordings of the same voice or recording condition: file, folder or pattern; "
        "repeatable; only models that can (default: adapt to nothing)",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw the timeline of one recording into FILE (.png, .pdf, .svg), or of each into the folder FILE; "
        "needs the extra plot",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="keep what is in DIR and do the rest")
    existing.add_argument("--overwrite", action="store_true", help="replace what is in DIR")
    parser.add_argument(
        "--offline", action="store_true", help="never use the network; predicting never does anyway"
    )


def format_names(args: argparse.Namespace) -> list[str]:
    """The formats that `-f` names, checked against the other options; raises UsageError."""
    default = "jsonl" if args.events else "table" if args.output is None else "json"
    text = args.formats if args.formats is not None else default
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        formats.get(name)
    if args.events and "jsonl" not in names:
        raise UsageError("bad_value", f"{names[0]} has no events; lines of JSON have", hint="add -f jsonl")
    if args.events and args.jobs != 1:
        raise UsageError("bad_value", "--events hears one recording at a time", hint="leave out --jobs")
    if args.output is None and len(names) > 1:
        raise UsageError("several_formats", f"{len(names)} formats cannot share stdout", hint="add -o DIR")
    if args.output is None and formats.get(names[0]).BINARY:
        raise UsageError("not_text", f"{names[0]} is no text to print", hint="add -o DIR")
    if args.output is None and (args.resume or (args.overwrite and args.plot is None)):
        raise UsageError("no_output_folder", "--resume and --overwrite are about files", hint="add -o DIR")
    return names


def _folder(text: str) -> str | None:
    return None if text == "-" else text  # as with other commands, "-" is where the command prints


def _channels(text: str) -> str | int:
    if text in ("mix", "split"):
        return text
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not mix, split or the number of a channel")


def _roles(text: str) -> dict[int, str]:
    from voxaffect.roles import parse_roles

    try:
        return parse_roles(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    """Seconds from S, M:SS or H:MM:SS."""
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or any(not math.isfinite(part) or part < 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; expected seconds, M:SS or H:MM:SS")
    total = 0.0
    for part in parts:
        total = 60 * total + part
    return total

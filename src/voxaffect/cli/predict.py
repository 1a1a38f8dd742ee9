"""`voxaffect predict INPUT...`: how recordings sound."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from voxaffect import formats
from voxaffect.answered import Answered
from voxaffect.cli import add_model_arguments, error_line
from voxaffect.cli.progress import Progress
from voxaffect.errors import ExitCode, UsageError
from voxaffect.files import cannot_write
from voxaffect.inputs import STDIN, InputFile, Inputs, find_inputs
from voxaffect.outputs import Outputs, plan_outputs, refuse_existing

if TYPE_CHECKING:
    from voxaffect.predictor import Predictor
    from voxaffect.result import Result

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
)
"""Those that decide an answer."""
EPILOG = """\
examples:
  voxaffect predict call.wav                          a table
  voxaffect predict calls/ -f json,csv -o answers/    two files per recording
  voxaffect predict stereo.wav --channels split       each channel by itself
  voxaffect predict call.wav --roles 0=customer,1=agent --only customer
                                                      one speaker of a call
  ffmpeg -i film.mkv -f wav - | voxaffect predict -   from a pipe
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
        metavar="DIR",
        help="write one file per input and format into DIR; without --resume or --overwrite only if none "
        "of them is there (default: print)",
    )
    parser.add_argument(
        "-f",
        dest="formats",
        metavar="FORMAT",
        help=f"{', '.join(formats.names())}; several with commas and -o (default: table, with -o json)",
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
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="keep what is in DIR and do the rest")
    existing.add_argument("--overwrite", action="store_true", help="replace what is in DIR")
    parser.add_argument(
        "--offline", action="store_true", help="never use the network; predicting never does anyway"
    )


def run(args: argparse.Namespace) -> int:
    """Predict and write; 0, 3 or 4 by how many inputs failed, 1 if one of them showed a bug."""
    names = _format_names(args)
    inputs = find_inputs(args.inputs)
    if not args.quiet:
        _report_inputs(inputs)
    clips = find_inputs(args.enrol).files if args.enrol else ()
    for clip in clips:
        if clip.error is not None:
            raise clip.error
    outputs = plan_outputs(args.output, inputs.files, names) if args.output is not None else None
    if outputs is not None and not args.resume and not args.overwrite:
        refuse_existing(outputs)

    from voxaffect.predictor import load  # numpy and the runtime, only once everything else is in order

    work = _Run(args, inputs.files, load(args.model, device=args.device), [clip.path for clip in clips])
    return work.to_stdout(formats.get(names[0])) if outputs is None else work.to_folder(outputs)


class _Run:
    """The inputs of one command, and how it goes with them."""

    def __init__(
        self,
        args: argparse.Namespace,
        files: Sequence[InputFile],
        predictor: Predictor,
        clips: Sequence[str] = (),
    ) -> None:
        self.args = args
        self.clips = clips
        self.files = files
        self.predictor = predictor
        self.n_done = 0
        self.failed: list[Result] = []
        self.say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)

    def to_stdout(self, chosen: formats.Format) -> int:
        chosen.write(self._results(self.files, progress=not sys.stdout.isatty()), sys.stdout)
        return self._exit_code()

    def to_folder(self, outputs: Outputs) -> int:
        kept = [self.args.resume and outputs.done(i) for i in range(len(self.files))]
        answered = Answered(outputs.folder, self._way())
        answered.check([outputs.paths[i] for i, done in enumerate(kept) if done])
        todo = [i for i, done in enumerate(kept) if not done]
        self.n_done = sum(kept)
        if self.n_done and not self.args.quiet:
            self.say(f"voxaffect: {self.n_done} of {len(kept)} are there already")
        results = self._results([self.files[i] for i in todo], progress=True)
        try:
            outputs.folder.mkdir(parents=True, exist_ok=True)
            for i, result in zip(todo, results, strict=True):
                if result.error is None:
                    with answered.answering(outputs.paths[i]):
                        for path, chosen in zip(outputs.paths[i], outputs.formats, strict=True):
                            path.parent.mkdir(parents=True, exist_ok=True)
                            formats.save([result], path, chosen)
            if not self.failed:
                outputs.errors.unlink(missing_ok=True)  # of an earlier run, whose failures are mended
        except OSError as error:
            raise cannot_write(error, outputs.folder) from error
        finally:
            if self.failed:
                formats.save(self.failed, outputs.errors)
        return self._exit_code()

    def _way(self) -> dict[str, object]:
        """All that decides an answer besides its recording: the model and the options."""
        model = self.predictor.model
        options = {name: getattr(self.args, name) for name in OPTIONS}
        return {"model": f"{model.name} {model.version} {model.sha256}", **options}

    def _results(self, files: Sequence[InputFile], progress: bool) -> Iterator[Result]:
        """A result for each of `files`, in order; failures are counted and said. Wrong options raise now."""
        bar = Progress(len(files), progress and not self.args.quiet)
        return self._counted(files, self._predictions(files, bar), bar)

    def _counted(
        self, files: Sequence[InputFile], predictions: Generator[Result], bar: Progress
    ) -> Iterator[Result]:
        with closing(predictions), bar:
            self.say = bar.say or self.say
            for file in files:
                result = (
                    self.predictor.failure(file.path, file.error)
                    if file.error is not None
                    else next(predictions)
                )
                if result.error is None:
                    self.n_done += 1
                else:
                    self.failed.append(result)
                    self.say(error_line(result.error))
                bar.advance()
                yield result

    def _predictions(self, files: Sequence[InputFile], bar: Progress) -> Generator[Result]:
        args = self.args
        return self.predictor.predict_many(
            (_opened(file) for file in files if file.error is None),
            on_error="record",
            jobs=args.jobs,
            progress=bar.seconds if bar.by_seconds else None,
            channels=args.channels,
            window=args.window,
            hop=args.hop,
            vad=args.vad,
            smoothing=args.smoothing,
            roles=args.roles,
            only=args.only,
            lawful_basis=args.lawful_basis,
            start=args.start,
            end=args.end,
            uncertain_below=args.uncertain_below,
            max_seconds=args.max_duration,
            strict=args.strict,
            enrol=self.clips,
        )

    def _exit_code(self) -> int:
        if not self.failed:
            return ExitCode.OK
        if len(self.files) > 1 and not self.args.quiet:
            self.say(f"voxaffect: {len(self.failed)} of {len(self.files)} inputs failed")
        if any(result.error and result.error.code == "bug" for result in self.failed):
            return ExitCode.BUG
        return ExitCode.PARTIAL if self.n_done else ExitCode.NOTHING_USABLE


def _opened(file: InputFile) -> str | BinaryIO:
    return sys.stdin.buffer if file.path == STDIN else file.path


def _report_inputs(inputs: Inputs) -> None:
    for count, what in (
        (inputs.n_repeated, "named more than once, read once"),
        (inputs.n_passed_over, "in folders passed over: no audio by their names"),
    ):
        if count:
            print(f"voxaffect: {count} {'file' if count == 1 else 'files'} {what}", file=sys.stderr)


def _format_names(args: argparse.Namespace) -> list[str]:
    text = args.formats if args.formats is not None else "table" if args.output is None else "json"
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        formats.get(name)
    if args.output is None and len(names) > 1:
        raise UsageError("several_formats", f"{len(names)} formats cannot share stdout", hint="add -o DIR")
    if args.output is None and (args.resume or args.overwrite):
        raise UsageError("no_output_folder", "--resume and --overwrite are about files", hint="add -o DIR")
    return names


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

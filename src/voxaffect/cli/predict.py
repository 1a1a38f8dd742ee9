"""`voxaffect predict INPUT...`: how recordings sound."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from voxaffect import formats
from voxaffect.answered import Answered
from voxaffect.cli import error_line
from voxaffect.cli.predict_options import OPTIONS, add_arguments, format_names
from voxaffect.cli.progress import Progress
from voxaffect.errors import ExitCode, UsageError
from voxaffect.files import cannot_write, half_file
from voxaffect.inputs import STDIN, InputFile, Inputs, find_inputs
from voxaffect.outputs import Outputs, plan_outputs, refuse_existing, refuse_files
from voxaffect.pictures import Pictures, plan_pictures

if TYPE_CHECKING:
    from voxaffect.prediction import Hearing
    from voxaffect.predictor import Predictor
    from voxaffect.result import Result

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Predict and write; 0, 3 or 4 by how many inputs failed, 1 if one of them showed a bug."""
    names = format_names(args)
    inputs = find_inputs(args.inputs)
    if not args.quiet:
        _report_inputs(inputs)
    clips = find_inputs(args.enrol).files if args.enrol else ()
    for clip in clips:
        if clip.error is not None:
            raise clip.error
    outputs = plan_outputs(args.output, inputs.files, names) if args.output is not None else None
    if outputs is None and formats.get(names[0]).HOLDS == "timeline" and len(inputs.files) > 1:
        raise UsageError(
            "several_recordings",
            f"{names[0]} holds the timeline of one recording; there are {len(inputs.files)}",
            hint="add -o DIR",
        )
    if outputs is not None and not args.resume and not args.overwrite:
        refuse_existing(outputs)
    pictures = plan_pictures(args.plot, inputs.files)
    if not args.resume and not args.overwrite:
        refuse_files(pictures.existing())

    from voxaffect.predictor import load  # numpy and the runtime, only once everything else is in order

    work = _Run(
        args, inputs.files, load(args.model, device=args.device), [clip.path for clip in clips], pictures
    )
    return work.to_stdout(formats.get(names[0])) if outputs is None else work.to_folder(outputs)


class _Run:
    """The inputs of one command, and how it goes with them."""

    def __init__(
        self,
        args: argparse.Namespace,
        files: Sequence[InputFile],
        predictor: Predictor,
        clips: Sequence[str],
        pictures: Pictures,
    ) -> None:
        self.args = args
        self.pictures = pictures
        self.clips = clips
        self.files = files
        self.predictor = predictor
        self.n_done = 0
        self.failed: list[Result] = []
        self.events: IO[str] = sys.stdout
        """Where events are written as they are heard."""
        self.say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)

    def to_stdout(self, chosen: formats.Format) -> int:
        chosen.write(self._results(self.files, progress=not sys.stdout.isatty()), sys.stdout)
        return self._exit_code()

    def to_folder(self, outputs: Outputs) -> int:
        kept = [
            self.args.resume and outputs.done(i) and self.pictures.done(file)
            for i, file in enumerate(self.files)
        ]
        answered = Answered(outputs.folder, self._way())
        answered.check([outputs.paths[i] for i, done in enumerate(kept) if done])
        todo = [i for i, done in enumerate(kept) if not done]
        self.n_done = sum(kept)
        if self.n_done and not self.args.quiet:
            self.say(f"voxaffect: {self.n_done} of {len(kept)} are there already")
        results = self._results([self.files[i] for i in todo], progress=True)
        try:
            outputs.folder.mkdir(parents=True, exist_ok=True)
            with closing(results):
                for i in todo:
                    pairs = list(zip(outputs.paths[i], outputs.formats, strict=False))  # none: it will fail
                    if self.args.events and pairs:
                        self._write_with_events(results, pairs, answered)
                    elif (result := next(results)).error is None:
                        with answered.answering(outputs.paths[i]):
                            _save(result, pairs)
            if not self.failed:
                outputs.errors.unlink(missing_ok=True)  # of an earlier run, whose failures are mended
        except OSError as error:
            raise cannot_write(error, outputs.folder) from error
        finally:
            if self.failed:
                formats.save(self.failed, outputs.errors)
        return self._exit_code()

    def _write_with_events(
        self, results: Generator[Result], pairs: Sequence[tuple[Path, formats.Format]], answered: Answered
    ) -> None:
        """Write the next of `results` into its files; into the one of JSON lines events as they are heard."""
        lines = formats.get("jsonl")
        (place,) = (path for path, chosen in pairs if chosen is lines)
        place.parent.mkdir(parents=True, exist_ok=True)
        with half_file(place, text=True) as half:
            self.events = half.file
            result = next(results)
            if result.error is None:
                lines.write([result], half.file)
                with answered.answering([path for path, _ in pairs]):
                    half.keep()
                    _save(result, [(path, chosen) for path, chosen in pairs if chosen is not lines])

    def _way(self) -> dict[str, object]:
        """All that decides an answer besides its recording: the model and the options."""
        model = self.predictor.model
        options = {name: getattr(self.args, name) for name in OPTIONS}
        return {"model": f"{model.name} {model.version} {model.sha256}", **options}

    def _results(self, files: Sequence[InputFile], progress: bool) -> Generator[Result]:
        """A result for each of `files`, in order; failures are counted and said. Wrong options raise now."""
        bar = Progress(len(files), progress and not self.args.quiet)
        return self._counted(files, self._predictions(files, bar), bar)

    def _counted(
        self, files: Sequence[InputFile], predictions: Generator[Result], bar: Progress
    ) -> Generator[Result]:
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
                    if file.path in self.pictures.paths:
                        self.pictures.draw(file, result, self.args.start)
                else:
                    self.failed.append(result)
                    self.say(error_line(result.error))
                bar.advance()
                yield result

    def _predictions(self, files: Sequence[InputFile], bar: Progress) -> Generator[Result]:
        args = self.args
        opened = (_opened(file) for file in files if file.error is None)
        options: dict[str, Any] = {
            "on_error": "record",
            "progress": bar.seconds if bar.by_seconds else None,
            "channels": args.channels,
            "window": args.window,
            "hop": args.hop,
            "vad": args.vad,
            "smoothing": args.smoothing,
            "roles": args.roles,
            "only": args.only,
            "lawful_basis": args.lawful_basis,
            "start": args.start,
            "end": args.end,
            "uncertain_below": args.uncertain_below,
            "max_seconds": args.max_duration,
            "strict": args.strict,
            "enrol": self.clips,
        }
        if args.events:
            return self._heard(self.predictor.hear_many(opened, **options))
        return self.predictor.predict_many(opened, jobs=args.jobs, **options)

    def _heard(self, hearings: Iterator[Hearing]) -> Generator[Result]:
        from voxaffect.formats.jsonl import write_event

        for hearing in hearings:
            for event in hearing.events():
                write_event(event, hearing.id, self.events)
            assert hearing.result is not None
            yield hearing.result

    def _exit_code(self) -> int:
        if not self.failed:
            return ExitCode.OK
        if len(self.files) > 1 and not self.args.quiet:
            self.say(f"voxaffect: {len(self.failed)} of {len(self.files)} inputs failed")
        if any(result.error and result.error.code == "bug" for result in self.failed):
            return ExitCode.BUG
        return ExitCode.PARTIAL if self.n_done else ExitCode.NOTHING_USABLE


def _save(result: Result, pairs: Sequence[tuple[Path, formats.Format]]) -> None:
    for path, chosen in pairs:
        path.parent.mkdir(parents=True, exist_ok=True)
        formats.save([result], path, chosen)


def _opened(file: InputFile) -> str | BinaryIO:
    return sys.stdin.buffer if file.path == STDIN else file.path


def _report_inputs(inputs: Inputs) -> None:
    for count, what in (
        (inputs.n_repeated, "named more than once, read once"),
        (inputs.n_passed_over, "in folders passed over: no audio by their names"),
    ):
        if count:
            print(f"voxaffect: {count} {'file' if count == 1 else 'files'} {what}", file=sys.stderr)

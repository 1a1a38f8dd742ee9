"""The `voxaffect` command: one file per sub-command, imported only when that sub-command runs.

Each has `add_arguments(parser)` and `run(args) -> int`. Here is what they share: the error line, the exit
codes, signals. Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from voxaffect.errors import ExitCode, ResourceError, UsageError, VoxaffectError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from voxaffect.result import Failure

COMMANDS: Mapping[str, tuple[str, str]] = {
    "predict": ("voxaffect.cli.predict", "how recordings sound: files, folders, patterns, stdin"),
    "demo": ("voxaffect.cli.demo", "predict the bundled clips: proves the install"),
    "listen": ("voxaffect.cli.listen", "the microphone, live: how it sounds now"),
    "serve": ("voxaffect.cli.serve", "a web page, HTTP and WebSocket, on this machine"),
    "models": ("voxaffect.cli.models", "list, show or verify models"),
    "doctor": ("voxaffect.cli.doctor", "what is installed, what works, what to do"),
    "corpus": ("voxaffect.cli.corpus", "list, show, check and analyse speech corpora"),
    "audit": ("voxaffect.cli.audit", "what training, dev and test share: speakers, texts, recordings"),
    "train": ("voxaffect.cli.train", "train a recipe by cross-validation"),
    "cheat-cost": ("voxaffect.cli.cheat_cost", "what shortcuts of evaluation buy on one recipe, in points"),
    "robustness": ("voxaffect.cli.robustness", "what noise, telephone and rooms cost a finished run"),
    "adapt-curve": ("voxaffect.cli.adapt_curve", "what adaptation brings with how many seconds of speech"),
    "evaluate": ("voxaffect.cli.evaluate", "WA, UA, macro-F1 and calibration of runs"),
    "report": ("voxaffect.cli.report", "one self-contained HTML page of a run, ensemble or study"),
    "ensemble": ("voxaffect.cli.ensemble", "let finished runs vote, and test what that gains"),
    "compare": ("voxaffect.cli.compare", "runs side by side, with paired tests"),
    "score": ("voxaffect.cli.score", "the same figures for anyone's predictions"),
}
"""Each command's module and what it does."""

BROKEN_PIPE = 141
"""128 + SIGPIPE: the reader of our output has left, as `head` does."""


_REFUSALS = {
    errno.EACCES: "permission",
    errno.EPERM: "permission",
    errno.EISDIR: "not_a_file",
    errno.ENOTDIR: "not_a_folder",
    errno.ENAMETOOLONG: "not_found",
}
"""What the system says of a name and never of a bug: the user's to put right, wherever it comes up."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (without the program's name); returns the exit code, whatever happens."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    _accept_any_character()
    try:
        with _terminable():
            code = _dispatch(arguments)
            sys.stdout.flush()
            return code
    except SystemExit as stop:  # argparse: --help or a wrong option
        return stop.code if isinstance(stop.code, int) else ExitCode.USAGE
    except VoxaffectError as error:
        return _failed(error, debug)
    except KeyboardInterrupt:
        _say("voxaffect: interrupted")
        return ExitCode.INTERRUPTED
    except Terminated:
        _say("voxaffect: terminated")
        return ExitCode.TERMINATED
    except BrokenPipeError:
        _drop_stdout()
        return BROKEN_PIPE
    except Exception as error:
        return _failed_unexpectedly(error, debug)


class Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt, nothing but `main` catches it."""


def error_line(error: VoxaffectError | Failure) -> str:
    """`voxaffect: error: WHERE: CODE: MESSAGE; HINT`, on one line whatever the names in it."""
    from voxaffect.audio_input import printable

    where = f"{error.where}: " if error.where else ""
    hint = f"; {error.hint}" if error.hint else ""
    return printable(f"voxaffect: error: {where}{error.code}: {error.message}{hint}")


def add_common_arguments(parser: argparse.ArgumentParser, *, nested: bool = False) -> None:
    """`--quiet` and `--debug`, unless the command has its own. `nested` parsers leave the outer one's values."""
    for option, text in (
        ("--quiet", "no messages but errors"),
        ("--debug", "show the traceback of an error"),
    ):
        with suppress(argparse.ArgumentError):
            default = argparse.SUPPRESS if nested else False
            parser.add_argument(option, action="store_true", default=default, help=text)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """`-m` and `--device`, of every command that predicts."""
    parser.add_argument(
        "-m", dest="model", metavar="MODEL", help="name, file or folder (default: the bundled one)"
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where the model runs (default: auto)",
    )


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(_overview(), file=sys.stderr)
        return ExitCode.USAGE
    if arguments[0] == "help" and len(arguments) > 1:
        arguments = [arguments[1], "--help"]
    if arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return ExitCode.OK
    if arguments[0] in ("-V", "--version"):
        from voxaffect import __version__

        print(f"voxaffect {__version__}")
        return ExitCode.OK
    name = arguments[0]
    if name not in COMMANDS:
        raise _unknown(name)
    module, summary = COMMANDS[name]
    command = import_module(module)
    description = (command.__doc__ or summary).split(": ", 1)[-1]
    parser = _Parser(
        prog=f"voxaffect {name}",
        description=description[0].upper() + description[1:],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    add_common_arguments(parser)
    try:
        chosen = parser.parse_args(arguments[1:])
    except UsageError as error:
        error.hint = _dash_hint(name, arguments[1:]) or error.hint
        raise
    return int(command.run(chosen))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line, as every other error is said."""

    def error(self, message: str) -> NoReturn:
        from difflib import get_close_matches

        hint = f"see: {self.prog} --help"
        wrong, _, words = message.partition(": ")
        if wrong == "unrecognized arguments":
            close = get_close_matches(words.split()[0], self._option_string_actions, n=1)
            hint = f"did you mean {close[0]}? {hint}" if close else hint
        raise UsageError("bad_arguments", message, hint=hint)

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        """As argparse does, but a failure to write is not passed over."""
        print(self.format_help(), end="", file=file)
        sys.stdout.flush()


def _dash_hint(name: str, words: Sequence[str]) -> str | None:
    """How to name the file among `words` that was taken for an option, if there is one."""
    for word in words[: words.index("--")] if "--" in words else words:
        if len(word) > 1 and word.startswith("-") and os.path.lexists(word):
            return f"a name that begins with a dash goes after two: voxaffect {name} -- {word}"
    return None


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: voxaffect COMMAND [OPTIONS]",
            "",
            "Speech emotion recognition, offline. Commands:",
            "",
            *lines,
            "",
            "voxaffect COMMAND --help says more; voxaffect --version which edition this is.",
        ]
    )


def _unknown(name: str) -> UsageError:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    if close:
        hint = f"did you mean: voxaffect {close[0]}"
    elif os.path.exists(name):  # noqa: PTH110  (Path refuses what is no possible name)
        hint = f"did you mean: voxaffect predict {name}"
    else:
        hint = f"expected one of {list(COMMANDS)}"
    return UsageError("unknown_command", f"unknown command {name!r}", hint=hint)


def _failed(error: VoxaffectError, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    _say(error_line(error))
    return error.exit_code


def _failed_unexpectedly(error: Exception, debug: bool) -> int:
    if (
        isinstance(error, OSError) and error.errno == errno.ENOSPC
    ):  # nothing but stdout writes without a guard
        _drop_stdout()
        return _failed(ResourceError("disk_full", "no space left for the output"), debug)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # so says torch, on the CPU
        return _failed(ResourceError("out_of_memory", "memory ran out", hint="use fewer --jobs"), debug)
    if isinstance(error, OSError) and error.errno in _REFUSALS and error.filename is not None:
        code, where = _REFUSALS[error.errno], str(error.filename)
        return _failed(VoxaffectError(code, f"{where} cannot be used ({error.strerror})", where=where), debug)
    from voxaffect.audio_input import printable

    if debug:
        import traceback

        traceback.print_exc()
    _say(
        printable(
            f"voxaffect: bug: {type(error).__name__}: {error}; please report it with what --debug shows"
        )
    )
    return ExitCode.BUG


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # stderr may be closed
        print(line, file=sys.stderr, flush=True)


def _accept_any_character() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and getattr(stream, "errors", None) in ("strict", "surrogateescape"):
            reconfigure(errors="backslashreplace")


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, or the interpreter would fail once more at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM unwinds the program like Ctrl-C does, so that no half file stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated

"""The command itself: its commands, its one error line, its exit codes, signals, and a light start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from voxaffect import __version__, cli
from voxaffect.cli import COMMANDS, main
from voxaffect.errors import AudioError, ExitCode, ResourceError

HEAVY = ["numpy", "onnxruntime", "soundfile", "soxr", "av", "torch", "transformers", "matplotlib", "tqdm"]


def loaded_by(statement: str) -> list[str]:
    """Which heavy packages a fresh interpreter has after `statement`."""
    code = f"import sys\n{statement}\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], int]], None]:
    """Puts a command `test` in place, which runs a function."""

    def install(work: Callable[[], int]) -> None:
        module = SimpleNamespace(
            __doc__="`voxaffect test`: a test", add_arguments=lambda parser: None, run=lambda args: work()
        )
        monkeypatch.setattr(cli, "COMMANDS", {**COMMANDS, "test": ("test", "a test")})
        monkeypatch.setattr(cli, "import_module", lambda name: module)

    return install


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import voxaffect, voxaffect.cli, voxaffect.result, voxaffect.formats") == []


def test_the_test_above_can_fail() -> None:
    assert "numpy" in loaded_by("import voxaffect; voxaffect.load")


def test_help_and_wrong_options_load_nothing_heavy() -> None:
    for arguments in (["--help"], ["predict", "--help"], ["predict", "--nonsense"], ["models", "list"]):
        statement = (
            "import io, contextlib\nfrom voxaffect.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):\n"
            f"    main({arguments!r})"
        )
        assert loaded_by(statement) == [], arguments


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"voxaffect {__version__}\n"


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == ExitCode.OK
    out = capsys.readouterr().out
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in out
        assert summary in out
    assert main(["help"]) == ExitCode.OK
    assert capsys.readouterr().out == out
    assert main([]) == ExitCode.USAGE
    assert capsys.readouterr() == ("", out)
    assert main(["help", "predict"]) == ExitCode.OK
    assert "usage: voxaffect predict" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = COMMANDS[name][0]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not in this edition")
    assert (import_module(module).__doc__ or "").startswith(f"`voxaffect {name}")
    assert main([name, "--help"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert f"usage: voxaffect {name}" in out
    assert "--debug" in out
    assert "--quiet" in out


def test_an_unknown_command_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.wav").touch()
    for name, hint in (
        ("predcit", "did you mean: voxaffect predict"),
        ("a.wav", "did you mean: voxaffect predict a.wav"),
        ("zzz", f"expected one of {list(COMMANDS)}"),
    ):
        assert main([name]) == ExitCode.USAGE
        assert capsys.readouterr().err == (
            f"voxaffect: error: unknown_command: unknown command {name!r}; {hint}\n"
        )


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.wav", "--chanels", "mix"]) == ExitCode.USAGE
    assert capsys.readouterr().err == (
        "voxaffect: error: bad_arguments: unrecognized arguments: --chanels mix; "
        "did you mean --channels? see: voxaffect predict --help\n"
    )
    assert main(["corpus", "chek"]) == ExitCode.USAGE
    assert "bad_arguments: argument ACTION: invalid choice: 'chek'" in capsys.readouterr().err


def test_corpus_without_an_action_shows_the_actions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corpus"]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: voxaffect corpus ")
    for action in ("list", "show", "fetch", "check", "analyse"):
        assert re.search(rf"^    {action} ", said.err, re.MULTILINE)


def test_a_name_that_looks_like_an_option_is_recognised(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-rf.wav").touch()
    assert main(["predict", "-rf.wav"]) == ExitCode.USAGE
    err = capsys.readouterr().err
    assert err.endswith("; a name that begins with a dash goes after two: voxaffect predict -- -rf.wav\n")
    assert main(["predict", "--", "-rf.wav", "-f", "yaml"]) != ExitCode.USAGE  # all names, after two dashes


def test_debug_and_quiet_may_stand_before_and_behind_an_action(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--quiet", "show"], ["show", "--quiet"]):
        assert main(["corpus", *words, "nosuch"]) == ExitCode.USAGE
        assert "unknown_corpus" in capsys.readouterr().err


def test_an_error_is_one_escaped_line(
    capsys: pytest.CaptureFixture[str], command: Callable[[Callable[[], int]], None]
) -> None:
    def work() -> int:
        raise AudioError(
            "empty_file", "a\nb.wav holds no audio", hint="was it\x1b[2J cut?", where="a\nb\udcff.wav"
        )

    command(work)
    assert main(["test"]) == ExitCode.NOTHING_USABLE
    captured = capsys.readouterr()
    assert captured.err == (
        "voxaffect: error: a\\nb\\udcff.wav: empty_file: a\\nb.wav holds no audio; was it\\x1b[2J cut?\n"
    )
    assert captured.out == ""
    assert main(["test", "--debug"]) == ExitCode.NOTHING_USABLE
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_bug_is_called_a_bug(
    capsys: pytest.CaptureFixture[str], command: Callable[[Callable[[], int]], None]
) -> None:
    command(lambda: [][0])
    assert main(["test"]) == ExitCode.BUG
    assert capsys.readouterr().err == (
        "voxaffect: bug: IndexError: list index out of range; please report it with what --debug shows\n"
    )
    assert main(["test", "--debug"]) == ExitCode.BUG
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * 300, "not_found: {name} cannot be used (File name too long)"),
        ("folder", "not_a_file: {name} cannot be used (Is a directory)"),
        ("file/below", "not_a_folder: {name} cannot be used (Not a directory)"),
    ],
)
def test_what_the_system_refuses_of_a_name_is_no_bug(
    capsys: pytest.CaptureFixture[str],
    command: Callable[[Callable[[], int]], None],
    tmp_path: Path,
    name: str,
    said: str,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / name
    command(lambda: len(path.read_text()))
    assert main(["test"]) == ExitCode.NOTHING_USABLE
    assert capsys.readouterr().err == f"voxaffect: error: {path}: {said.format(name=path)}\n"


def test_a_file_of_ours_that_is_missing_is_a_bug(
    capsys: pytest.CaptureFixture[str], command: Callable[[Callable[[], int]], None]
) -> None:
    command(lambda: len(Path("gone.bin").read_bytes()))
    assert main(["test"]) == ExitCode.BUG
    assert "bug: FileNotFoundError: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, ExitCode.INTERRUPTED, "voxaffect: interrupted\n"),
        (signal.SIGTERM, ExitCode.TERMINATED, "voxaffect: terminated\n"),
    ],
)
def test_signals_have_their_exit_codes(
    capsys: pytest.CaptureFixture[str],
    command: Callable[[Callable[[], int]], None],
    number: signal.Signals,
    code: int,
    line: str,
) -> None:
    def work() -> int:
        os.kill(os.getpid(), number)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    command(work)
    assert main(["test"]) == code
    assert capsys.readouterr().err == line
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")],
)
def test_memory_that_ran_out_is_said(
    capsys: pytest.CaptureFixture[str], command: Callable[[Callable[[], int]], None], error: Exception
) -> None:
    def work() -> int:
        raise error

    command(work)
    assert main(["test"]) == ExitCode.RESOURCE
    assert "out_of_memory: memory ran out; use fewer --jobs" in capsys.readouterr().err
    assert ResourceError("x", "y").exit_code == ExitCode.RESOURCE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["models", "--help"], ["demo"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_said(words: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "voxaffect", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == ExitCode.RESOURCE
    assert done.stderr == "voxaffect: error: disk_full: no space left for the output\n"


@pytest.mark.parametrize("environment", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}])
def test_a_terminal_that_knows_few_characters_is_no_failure(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "voxaffect", "demo"],
        env={**os.environ, "PYTHONCOERCECLOCALE": "0", **environment},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"")
    assert b"\\u2588" in done.stdout  # the bar, which neither has


def test_a_reader_that_left_is_no_failure_to_talk_about() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "voxaffect", "--help"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (cli.BROKEN_PIPE, "")

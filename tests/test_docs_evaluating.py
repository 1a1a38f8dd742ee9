"""What docs/evaluating.md shows is what the commands print, and it names every kind, guess and column."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from voxaffect.audit import KINDS
from voxaffect.baselines import DURATION, MAJORITY, WORDS
from voxaffect.cli import main
from voxaffect.division import COLUMNS
from voxaffect.division import WORDS as PARTS
from voxaffect.ensemble import VOTES
from voxaffect.errors import ExitCode

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "evaluating.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```console\n\$ voxaffect ([^\n]+)\n(.*?)```", TEXT, flags=re.DOTALL)


def missing(shown: str, printed: str) -> list[str]:
    """The lines of `shown` that are not among `printed` in that order; `…` stands for any lines."""
    lines = iter(printed.split("\n"))
    return [line for line in shown.rstrip("\n").split("\n") if line != "…" and line not in lines]


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_the_examples_print_what_the_document_shows(
    command: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if "recipes/" in command:
        request.getfixturevalue("shared_corpora")
    monkeypatch.chdir(ROOT)
    words = [word.replace("runs/", f"{tmp_path}/") for word in shlex.split(command)]
    assert main(words) == ExitCode.OK
    said = capsys.readouterr()
    assert missing(shown, (said.err + said.out).replace(f"{tmp_path}/", "runs/")) == []


def test_the_examples_are_found_and_a_wrong_line_would_be() -> None:
    commands = {command.split()[0] for command, _ in EXAMPLES}
    assert commands == {"evaluate", "score", "audit", "ensemble", "compare"}
    assert missing("a\n…\nc\n", "a\nb\nc\n") == []
    assert missing("a\nd\n", "a\nb\nc\n") == ["d"]
    assert missing("c\na\n", "a\nb\nc\n") == ["a"]


@pytest.mark.parametrize("word", [*KINDS, *WORDS, MAJORITY, DURATION, *COLUMNS, *PARTS, *VOTES])
def test_every_kind_guess_column_and_vote_is_named(word: str) -> None:
    assert f"`{word}`" in TEXT

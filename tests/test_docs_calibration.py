"""What docs/calibration.md shows is what the command prints, and its names are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from voxaffect.cli import main
from voxaffect.errors import ExitCode
from voxaffect.protocols import KINDS
from voxaffect.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_document_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ((command, shown),) = re.findall(r"```console\n\$ voxaffect ([^\n]+)\n…\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)) == ExitCode.OK
    assert capsys.readouterr().out.endswith(shown)


def test_its_protocol_recipe_and_limits_are_those_of_the_code() -> None:
    from voxaffect.calibrated_vote import LEAST_COVERAGE, UNCERTAIN_ACCURACY

    recipe = read_recipe(ROOT / "recipes" / "cross-whisper.toml")
    assert recipe.protocol.folds in KINDS
    assert f'`protocol.folds = "{recipe.protocol.folds}"`' in TEXT
    assert (LEAST_COVERAGE, UNCERTAIN_ACCURACY) == (
        0.8,
        0.5,
    )  # "the least confident fifth", "half of the time"

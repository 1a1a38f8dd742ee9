"""docs/iemocap.md: its recipes are recipes, its figures those of the data sheets, its commands exist."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from voxaffect.cli import corpus
from voxaffect.corpora import iemocap, iemocap_pickle
from voxaffect.recipe import read_recipe

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "iemocap.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_every_recipe_can_be_read(block: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(block, encoding="utf-8")
    assert read_recipe(path).data.corpora[0] in ("iemocap", "iemocap-pickle")


def test_every_command_is_one() -> None:
    parser = argparse.ArgumentParser()
    corpus.add_arguments(parser)
    lines = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).splitlines()
    assert len(lines) == 3
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("voxaffect", "corpus")
        parser.parse_args(arguments)


def test_its_figures_are_those_of_the_data_sheets() -> None:
    expected = iemocap.INFO.expected
    unmerged = sum(expected[label] for label in ("angry", "happy", "neutral", "sad"))
    for n in (iemocap.INFO.n_utterances, iemocap_pickle.INFO.n_utterances, unmerged):
        assert re.search(rf"\b{n}\b", TEXT)
    assert unmerged + expected["excited"] == iemocap_pickle.INFO.n_utterances

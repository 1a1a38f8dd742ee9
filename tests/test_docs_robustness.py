"""docs/robustness.md: its commands parse, and it names every condition."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from voxaffect.cli import robustness, train
from voxaffect.degradation import GROUPS, conditions

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "robustness.md").read_text(encoding="utf-8")


def test_every_command_is_one() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines():
        program, command, *words = shlex.split(line)
        assert program == "voxaffect"
        parser = argparse.ArgumentParser()
        {"train": train, "robustness": robustness}[command].add_arguments(parser)  # type: ignore[attr-defined]
        args = parser.parse_args(words)
        if command == "robustness" and args.conditions:
            assert conditions(args.conditions.split(","))


@pytest.mark.parametrize("group", GROUPS)
def test_every_condition_is_named(group: str) -> None:
    assert f"| `{group}` |" in TEXT


def test_the_options_that_it_explains_are_there() -> None:
    parser = argparse.ArgumentParser()
    robustness.add_arguments(parser)
    known = set(parser._option_string_actions)
    assert set(re.findall(r"`(--[a-z-]+)", TEXT)) <= known

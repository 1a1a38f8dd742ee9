"""docs/studies.md: its recipes are recipes, its commands exist, its protocols are all that there are."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from voxaffect.cli import audit, cheat_cost, train
from voxaffect.loose_folds import RANDOM_SPLIT, SEEN_SPEAKERS, VALIDATION_ON_TEST
from voxaffect.protocol_options import VOTES
from voxaffect.protocols import KINDS
from voxaffect.recipe import RESERVED, VARIABLE, read_recipe
from voxaffect.splits import NAMED_FOLDS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
COMMANDS = {"train": train, "cheat-cost": cheat_cost, "audit": audit}


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
def test_every_recipe_can_be_read(block: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(block, encoding="utf-8")
    assert read_recipe(path).is_study


def test_every_command_is_one() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    assert len(lines) == 6
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert program == "voxaffect"
        parser = argparse.ArgumentParser()
        COMMANDS[command].add_arguments(parser)
        args = parser.parse_args(arguments)
        (recipe,) = args.sources if command == "audit" else (args.recipe,)
        read_recipe(ROOT / recipe, getattr(args, "assignments", []))


def test_every_protocol_stamp_and_key_is_named() -> None:
    for kind in (*KINDS, *NAMED_FOLDS, *VOTES):
        assert f"`{kind}`" in TEXT or f'"{kind}"' in TEXT, kind
    for stamp in (VALIDATION_ON_TEST, RANDOM_SPLIT, SEEN_SPEAKERS):
        assert f"`{stamp}`" in TEXT
    for key in set(VARIABLE) - {"title"}:
        assert f"`{key}`" in TEXT
    assert RESERVED == ("members", "parts", "runs")

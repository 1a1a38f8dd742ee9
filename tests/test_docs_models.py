"""docs/models.md leaves out no preset, no key and no code, and its recipes are read."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from voxaffect.checkpoints import ALEXNET, FILES, FOLDER_VARIABLE, OFFLINE_VARIABLES, VIT, WAV2VEC2
from voxaffect.model_options import KINDS, PRESETS, ModelOptions
from voxaffect.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
MODULES = [
    "checkpoints",
    "download",
    "model_options",
    "encoders/alexnet",
    "encoders/bilstm",
    "encoders/checkpoint",
    "encoders/vit",
    "encoders/waveform",
]
CODE = re.compile(r'Error\(\s*"([a-z]+(?:_[a-z]+)*)",')


def test_every_code_is_explained() -> None:
    given = set().union(
        *(CODE.findall((ROOT / "src/voxaffect" / f"{m}.py").read_text(encoding="utf-8")) for m in MODULES)
    )
    assert {"unknown_preset", "model_missing", "wrong_checksum"} <= given
    assert sorted(code for code in given if f"`{code}`" not in TEXT) == []


def test_every_preset_kind_and_key_is_explained() -> None:
    names = [*PRESETS, *(field.name for field in dataclasses.fields(ModelOptions) if field.name not in KINDS)]
    names.remove("n_classes")  # the recipe's labels
    for kinds in KINDS.values():
        for kind, options in kinds.items():
            assert f'kind = "{kind}"' in TEXT
            names += [field.name for field in dataclasses.fields(options)]
    assert sorted({name for name in names if f"`{name}`" not in TEXT}) == []


def test_every_name_of_weights_and_variable_is_there() -> None:
    for name in (ALEXNET, VIT, WAV2VEC2, FOLDER_VARIABLE, *OFFLINE_VARIABLES):
        assert name in TEXT
    for known in FILES.values():
        assert f"{known.n_bytes / 1e6:.0f} MB | {known.licence}" in TEXT


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", TEXT, flags=re.DOTALL))
def test_the_recipes_are_read(block: str) -> None:
    table = tomllib.loads(block)
    assert table.keys() <= {field.name for field in dataclasses.fields(Recipe)}
    options = ModelOptions.from_dict({**table["model"], "n_classes": 4})
    if table["model"].get("mfcc") is False:
        assert options.mfcc is None

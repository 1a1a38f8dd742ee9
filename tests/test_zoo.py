"""The zoo: each encoder has a recipe that is read, and trains where weights of its kind are at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import training_corpus
from voxaffect import zoo
from voxaffect.cli import main
from voxaffect.errors import UsageError
from voxaffect.recipe import read_recipe
from voxaffect.zoo import ENCODERS, find_encoder, recipe_text


@pytest.mark.parametrize("name", ENCODERS)
def test_the_recipe_of_each_encoder_is_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / "my.toml").write_text(recipe_text(name, "my.toml"), encoding="utf-8")
    recipe = read_recipe(tmp_path / "my.toml")
    encoder = ENCODERS[name]
    assert recipe.model["speech"]["checkpoint"] == encoder.checkpoint
    layers = [layer for choice in recipe.model["layers"] for layer in choice]
    assert min(layers) >= 1
    assert max(layers) == encoder.n_layers
    assert encoder.licence in recipe.card.licence
    assert "voxaffect train my.toml" in recipe_text(name, "my.toml")


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match="unknown encoder 'wavlm'") as caught:
        find_encoder("wavlm")
    assert "wavlm-large" in str(caught.value.hint)
    with pytest.raises(UsageError, match="unknown encoder 'zzz'") as caught:
        find_encoder("zzz")
    assert caught.value.hint is None


def test_the_command_lists_writes_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and e.checkpoint in listed for name, e in ENCODERS.items())
    assert "bundled" in listed
    file = tmp_path / "large.toml"
    assert main(["models", "recipe", "wavlm-large", "-o", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == recipe_text("wavlm-large", "large.toml")
    assert main(["models", "recipe", "whisper-tiny", "-o", str(file)]) == 2
    assert "output_exists" in capsys.readouterr().err
    assert main(["models", "recipe", "whisper-tiny", "-o", str(file), "--overwrite"]) == 0
    assert main(["models", "recipe", "whisper-tiny"]) == 0
    assert "openai/whisper-tiny.en" in capsys.readouterr().out
    assert main(["models", "recipe"]) == 2
    assert "takes one name" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "kind"), [("wavlm-base-plus", "wavlm"), ("whisper-large", "whisper")])
def test_a_recipe_of_the_zoo_trains_where_its_weights_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    kind: str,
) -> None:
    """The real path from name to run, over an encoder of random weights in the place of the real one."""
    pytest.importorskip("torch", reason="needs the extra `train`")
    pytest.importorskip("transformers", reason="needs the extra `train`")
    from neural_inputs import save_speech

    encoder = ENCODERS[name]
    save_speech(kind, tmp_path / "weights" / encoder.checkpoint.rsplit("/", 1)[1])
    monkeypatch.setenv("VOXAFFECT_MODELS", str(tmp_path / "weights"))
    monkeypatch.setattr(zoo, "ENCODERS", {**ENCODERS, name: replace(encoder, n_layers=3)})
    training_corpus.build(tmp_path / "clips")
    text = recipe_text(name)
    start, end = text.index("[data]"), text.index("[features]")
    file = tmp_path / "recipe.toml"
    file.write_text(text[:start] + training_corpus.DATA + "seeds = [1]\n" + text[end:], encoding="utf-8")
    assert main(["train", str(file), "-o", str(tmp_path / "run"), "--quiet"]) == 0
    assert "UA" in capsys.readouterr().out
    assert main(["models"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(name + " "))
    assert "weights here" in line

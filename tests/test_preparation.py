"""What trainings share: one store for all that hear alike, one checkpoint in memory, and nobody's numbers change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from voxaffect.cache import ArrayCache
from voxaffect.errors import ArtefactError, UsageError
from voxaffect.examples import ExampleStore
from voxaffect.recipe import Recipe, read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")

from neural_inputs import save_speech  # noqa: E402
from voxaffect.encoders.speech import SpeechOptions  # noqa: E402
from voxaffect.preparation import Encoders, build_model, needs_of, prepare, together  # noqa: E402
from voxaffect.train import read_table  # noqa: E402

torch.set_num_threads(1)

BRANCHES = """
[model.spectrogram]
kind = "vit"
dim = 8
depth = 1
heads = 2
[model.speech]
checkpoint = "whisper"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a tiny Whisper, a tiny wav2vec2, and a recipe of all three branches."""
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips", clips=1)
    save_speech("whisper", folder / "whisper")
    save_speech("wav2vec2", folder / "wav2vec2")
    text = training_corpus.RECIPE.replace("window = 0.5\nhop = 0.25", "window = 0.0")
    (folder / "tiny.toml").write_text(text + BRANCHES, encoding="utf-8")
    return folder


def tiny(corpus: Path, *assignments: str) -> Recipe:
    return read_recipe(corpus / "tiny.toml", assignments)


def stores(recipes: Sequence[Recipe]) -> list[ExampleStore]:
    """The stores that `recipes`, which go together, get of one preparation."""
    encoders = Encoders()
    needs = [needs_of(recipe, encoders) for recipe in recipes]
    assert together(needs) == [list(range(len(recipes)))]
    return prepare(recipes, needs, read_table(recipes[0]), encoders, ArrayCache(None))


def same(first: Any, second: Any) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("window", ["0.0", "0.4"])
def test_a_shared_store_gives_each_recipe_the_items_of_its_own(corpus: Path, window: str) -> None:
    """Random masks too: they are drawn as if what others read had never been there."""
    base = [f"features={{window={window}, hop=0.2}}", "augmentation.frequency_mask=5"]
    recipes = [
        tiny(corpus, *base, *changes)
        for changes in (
            [],
            ["model.spectrogram=false"],
            ["model.speech=false"],
            ["model.speech={kind='waveform'}"],
        )
    ]
    shared = stores(recipes)
    assert len({id(store._judged) for store in shared}) == 1
    for recipe, store in zip(recipes, shared, strict=True):
        (own,) = stores([recipe])
        for index in range(len(own.table)):
            pairs = zip(store.judged(index), own.judged(index), strict=True)
            assert all(same(mine, other) for mine, other in pairs)
            for key in own.training_keys([index]):
                mine, other = (s.training_item(key, np.random.default_rng(7)) for s in (store, own))
                assert same(mine, other)


def test_what_hears_otherwise_is_prepared_apart(corpus: Path) -> None:
    changes = (
        [],
        ["model.mfcc.hidden=4"],  # reads the same
        ["features={window=0.4, hop=0.4}"],
        ["augmentation.gain=1.0"],
        ["model.speech.checkpoint=wav2vec2"],
        ["model.speech=false"],  # reads less of the first
        ["protocol.seeds=[2]"],  # other altered copies
        ["augmentation.time_mask=0"],
        ["augmentation.time_mask=0", "model.speech.stride=2"],
    )
    encoders = Encoders()
    needs = [needs_of(tiny(corpus, *change), encoders) for change in changes]
    assert together(needs) == [[0, 1, 5], [2], [3], [4], [6], [7], [8]]


@pytest.mark.parametrize("stride", [1, 2])
def test_masks_in_hops_do_not_go_with_a_stride(corpus: Path, stride: int) -> None:
    recipe = tiny(corpus, f"model.speech.stride={stride}", "augmentation.time_mask=9")
    if stride == 1:
        needs_of(recipe, Encoders())
        return
    with pytest.raises(UsageError, match=r"bad_value: augmentation.time_mask does not go with .*stride = 2"):
        needs_of(recipe, Encoders())


def test_what_a_model_reads_is_told_without_building_it(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect.model import CoAttention

    wanted = {}
    for changes in (
        [],
        ["model.spectrogram=false"],
        ["model.speech.frozen=false"],
        ["model.speech={kind='waveform'}"],
    ):
        recipe = tiny(corpus, *changes)
        model = build_model(recipe, Encoders())
        frozen = tuple(encoder.states_name for encoder in model.frozen_encoders)
        read = tuple(n for n in model.inputs if all(n not in e.inputs for e in model.frozen_encoders))
        wanted[recipe.digest] = (recipe, read, frozen)
    monkeypatch.setattr(CoAttention, "__init__", lambda *_, **__: pytest.fail("a model was built"))
    for recipe, read, frozen in wanted.values():
        needs = needs_of(recipe, Encoders())
        assert (needs.inputs, tuple(e.states_name for e in needs.frozen)) == (read, frozen)


def test_a_frozen_checkpoint_is_one_module_and_a_tuned_one_a_copy(corpus: Path) -> None:
    encoders = Encoders()
    options = SpeechOptions(str(corpus / "whisper"))
    frozen, again = encoders.get(options), encoders.get(options)
    tuned = encoders.get(SpeechOptions(str(corpus / "whisper"), frozen=False))
    last = encoders.get(SpeechOptions(str(corpus / "whisper"), tune_last=1))
    assert frozen.encoder is again.encoder
    assert frozen.mix is not again.mix
    assert frozen.digest == again.digest == tuned.digest == last.digest
    for own in (tuned, last):
        assert own.encoder is not frozen.encoder
        with torch.no_grad():
            for parameter in own.encoder.parameters():
                parameter.add_(1.0)
    assert encoders.get(SpeechOptions(str(corpus / "whisper"), frozen=False)).digest == frozen.digest
    assert not any(parameter.requires_grad for parameter in frozen.encoder.parameters())
    assert all(block.weight.requires_grad for block in last.blocks[-1].modules() if hasattr(block, "weight"))


def test_shared_encoders_come_home_to_the_cpu(corpus: Path) -> None:
    encoders = Encoders()
    encoder = encoders.get(SpeechOptions(str(corpus / "whisper")))
    calls: list[str] = []
    encoders._loaded = {("x",): type("Away", (), {"cpu": lambda self: calls.append("home")})()}
    encoders.come_home()
    assert calls == ["home"]
    assert next(encoder.parameters()).device.type == "cpu"


def test_a_missing_checkpoint_is_said_at_once(corpus: Path) -> None:
    with pytest.raises(ArtefactError, match=r"no speech encoder '\./nowhere'"):
        needs_of(tiny(corpus, "model.speech.checkpoint=./nowhere"), Encoders())
    with pytest.raises(UsageError, match="unknown model kind 'svm'"):
        needs_of(tiny(corpus, "model.kind=svm"), Encoders())

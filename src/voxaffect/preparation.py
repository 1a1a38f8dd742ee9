"""What all trainings of a run or a study share: features, the states of frozen encoders, the loaded checkpoints.

Recipes that hear the same audio the same way share one `ExampleStore`, of which each sees what its own model reads;
each checkpoint is read once. Which features a model reads is told by its options: no model is built for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from voxaffect.cache import ArrayCache
from voxaffect.errors import UsageError
from voxaffect.examples import ExampleStore
from voxaffect.feature_options import FeatureOptions
from voxaffect.recipe import Recipe
from voxaffect.table import UtteranceTable

if TYPE_CHECKING:
    from voxaffect.encoders import Cacheable
    from voxaffect.encoders.spectrogram import SpectrogramEncoder
    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
    from voxaffect.model import CoAttention, ModelOptions


@dataclass
class Encoders:
    """Pretrained encoders, each checkpoint that stays frozen loaded once, those of speech in any case.

    What stays frozen is one and the same module in every model; what is tuned is copied.
    """

    _loaded: dict[tuple[object, ...], SpeechEncoder] = field(default_factory=dict)
    _images: dict[object, SpectrogramEncoder] = field(default_factory=dict)

    def spectrogram(self, options: ModelOptions) -> SpectrogramEncoder | None:
        """The spectrogram encoder of a model, if it has one, raising what reading its weights does."""
        from voxaffect.model import open_spectrogram_encoder

        image = options.spectrogram
        if image is None or not image.frozen:
            return open_spectrogram_encoder(options)
        key = (image, options.wiring)
        if key not in self._images:
            encoder = open_spectrogram_encoder(options)
            assert encoder is not None
            self._images[key] = encoder.eval()
        return self._images[key]

    def get(self, options: SpeechOptions) -> SpeechEncoder:
        """A new encoder with the weights of its checkpoint, raising what `SpeechEncoder` does."""
        from voxaffect.encoders.speech import SpeechEncoder

        key = (options.checkpoint, options.normalise, options.offline)
        if key not in self._loaded:
            pristine = dataclasses.replace(options.untuned, mix="learned")
            self._loaded[key] = SpeechEncoder(pristine).eval()
        return SpeechEncoder(options, loaded=self._loaded[key])

    def come_home(self) -> None:
        """Bring what is shared back to the CPU, where states are computed: a model may have taken it to a GPU."""
        for encoder in (*self._loaded.values(), *self._images.values()):
            encoder.cpu()


@dataclass(frozen=True)
class Needs:
    """What a recipe's trainings are computed from: features, beside them frozen encoders' states, and the rest."""

    inputs: tuple[str, ...]
    frozen: tuple[Cacheable, ...]
    features: FeatureOptions
    others: tuple[object, ...]
    """Augmentation, surroundings, teacher and seed of the altered copies."""

    @property
    def heard(self) -> dict[str, str]:
        """All that decides the states of each frozen encoder, by the name of the states."""
        return {e.states_name: f"{e.states_key} stride={e.stride}" for e in self.frozen}


def needs_of(recipe: Recipe, encoders: Encoders) -> Needs:
    """What `recipe` needs; raises what reading its tables and its checkpoint does."""
    inputs, frozen = _model_inputs(recipe, encoders)
    others = (
        recipe.augmentation,
        recipe.surroundings,
        recipe.distillation,
        recipe.protocol.seeds[0],
        recipe.data.labels,
    )
    return Needs(inputs, frozen, FeatureOptions.from_dict(recipe.features), others)


def together(needs: Sequence[Needs]) -> list[list[int]]:
    """Which of `needs` one store can serve, as groups of positions: all but the inputs agree.

    One that lacks a frozen encoder joins any group that agrees otherwise, since it need not look at the states.
    """
    groups: list[list[int]] = []
    for position in sorted(range(len(needs)), key=lambda i: (-len(needs[i].frozen), i)):
        for group in groups:
            first, own = needs[group[0]], needs[position]
            agrees = (first.features, first.others) == (own.features, own.others)
            if agrees and own.heard.items() <= first.heard.items():
                group.append(position)
                break
        else:
            groups.append([position])
    return sorted(sorted(group) for group in groups)


def prepare(
    recipes: Sequence[Recipe],
    needs: Sequence[Needs],
    table: UtteranceTable,
    encoders: Encoders,
    cache: ArrayCache,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[ExampleStore]:
    """One store for each of `recipes`, whose `needs` go `together`; everything is computed once.

    `progress` wraps the loop over positions in `table`.
    """
    recipe = recipes[0]
    encoders.come_home()
    store = ExampleStore(
        table,
        recipe.data.labels,
        needs[0].features,
        tuple(dict.fromkeys(name for n in needs for name in n.inputs)),
        recipe.augmentation,
        max((n.frozen for n in needs), key=len),  # those of the others are among them
        cache,
        surroundings=recipe.surroundings,
        teacher=_teacher(recipe, encoders),
        teacher_layers=recipe.distillation.layers,
        seed=recipe.protocol.seeds[0],
    )
    store.prepare(progress)
    return [store.narrowed(n.inputs, n.frozen) for n in needs]


def model_options(recipe: Recipe) -> ModelOptions:
    """The options of the recipe's co-attention model.

    Raises:
        UsageError: `unknown_model` if it is of another kind, what `ModelOptions.from_dict` finds, `bad_value` if its
            wiring does not go with the recipe's features.
    """
    from voxaffect.model_options import ModelOptions, check_features

    table = located(recipe)
    table.pop("kind", None)
    if recipe.model_kind != "coattention":
        raise UsageError(
            "unknown_model",
            f"unknown model kind {recipe.model_kind!r}; expected one of ['coattention', 'probe']",
        )
    features = FeatureOptions.from_dict(recipe.features)
    options = ModelOptions.from_dict(
        {**table, "n_classes": len(recipe.data.labels)},
        wiring="published" if features.preset == "published" else "native",
    )
    check_features(options, features)
    stride = getattr(options.speech, "stride", 1)
    if stride > 1 and recipe.augmentation.time_mask:
        raise UsageError(
            "bad_value",
            f"augmentation.time_mask does not go with model.speech.stride = {stride}: it masks two hops a state",
        )
    return options


def build_model(recipe: Recipe, encoders: Encoders) -> CoAttention:
    """The co-attention model of the recipe, with random weights wherever no checkpoint is named."""
    from voxaffect.encoders.speech import SpeechOptions
    from voxaffect.model import CoAttention

    options = model_options(recipe)
    speech = encoders.get(options.speech) if isinstance(options.speech, SpeechOptions) else None
    return CoAttention(options, spectrogram_encoder=encoders.spectrogram(options), speech_encoder=speech)


def located(recipe: Recipe) -> dict[str, Any]:
    """The [model] table with checkpoints that are files or folders taken from the recipe's folder."""
    table = dict(recipe.model)
    for branch, key in (("spectrogram", "weights"), ("speech", "checkpoint")):
        settings = table.get(branch)
        if isinstance(settings, Mapping) and isinstance(settings.get(key), str):
            table[branch] = {**settings, key: local_checkpoint(recipe, settings[key])}
    return table


def local_checkpoint(recipe: Recipe, checkpoint: str) -> str:
    """`checkpoint` as a file or folder beside the recipe if there is one, else as the name that it is."""
    place = recipe.resolve(checkpoint)
    return str(place) if place.exists() else checkpoint


def _model_inputs(recipe: Recipe, encoders: Encoders) -> tuple[tuple[str, ...], tuple[Cacheable, ...]]:
    """The features that the model takes, and the encoders whose states are computed once."""
    from voxaffect.encoders.speech import SpeechOptions

    if recipe.model_kind == "probe":
        from voxaffect.probe import read_probe_options

        return (), (encoders.get(read_probe_options(located(recipe))[1]).eval(),)
    options = model_options(recipe)
    inputs: tuple[str, ...] = ()
    frozen: tuple[Cacheable, ...] = ()
    if options.spectrogram is not None and options.spectrogram.frozen:
        image = encoders.spectrogram(options)
        assert image is not None
        frozen += (image,)
    elif options.spectrogram is not None:
        inputs += ("spectrogram",)
    if options.mfcc is not None:
        inputs += ("mfcc",)
    if not isinstance(options.speech, SpeechOptions):
        return inputs + (() if options.speech is None else ("waveform",)), frozen
    still = options.speech.untuned  # which is no copy of the checkpoint
    speech = encoders.get(still).eval()
    return (inputs, (*frozen, speech)) if still == options.speech else (inputs + speech.inputs, frozen)


def _teacher(recipe: Recipe, encoders: Encoders) -> SpeechEncoder | None:
    if not recipe.distillation.checkpoint:
        return None
    from voxaffect.encoders.speech import SpeechOptions

    checkpoint = local_checkpoint(recipe, recipe.distillation.checkpoint)
    return encoders.get(SpeechOptions(checkpoint)).eval()

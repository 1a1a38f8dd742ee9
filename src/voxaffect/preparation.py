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
    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
    from voxaffect.model import CoAttention, ModelOptions


@dataclass
class Encoders:
    """Pretrained speech encoders, each checkpoint loaded once.

    What stays frozen is one and the same module in every model; what is tuned is copied.
    """

    _loaded: dict[tuple[object, ...], SpeechEncoder] = field(default_factory=dict)

    def get(self, options: SpeechOptions) -> SpeechEncoder:
        """A new encoder with the weights of its checkpoint, raising what `SpeechEncoder` does."""
        from voxaffect.encoders.speech import SpeechEncoder

        key = (options.checkpoint, options.normalise, options.offline)
        if key not in self._loaded:
            pristine = dataclasses.replace(options, frozen=True, tune_last=0, mix="learned")
            self._loaded[key] = SpeechEncoder(pristine).eval()
        return SpeechEncoder(options, loaded=self._loaded[key])


@dataclass(frozen=True)
class Needs:
    """What a recipe's trainings are computed from: features, beside them a frozen encoder's states, and the rest."""

    inputs: tuple[str, ...]
    frozen: SpeechOptions | None
    features: FeatureOptions
    others: tuple[object, ...]
    """Augmentation, teacher and seed of the altered copies."""

    @property
    def heard(self) -> tuple[object, ...]:
        """All that decides the states of the frozen encoder; () without one."""
        if self.frozen is None:
            return ()
        return (self.frozen.checkpoint, self.frozen.normalise, self.frozen.masked)


def needs_of(recipe: Recipe, encoders: Encoders) -> Needs:
    """What `recipe` needs; raises what reading its tables and its checkpoint does."""
    inputs, frozen = _model_inputs(recipe, encoders)
    others = (recipe.augmentation, recipe.distillation, recipe.protocol.seeds[0], recipe.data.labels)
    return Needs(inputs, frozen, FeatureOptions.from_dict(recipe.features), others)


def together(needs: Sequence[Needs]) -> list[list[int]]:
    """Which of `needs` one store can serve, as groups of positions: all but the inputs agree.

    One without a frozen encoder joins any group that agrees otherwise, since it need not look at the states.
    """
    groups: list[list[int]] = []
    for position in sorted(range(len(needs)), key=lambda i: (needs[i].frozen is None, i)):
        for group in groups:
            first, own = needs[group[0]], needs[position]
            if (first.features, first.others) == (own.features, own.others) and own.heard in (
                (),
                first.heard,
            ):
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
    frozen = next((n.frozen for n in needs if n.frozen is not None), None)
    store = ExampleStore(
        table,
        recipe.data.labels,
        needs[0].features,
        tuple(dict.fromkeys(name for n in needs for name in n.inputs)),
        recipe.augmentation,
        None if frozen is None else encoders.get(frozen).eval(),
        cache,
        teacher=_teacher(recipe, encoders),
        teacher_layers=recipe.distillation.layers,
        seed=recipe.protocol.seeds[0],
    )
    store.prepare(progress)
    return [
        store.narrowed(n.inputs, None if n.frozen is None else encoders.get(n.frozen).eval()) for n in needs
    ]


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
    return options


def build_model(recipe: Recipe, encoders: Encoders) -> CoAttention:
    """The co-attention model of the recipe, with random weights wherever no checkpoint is named."""
    from voxaffect.encoders.speech import SpeechOptions
    from voxaffect.model import CoAttention

    options = model_options(recipe)
    speech = encoders.get(options.speech) if isinstance(options.speech, SpeechOptions) else None
    return CoAttention(options, speech_encoder=speech)


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


def _model_inputs(recipe: Recipe, encoders: Encoders) -> tuple[tuple[str, ...], SpeechOptions | None]:
    """The features that the model takes, and the encoder whose states are computed once, if there is one."""
    from voxaffect.encoders.speech import SpeechOptions

    if recipe.model_kind == "probe":
        from voxaffect.probe import read_probe_options

        return (), read_probe_options(located(recipe))[1]
    options = model_options(recipe)
    inputs: tuple[str, ...] = ()
    if options.spectrogram is not None:
        inputs += ("spectrogram",)
    if options.mfcc is not None:
        inputs += ("mfcc",)
    if not isinstance(options.speech, SpeechOptions):
        return inputs + (() if options.speech is None else ("waveform",)), None
    encoder = encoders.get(options.speech)
    return (inputs, options.speech) if encoder.cacheable else (inputs + encoder.inputs, None)


def _teacher(recipe: Recipe, encoders: Encoders) -> SpeechEncoder | None:
    if not recipe.distillation.checkpoint:
        return None
    from voxaffect.encoders.speech import SpeechOptions

    checkpoint = local_checkpoint(recipe, recipe.distillation.checkpoint)
    return encoders.get(SpeechOptions(checkpoint)).eval()

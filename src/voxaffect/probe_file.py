"""A fitted probe in a folder: `model.safetensors` with its heads, `model.json` with what they are.

The encoder is not written. Its digest is, and the probe is loaded onto that very checkpoint or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voxaffect.adaptation import Gauge, Voice
from voxaffect.adapted_probe import AdaptedProbe
from voxaffect.encoders.speech import SpeechEncoder
from voxaffect.errors import ArtefactError
from voxaffect.probe import Choice, Probe
from voxaffect.weights import Weights

WEIGHTS = Weights("model", "voxaffect.probe/1")


def save_probe(model: Probe | AdaptedProbe, folder: Path) -> None:
    """Write `model` into `folder` (made if it is missing), each file whole or not at all."""
    state = {name: values for name, values in model.state_dict().items() if "speech." not in name}
    plain = model.plain if isinstance(model, AdaptedProbe) else model
    description: dict[str, Any] = {"checkpoint_digest": model.speech.digest, "plain": _describe(plain)}
    if isinstance(model, AdaptedProbe):
        description["adapted"] = {
            **_describe(model.centred),
            "unit": model.unit,
            "shrinkage": model.shrinkage,
            "gauge": model.gauge.to_dict(),
        }
    WEIGHTS.write(folder, state, description)


def load_probe(folder: Path, speech: SpeechEncoder) -> Probe | AdaptedProbe:
    """What `save_probe` wrote into `folder`, on `speech`, in evaluation mode.

    Raises:
        ArtefactError: `model_damaged`: it is not what was written; `other_checkpoint`: it was fitted on another encoder
            than `speech`; and what `Weights.read` does.
    """
    description, state = WEIGHTS.read(folder)
    try:
        digest = description["checkpoint_digest"]
        model = _build(description, speech)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            "model_damaged", f"the probe in {folder} cannot be read: {error}", where=str(folder)
        ) from error
    if digest != speech.digest:
        raise ArtefactError(
            "other_checkpoint",
            f"the probe in {folder} was fitted on the encoder {digest[:12]}, not on {speech.digest[:12]}",
            hint="restore the checkpoint that the recipe names",
            where=str(folder),
        )
    model.load_state_dict(state, strict=False)  # the encoder has its own weights
    return model.eval()


def _describe(probe: Probe) -> dict[str, Any]:
    choice = probe.choice
    return {
        "layers": list(choice.layers),
        "statistics": choice.statistics,
        "kernel": choice.kernel,
        "penalty": choice.penalty,
        "rbf_scale": probe.rbf_scale,
        "anchors": len(probe.anchors),
        "classes": len(probe.offset),
    }


def _build(description: dict[str, Any], speech: SpeechEncoder) -> Probe | AdaptedProbe:
    plain = _probe(description["plain"], speech)
    if "adapted" not in description:
        return plain
    adapted = description["adapted"]
    centred = _probe(adapted, speech)
    n_classes, n_features = len(centred.offset), len(centred.mean)
    voice = Voice.empty(n_classes, n_features, float(adapted["shrinkage"]))
    return AdaptedProbe(
        plain, centred, voice, Gauge.from_dict(adapted["gauge"], n_classes), str(adapted["unit"])
    )


def _probe(table: dict[str, Any], speech: SpeechEncoder) -> Probe:
    choice = Choice(tuple(table["layers"]), table["statistics"], table["kernel"], float(table["penalty"]))
    return Probe(speech, choice, float(table["rbf_scale"]), int(table["anchors"]), int(table["classes"]))

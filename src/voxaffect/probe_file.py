"""A fitted probe in a folder: `model.safetensors` with its heads, `model.json` with what they are.

The encoder is not written. Its digest is, and the probe is loaded onto that very checkpoint or not at all.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from voxaffect.adaptation import Gauge, Voice
from voxaffect.adapted_probe import AdaptedProbe
from voxaffect.encoders.speech import SpeechEncoder
from voxaffect.errors import ArtefactError
from voxaffect.files import write_bytes
from voxaffect.probe import Choice, Probe

SCHEMA = "voxaffect.probe/1"
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def save_probe(model: Probe | AdaptedProbe, folder: Path) -> None:
    """Write `model` into `folder` (made if it is missing), each file whole or not at all."""
    from safetensors.torch import save

    state = model.state_dict()
    weights = save({name: state[name].contiguous() for name in state if "speech." not in name})
    plain = model.plain if isinstance(model, AdaptedProbe) else model
    description: dict[str, Any] = {
        "schema": SCHEMA,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "checkpoint_digest": model.speech.digest,
        "plain": _describe(plain),
    }
    if isinstance(model, AdaptedProbe):
        description["adapted"] = {
            **_describe(model.centred),
            "unit": model.unit,
            "shrinkage": model.shrinkage,
            "gauge": model.gauge.to_dict(),
        }
    write_bytes(folder / WEIGHTS, weights)
    write_bytes(folder / DESCRIPTION, (json.dumps(description, indent=1) + "\n").encode())


def load_probe(folder: Path, speech: SpeechEncoder) -> Probe | AdaptedProbe:
    """What `save_probe` wrote into `folder`, on `speech`, in evaluation mode.

    Raises:
        ArtefactError: `model_damaged`: a file is missing or not what was written; `other_checkpoint`: it was fitted
            on another encoder than `speech`.
    """
    from safetensors.torch import load

    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
        if description["schema"] != SCHEMA or hashlib.sha256(data).hexdigest() != description["sha256"]:
            raise ValueError(f"{WEIGHTS} is not what {DESCRIPTION} of schema {SCHEMA} names")
        digest = description["checkpoint_digest"]
        model = _build(description, speech)
    except (OSError, ValueError, KeyError, TypeError) as error:
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
    model.load_state_dict(load(data), strict=False)  # the encoder has its own weights
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

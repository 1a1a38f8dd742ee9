"""Pretrained encoders by name: which weights are known, and where on this machine they are looked for.

A name is a path, an `ORG/NAME` of the Hugging Face hub, or one of FILES. Names are looked for in the folders of
`VOXAFFECT_MODELS`, then in the caches that their own libraries keep, then on the network, unless that is forbidden.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxaffect.errors import ArtefactError

FOLDER_VARIABLE = "VOXAFFECT_MODELS"
"""Names folders with models and encoder weights, as PATH names those with programs."""
OFFLINE_VARIABLES = ("VOXAFFECT_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables that forbid the network when they are set to anything but 0."""


@dataclass(frozen=True)
class WeightsFile:
    """Weights that are one file: what they are, where it can be had, and how it is known to be the right one."""

    title: str
    url: str
    sha256: str
    n_bytes: int
    licence: str

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.rsplit("/", 1)[1]


ALEXNET = "alexnet-owt-7be5be79"
VIT = "google/vit-base-patch16-224"
WAV2VEC2 = "facebook/wav2vec2-base-960h"

FILES: Mapping[str, WeightsFile] = {
    ALEXNET: WeightsFile(
        title="AlexNet, ImageNet, of torchvision",
        url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        n_bytes=244_408_911,
        licence="BSD-3-Clause",
    )
}
"""What is no repository of the hub, by name."""


def is_offline() -> bool:
    """Whether a variable of the environment forbids the network."""
    return any(os.environ.get(variable, "0") not in ("", "0") for variable in OFFLINE_VARIABLES)


def is_path(name: str) -> bool:
    """Whether `name` is a place on this machine rather than an `ORG/NAME` of the hub."""
    path = Path(name).expanduser()
    return path.exists() or path.is_absolute() or name.startswith(".") or name.count("/") != 1


def own_folders() -> list[Path]:
    """The folders of `VOXAFFECT_MODELS`."""
    return [Path(part) for part in os.environ.get(FOLDER_VARIABLE, "").split(os.pathsep) if part]


def find_folder(name: str) -> tuple[str | None, list[str]]:
    """A folder with the checkpoint `name`, if one is here, and the places where it was looked for.

    A path is itself the folder; an `ORG/NAME` may lie as NAME in an own folder.
    """
    if is_path(name):
        places = [Path(name).expanduser()]
    else:
        places = [Path(name), *(folder / name.rsplit("/", 1)[1] for folder in own_folders())]
    found = next((str(place) for place in places if (place / "config.json").is_file()), None)
    return found, [str(place) for place in places]


def find_file(name: str, cache: Path) -> Path:
    """The weights file `name`: a path, or one of FILES in an own folder or in `cache`, downloaded there if need be.

    Raises:
        ArtefactError: `model_missing`, naming the places; `model_damaged` if a known file is not what it should be;
            `download_failed`, `download_incomplete`, `wrong_size`, `wrong_checksum`.
        ResourceError: `disk_full`, `cannot_write`.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = FILES.get(name)
    if known is None:
        raise missing("weights file", name, [str(path)], " or ".join(FILES))
    places = [folder / known.filename for folder in [*own_folders(), cache]]
    for place in places:
        if place.is_file():
            check_file(place, known)
            return place
    if is_offline():
        raise missing("weights file", name, [str(path), *map(str, places)])
    from voxaffect.download import download_file

    return download_file(known, cache)


def check_file(path: Path, known: WeightsFile) -> None:
    """Raise ArtefactError `model_damaged` unless the file has the digest of the known one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != known.sha256:
        raise ArtefactError(
            "model_damaged",
            f"{path} has sha256 {found}; {known.filename} has {known.sha256}",
            hint="delete it and download it again",
            where=str(path),
        )


def missing(what: str, name: str, places: Sequence[str], usual: str | None = None) -> ArtefactError:
    """The error for weights that are not here: where they were looked for, and how to get them, or the `usual` ones."""
    return ArtefactError(
        "model_missing",
        f"looked in {', '.join(places)}: no {what} {name!r}",
        hint=f"on a connected machine: voxaffect models download {usual or name} -o DIR",
    )

"""Trained weights in a folder: a safetensors file, and beside it JSON that says what they are and vouches for them.

The JSON names its schema and the SHA-256 of the weights; nothing else is read before both are right.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from voxaffect.errors import ArtefactError
from voxaffect.files import write_bytes


@dataclass(frozen=True)
class Weights:
    """The two files NAME.safetensors and NAME.json of a folder, of one `schema`."""

    name: str
    schema: str

    @property
    def description_file(self) -> str:
        """The name of the JSON file."""
        return f"{self.name}.json"

    @property
    def file(self) -> str:
        """The name of the safetensors file."""
        return f"{self.name}.safetensors"

    def write(self, folder: Path, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
        """Write `state` and `description` into `folder` (made if it is missing), each file whole or not at all."""
        from safetensors.torch import save

        data = save({name: values.detach().cpu().contiguous() for name, values in state.items()})
        told = {"schema": self.schema, "sha256": hashlib.sha256(data).hexdigest(), **description}
        write_bytes(folder / self.file, data)
        write_bytes(folder / self.description_file, (json.dumps(told, indent=1) + "\n").encode())

    def read(self, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The description and the weights in `folder`.

        Raises:
            ArtefactError: a file is not there (`model_missing`), is not what was written (`model_damaged`) or is of
                another schema (`model_schema`).
        """
        from safetensors.torch import load

        told = folder / self.description_file
        try:
            description = json.loads(told.read_text(encoding="utf-8"))
            data = (folder / self.file).read_bytes()
        except FileNotFoundError as error:
            raise ArtefactError(
                "model_missing", f"looked in {folder}: no {Path(error.filename).name}"
            ) from None
        except ValueError as error:
            raise ArtefactError("model_damaged", f"{told} is no JSON: {error}") from None
        given = description.get("schema") if isinstance(description, dict) else None
        if given != self.schema:
            raise ArtefactError("model_schema", f"{folder} has schema {given!r}; expected {self.schema!r}")
        found = hashlib.sha256(data).hexdigest()
        if found != description.get("sha256"):
            raise ArtefactError(
                "model_damaged",
                f"{folder / self.file} has sha256 {found}; expected {description.get('sha256')}",
            )
        return description, load(data)

"""Where `predict --plot` draws: one file for one recording, or a folder with a picture of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from voxaffect.errors import AudioError, UsageError, require
from voxaffect.files import cannot_write
from voxaffect.inputs import InputFile
from voxaffect.outputs import output_folder, output_names

if TYPE_CHECKING:
    from voxaffect.result import Result


@dataclass(frozen=True)
class Pictures:
    """The picture of each input, by the path of the input; of none where no pictures are wanted."""

    paths: Mapping[str, Path] = field(default_factory=dict)
    in_folder: bool = False

    def existing(self) -> list[Path]:
        """Which of the pictures in a folder are there; the one that was named itself may be drawn over."""
        return list(filter(os.path.exists, self.paths.values())) if self.in_folder else []

    def done(self, file: InputFile) -> bool:
        """Whether the picture of `file` is there, or none is wanted."""
        return file.path not in self.paths or os.path.exists(self.paths[file.path])  # noqa: PTH110

    def draw(self, file: InputFile, result: Result, start: float) -> None:
        """Draw the answer about `file`, without its waveform where that can no longer be read.

        Raises ResourceError `disk_full` or `cannot_write`.
        """
        from voxaffect import timeline_figure

        path = self.paths[file.path]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(error, path) from error
        try:
            timeline_figure.plot(result, path, start=start)
        except AudioError:
            timeline_figure.plot(replace(result, path=None), path, start=start)


def plan_pictures(place: str | None, files: Sequence[InputFile]) -> Pictures:
    """A picture for each of `files`: `place` itself if it is called like a picture, else a PNG in the folder `place`.

    Raises UsageError `one_picture` for one file and several inputs, `not_a_folder`, `missing_dependency` without
    matplotlib.
    """
    if place is None:
        return Pictures()
    require("matplotlib", "plot")
    from voxaffect.plots import FORMATS  # with numpy, which only those who draw wait for

    if Path(place).suffix.lower() not in FORMATS or os.path.isdir(place):  # noqa: PTH112  (Path may raise)
        folder = output_folder("--plot", place)
        names = output_names(files, [".png"])
        pairs = zip(files, names, strict=True)
        return Pictures({file.path: folder / name for file, (name,) in ((f, n) for f, n in pairs if n)}, True)
    if len(files) > 1:
        raise UsageError(
            "one_picture",
            f"{place} is one picture; there are {len(files)} recordings",
            hint="name a folder, as in --plot pictures/",
        )
    return Pictures({file.path: Path(place) for file in files if file.error is None})

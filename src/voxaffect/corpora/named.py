"""Corpora whose file names tell everything: the clips of a release anywhere below a folder, each once."""

from __future__ import annotations

from pathlib import Path

from voxaffect.corpora.files import audio_files, folder, name_of, one_of_each
from voxaffect.corpora.info import CorpusInfo


def clips(info: CorpusInfo, root: Path) -> list[Path]:
    """The audio files anywhere in `root` that have a name of the corpus `info`, one of each name.

    Raises:
        CorpusError: `no_such_folder`.
    """
    return one_of_each(path for path in audio_files(folder(root)) if info.matches(name_of(path)))


def second_copy(info: CorpusInfo, path: Path) -> str | None:
    """`a second copy of a clip` for a file that has a name of the corpus `info`, else None."""
    return "a second copy of a clip" if info.matches(name_of(path)) else None

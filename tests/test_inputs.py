"""What is named on the command line becomes a list of files; nothing is lost without a word."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxaffect.inputs import find_inputs


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_gives_the_audio_files_below_it_sorted(tmp_path: Path) -> None:
    touch(
        *(
            tmp_path / name
            for name in ("b.wav", "a.MP3", "sub/c.flac", "notes.txt", ".hidden.wav", ".git/d.wav")
        )
    )
    found = find_inputs([str(tmp_path)])
    assert [Path(f.path).relative_to(tmp_path).as_posix() for f in found.files] == [
        "a.MP3",
        "b.wav",
        "sub/c.flac",
    ]
    assert [f.relative for f in found.files] == ["a.MP3", "b.wav", str(Path("sub/c.flac"))]
    assert found.n_passed_over == 1


def test_a_pattern_gives_what_matches_and_a_file_of_that_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    touch(*(Path(name) for name in ("a1.wav", "a2.wav", "sub/a3.wav", "a[1].wav")))
    assert [f.path for f in find_inputs(["a?.wav"]).files] == ["a1.wav", "a2.wav"]
    assert [f.path for f in find_inputs(["a[1].wav"]).files] == ["a[1].wav"]
    assert Path("sub/a3.wav") in [Path(f.path) for f in find_inputs(["**/*.wav"]).files]


def test_a_file_that_is_named_is_tried_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path / "speech.dat")
    (file,) = find_inputs([str(tmp_path / "speech.dat")]).files
    assert (file.relative, file.error) == ("speech.dat", None)


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    touch(Path("a.wav"))
    found = find_inputs(["a.wav", ".", "./a.wav", "*.wav", "-", "-"])
    assert [f.path for f in found.files] == ["a.wav", "-"]
    assert found.n_repeated == 4


def test_what_cannot_be_found_is_an_input_with_an_error(tmp_path: Path) -> None:
    touch(tmp_path / "sub" / "notes.txt")
    found = find_inputs([str(tmp_path / "*.wav"), str(tmp_path), "gone.wav", "https://example.org/a?.wav"])
    errors = [str(f.error) for f in found.files if f.error]
    assert errors == [
        f"not_found: nothing matches {tmp_path}/*.wav",
        f"no_audio_files: {tmp_path} holds no audio files (1 others); "
        "a file that is named itself is tried whatever it is called",
    ]
    assert [f.path for f in found.files if not f.error] == ["gone.wav", "https://example.org/a?.wav"]


def test_a_name_that_the_system_will_not_look_up_is_left_to_be_opened() -> None:
    name = (
        "x" * 300 + ".wav"
    )  # no file can be called so; Path.is_dir raises, and so it does in a closed folder
    (file,) = find_inputs([name]).files
    assert (file.path, file.error) == (name, None)


def test_links_to_folders_are_not_followed_round_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert len(find_inputs([str(tmp_path)]).files) == 1


def test_a_folder_that_cannot_be_listed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "a.wav", tmp_path / "closed" / "b.wav")
    listing = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list anything
    good, bad = find_inputs([str(tmp_path)]).files
    assert good.path == str(tmp_path / "a.wav")
    assert str(bad.error) == f"permission: {tmp_path / 'closed'} cannot be listed (Permission denied)"

"""A file is the old one or the new one, whatever happens in between, and nothing half-written stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from voxaffect.errors import ExitCode, ResourceError
from voxaffect.files import atomic_file, write_bytes, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_there_in_folders_that_were_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "müde\n")
    write_json(tmp_path / "a" / "c.json", {"label": "müde"})
    assert (tmp_path / "a" / "b.txt").read_bytes() == "müde\n".encode()
    assert (tmp_path / "a" / "c.json").read_text(encoding="utf-8") == '{\n  "label": "müde"\n}\n'
    assert names(tmp_path / "a") == ["b.txt", "c.json"]


def test_the_line_ends_of_a_text_are_kept(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a.csv", text=True) as file:
        file.write("a\r\nb\n")
    assert (tmp_path / "a.csv").read_bytes() == b"a\r\nb\n"


@pytest.mark.skipif(not hasattr(os, "umask"), reason="needs a umask")
def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_the_longest_name_that_a_disk_takes_can_be_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("x" * 255), b"x")
    assert names(tmp_path) == ["x" * 255]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk_full: no space left for the output; make room and run it again"),
        (errno.EDQUOT, "disk_full: no space left for the output; make room and run it again"),
        (errno.EIO, f"cannot_write: the output cannot be written ({os.strerror(errno.EIO)})"),
    ],
)
@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_disk_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, moment: str
) -> None:
    path = tmp_path / "a.json"
    write_text(path, "before")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if moment != "write":
        monkeypatch.setattr(os, moment, fail)
    with pytest.raises(ResourceError) as caught, atomic_file(path) as file:
        file.write(b"half")
        if moment == "write":
            fail()
    assert str(caught.value) == said
    assert (caught.value.exit_code, caught.value.where) == (ExitCode.RESOURCE, str(path))
    assert names(tmp_path) == ["a.json"]
    assert path.read_text() == "before"


def test_work_that_fails_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "a", text=True) as file:
        file.write(str(1 / 0))
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResourceError, match=r"cannot_write: .* cannot be written \(Not a directory\)"):
            write_bytes(folder / "a", b"x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("text", [True, False])
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path, text: bool) -> None:
    path = tmp_path / "full"
    path.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match="disk_full") as caught, atomic_file(path, text=text) as file:
        file.write("x" if text else b"x")
    assert (caught.value.exit_code, caught.value.where) == (ExitCode.RESOURCE, str(path))
    assert path.is_char_device()
    assert names(tmp_path) == ["full"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_pipe_with_a_name_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(path, "heard\n")
        assert os.read(reader, 100) == b"heard\n"
    finally:
        os.close(reader)
    assert path.is_fifo()
    assert names(tmp_path) == ["pipe"]

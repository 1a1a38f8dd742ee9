"""Archives of strangers: what is unpacked, what is refused, and that nothing ever lands outside the folder."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from voxaffect.corpora.archive import Limits, extract, kind
from voxaffect.errors import CorpusError, ResourceError

FILES = {"Actor_01/a.wav": b"one" * 1000, "Actor_01/b.wav": b"", "read me.txt": b"x"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def tarred_member(path: Path, member: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a.wav"), io.BytesIO())
        archive.addfile(member)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, folder: Path, limits: Limits | None = None) -> CorpusError:
    """The error of unpacking `archive`; nothing but it and `folder` may be beside it afterwards."""
    with pytest.raises(CorpusError) as caught:
        extract(archive, folder, limits=limits)
    assert {p.name for p in archive.parent.iterdir()} <= {archive.name, folder.name}
    return caught.value


ARCHIVES: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "x.zip": zipped,
    "x.tar": lambda path, files: tarred(path, files, "w"),
    "x.tar.gz": lambda path, files: tarred(path, files, "w:gz"),
    "x.tar.bz2": lambda path, files: tarred(path, files, "w:bz2"),
    "x.tar.xz": lambda path, files: tarred(path, files, "w:xz"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_kind_gives_back_its_files(name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[name](tmp_path / name, FILES)
    assert extract(archive, tmp_path / "out") == len(FILES)
    assert contents(tmp_path / "out") == FILES


def test_folders_of_their_own_are_made(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.mkdir("empty")
        archive.writestr("empty/a", b"1")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        folder = tarfile.TarInfo("./deep/er/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    assert extract(tmp_path / "x.zip", tmp_path / "zip") == 1
    assert extract(tmp_path / "x.tar", tmp_path / "tar") == 0
    assert (tmp_path / "zip" / "empty" / "a").read_bytes() == b"1"
    assert (tmp_path / "tar" / "deep" / "er").is_dir()


def test_progress_counts_entries_and_knows_the_total_of_a_zip(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    note = lambda done, total: seen.append((done, total))  # noqa: E731
    extract(zipped(tmp_path / "x.zip", FILES), tmp_path / "zip", progress=note)
    extract(tarred(tmp_path / "x.tar", FILES), tmp_path / "tar", progress=note)
    assert seen == [(1, 3), (2, 3), (3, 3), (1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize("make", [zipped, tarred])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "leads out of the folder"),
        ("a/../../evil", "leads out of the folder"),
        ("..\\evil", "leads out of the folder"),
        ("/evil", "leads out of the folder"),
        ("\\evil", "leads out of the folder"),
        ("C:evil", "leads out of the folder"),
        ("C:\\evil", "leads out of the folder"),
        ("a\nb", "is no name of a file"),
        ("./.", "is no name of a file"),
        ("x" * 256, "has a part of more than 255 bytes"),
        ("\u00e4" * 128, "has a part of more than 255 bytes"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(
    make: Callable[[Path, dict[str, bytes]], Path], name: str, why: str, tmp_path: Path
) -> None:
    error = refused(make(tmp_path / "x.arc", {"good": b"1", name: b"2"}), tmp_path / "out")
    assert error.code == "archive_unsafe"
    assert error.message == f"x.arc holds {name!r}, which {why}"
    assert contents(tmp_path / "out") == {"good": b"1"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.wav", "a.wav"),
        ("a.wav", "A.WAV"),
        ("a.wav", "./a.wav"),
        ("gr\u00fcn", "gru\u0308n"),
        ("a", "a/b"),
        ("a/b", "a"),
    ],
)
def test_two_files_of_one_name_are_refused(first: str, second: str, tmp_path: Path) -> None:
    error = refused(tarred_twice(tmp_path / "x.tar", first, second), tmp_path / "out")
    assert error.code == "archive_unsafe"
    assert "which stands twice (upper and lower case count as the same)" in error.message


def tarred_twice(path: Path, first: str, second: str) -> Path:
    with tarfile.open(path, "w") as archive:
        for name in (first, second):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


@pytest.mark.parametrize(
    ("kind_of_member", "words"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (tarfile.GNUTYPE_SPARSE, "a sparse file"),
        (b"Z", "no plain file"),
    ],
)
def test_links_devices_and_pipes_in_a_tar_are_refused(
    kind_of_member: bytes, words: str, tmp_path: Path
) -> None:
    member = tarfile.TarInfo("b.wav")
    member.type, member.linkname = kind_of_member, "/etc/passwd"
    error = refused(tarred_member(tmp_path / "x.tar", member), tmp_path / "out")
    assert error.code == "archive_unsafe"
    assert error.message == f"x.tar holds 'b.wav', which is {words}"


def test_a_size_below_nothing_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("b.wav")
    member.size = -5
    error = refused(tarred_member(tmp_path / "x.tar", member), tmp_path / "out")
    assert error.message == "x.tar holds 'b.wav', which is of less than no size"


@pytest.mark.parametrize(
    ("mode", "words"), [(stat.S_IFLNK, "a symbolic link"), (stat.S_IFIFO, "no plain file")]
)
def test_links_and_pipes_in_a_zip_are_refused(mode: int, words: str, tmp_path: Path) -> None:
    info = zipfile.ZipInfo("b.wav")
    info.external_attr = (mode | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    error = refused(tmp_path / "x.zip", tmp_path / "out")
    assert error.message == f"x.zip holds 'b.wav', which is {words}"


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a.wav": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(data)
    assert refused(path, tmp_path / "out").message == "x.zip holds 'a.wav', which is encrypted"


@pytest.mark.parametrize("make", [zipped, tarred])
def test_more_files_than_the_limit_are_refused(
    make: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    archive = make(tmp_path / "x.arc", {str(i): b"" for i in range(4)})
    error = refused(archive, tmp_path / "out", Limits(max_files=3))
    assert error.code == "archive_too_large"
    assert error.message == "x.arc holds more than 3 files, which is the limit"
    assert extract(archive, tmp_path / "more", limits=Limits(max_files=4)) == 4


def zip64_end(n_entries: int) -> bytes:
    """The beginning and the end of a zip with more entries than two bytes can count (APPNOTE 4.3.14 to 4.3.16)."""
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, n_entries, n_entries, 0, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, 0, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0)
    return b"PK\3\4" + record + locator + end


@pytest.mark.parametrize("n_files", [4, 1_000_000])
def test_a_zip_of_too_many_files_is_refused_by_its_end_alone(
    n_files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "x.zip"
    if n_files < 0xFFFF:
        zipped(archive, {str(i): b"" for i in range(n_files)})
    else:
        archive.write_bytes(zip64_end(n_files))
    monkeypatch.setattr(zipfile, "ZipFile", None)  # nobody reads the list
    error = refused(archive, tmp_path / "out", Limits(max_files=n_files - 1))
    assert error.message == f"x.zip holds more than {n_files - 1} files, which is the limit"


def test_a_zip_that_claims_fewer_files_than_it_lists_is_refused_all_the_same(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "x.zip", {str(i): b"" for i in range(4)})
    data = bytearray(archive.read_bytes())
    end = data.index(b"PK\x05\x06")
    data[end + 8 : end + 12] = bytes((1, 0, 1, 0))
    archive.write_bytes(data)
    assert refused(archive, tmp_path / "out", Limits(max_files=3)).code == "archive_too_large"


@pytest.mark.parametrize("name", ARCHIVES)
def test_more_bytes_than_the_limit_are_refused_before_they_are_written(name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[name](tmp_path / name, {"a": b"x" * 30_000, "b": b"y" * 30_000})
    error = refused(archive, tmp_path / "out", Limits(max_bytes=50_000))
    assert error.code == "archive_too_large"
    assert error.message == f"{name} unpacks to more than 50000 bytes, which is the limit"
    assert sum(len(data) for data in contents(tmp_path / "out").values()) <= 50_000


@pytest.mark.parametrize("name", [name for name in ARCHIVES if name != "x.tar"])
def test_a_bomb_is_refused_by_its_ratio(name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[name](tmp_path / name, {"a": bytes(1_000_000)})
    packed = archive.stat().st_size
    error = refused(archive, tmp_path / "out", Limits(free_bytes=1000))
    assert error.message == f"{name} unpacks to more than 100 times its {packed} bytes, which is the limit"
    assert extract(archive, tmp_path / "free") == 1  # so small that it may be silence


def test_a_header_that_swells_is_refused_too(tmp_path: Path) -> None:
    """A tar may hold a name of any length, which readers take into memory before they look at it."""
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("a" * 2_000_000), io.BytesIO())
    error = refused(tmp_path / "x.tar.gz", tmp_path / "out", Limits(free_bytes=1000))
    assert error.code == "archive_too_large"


def test_a_zip_that_understates_its_size_gives_no_more_than_it_states(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"a": b"x" * 30_000})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    path.write_bytes(data)
    assert refused(path, tmp_path / "out").code == "archive_damaged"


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_cut_or_scrambled_archive_is_damaged(name: str, tmp_path: Path) -> None:
    archive = ARCHIVES[name](tmp_path / name, {"a": bytes(range(256)) * 400})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    error = refused(archive, tmp_path / "cut")
    assert error.code == "archive_damaged" and error.message.startswith(f"{name} is damaged (")
    if name == "x.tar":  # has no checksum of its contents
        return
    scrambled = bytearray(whole)
    middle = len(whole) // 2
    scrambled[middle : middle + 16] = bytes(b ^ 0xFF for b in scrambled[middle : middle + 16])
    archive.write_bytes(scrambled)
    with pytest.raises(CorpusError, match="archive_damaged: "):
        extract(archive, tmp_path / "scrambled")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"<html>404</html>")
    error = refused(path, tmp_path / "out")
    assert (error.code, error.message) == ("archive_unknown", "x.zip is neither zip nor tar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_kind_is_told_by_its_first_bytes(name: str, tmp_path: Path) -> None:
    words = {"x.zip": "zip", "x.tar": "tar", "x.tar.gz": "gzip", "x.tar.bz2": "bzip2", "x.tar.xz": "xz"}
    head = ARCHIVES[name](tmp_path / name, FILES).read_bytes()[:512]
    assert kind(head) == words[name]
    assert kind(b"") is None and kind(b"RIFF" + bytes(600)) is None


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "x.zip", FILES)

    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(ResourceError, match=r"disk: cannot unpack x\.zip: No space left on device"):
        extract(archive, tmp_path / "out")


def test_the_limits_are_those_that_the_documents_name() -> None:
    assert Limits() == Limits(max_files=100_000, max_bytes=64 * 2**30, max_ratio=100, free_bytes=64 * 2**20)

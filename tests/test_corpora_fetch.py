"""Fetching a corpus, from a server on this machine that can do everything wrong."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from corpus_trees import write_audio
from voxaffect import corpora
from voxaffect.cli import main
from voxaffect.corpora import fetch as fetching
from voxaffect.corpora import ravdess
from voxaffect.corpora.archive import Limits
from voxaffect.corpora.check import check
from voxaffect.corpora.fetch import fetch
from voxaffect.corpora.info import CorpusInfo, Download
from voxaffect.errors import CorpusError, ExitCode, ResourceError, UsageError


class Server(HTTPServer):
    """Serves `files` by path; `ways` says what it does wrong with each request in turn, the last for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ways: list[str] = ["right"]
        self.requests: list[dict[str, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One answer, right or wrong in the way that the server says."""

    server: Server

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server = self.server
        way = server.ways.pop(0) if len(server.ways) > 1 else server.ways[0]
        asked = self.headers.get("Range")
        server.requests.append({"way": way, "path": self.path, "range": asked or ""})
        data = server.files.get(self.path)
        if data is None or way == "404":
            self.send_error(404)
            return
        if way == "html":
            self._answer(200, b"\xef\xbb\xbf\n<!DOCTYPE html><title>Log in</title>", {})
        elif way == "text":
            self._answer(200, b"moved", {})
        elif way.startswith("redirect "):
            self._answer(302, b"", {"Location": way.removeprefix("redirect ")})
        elif way == "longer":
            self._answer(200, data + b"x", {}, length=False)
        elif asked and way not in ("no ranges", "cut, no ranges"):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            if way == "416" or begin >= len(data):
                self._answer(416, b"", {})
                return
            end, total = len(data) - 1, str(len(data))
            headers = {"Content-Range": f"bytes {begin}-{end}/{total}"}
            if way == "another part":
                headers = {"Content-Range": f"bytes {begin + 1}-{end}/{total}"}
            if way == "unsaid part":
                headers = {}
            if way == "unsaid total":
                headers = {"Content-Range": f"bytes {begin}-{end}/*"}
            self._answer(206, data[begin:], headers, cut=way == "cut")
        else:
            self._answer(200, data, {}, cut=way.startswith("cut"))

    def _answer(
        self, code: int, data: bytes, headers: dict[str, str], *, cut: bool = False, length: bool = True
    ) -> None:
        self.send_response(code)
        if length:
            self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(fetching.OFFLINE_VARIABLE, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def packed(folder: Path) -> bytes:
    """A zip of everything below `folder`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*.wav")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


@pytest.fixture
def zipped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("release")
    for stem in ("03-01-05-02-02-01-01", "03-01-08-01-01-02-24"):
        write_audio(folder / f"Actor_{stem[-2:]}" / f"{stem}.wav", sample_rate=48_000)
    return packed(folder)


def offer(
    server: Server, monkeypatch: pytest.MonkeyPatch, data: bytes, name: str = "speech.zip", **changes: Any
) -> CorpusInfo:
    """Make RAVDESS consist of the archive `data` on `server`."""
    server.files[f"/{name}"] = data
    item = Download(f"{server.address}/{name}", len(data), f"md5:{hashlib.md5(data).hexdigest()}")
    info = replace(ravdess.INFO, downloads=(replace(item, **changes),))
    monkeypatch.setattr(ravdess, "INFO", info)
    return info


def left_over(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# --- what goes well


def test_a_corpus_is_there_whole_and_sound(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    target = fetch("ravdess", tmp_path / "data", accept_licence=True)
    assert target == tmp_path / "data" / "ravdess"
    assert check("ravdess", target).sound()
    assert corpora.read("ravdess", target).speakers == ("ravdess/01", "ravdess/24")
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["ravdess"]
    assert server.requests == [{"way": "right", "path": "/speech.zip", "range": ""}]


def test_sha256_and_a_redirect_serve_as_well(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped, checksum=f"sha256:{hashlib.sha256(zipped).hexdigest()}")
    server.files["/elsewhere"] = zipped
    server.ways = [f"redirect {server.address}/elsewhere", "right"]
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()
    assert [r["path"] for r in server.requests] == ["/speech.zip", "/elsewhere"]


def test_archives_inside_the_archive_are_unpacked_where_they_lie(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, outer = io.BytesIO(), io.BytesIO()
    for buffer, mode, files in (
        (inner, "w:gz", {"train_splits/dia0_utt0.mp4": b"clip"}),
        (outer, "w:gz", {"MELD.Raw/dev_sent_emo.csv": b"table", "MELD.Raw/train.tar.gz": inner}),
    ):
        with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
            for name, data in files.items():  # type: ignore[attr-defined]
                content = data.getvalue() if isinstance(data, io.BytesIO) else data
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    offer(server, monkeypatch, outer.getvalue(), "raw.tar.gz", nested=("MELD.Raw/train.tar.gz",))
    target = fetch("ravdess", tmp_path, accept_licence=True)
    assert left_over(target) == ["MELD.Raw/dev_sent_emo.csv", "MELD.Raw/train_splits/dia0_utt0.mp4"]


def test_progress_tells_of_each_stage_to_its_end(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    last: dict[str, tuple[int, int]] = {}
    fetch(
        "ravdess",
        tmp_path,
        accept_licence=True,
        progress=lambda stage, done, total: last.__setitem__(stage, (done, total)),
    )
    assert last == {
        "download": (len(zipped), len(zipped)),
        "check": (len(zipped), len(zipped)),
        "unpack": (2, 2),
    }


def test_an_empty_folder_in_its_place_is_taken(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    (tmp_path / "ravdess").mkdir()
    assert len(corpora.read("ravdess", fetch("ravdess", tmp_path, accept_licence=True))) == 2


# --- going on where it broke off


def test_a_download_that_breaks_off_is_taken_up_in_the_same_call(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = ["cut", "cut", "unsaid total"]
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()
    half = len(zipped) // 2
    rest = half + (len(zipped) - half) // 2
    assert [r["range"] for r in server.requests] == ["", f"bytes={half}-", f"bytes={rest}-"]


def test_a_download_that_was_interrupted_is_taken_up_by_the_next_call(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = ["cut", "404"]
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    kept = len(zipped) // 2
    assert caught.value.code == "download_failed"
    assert caught.value.message == (
        f"speech.zip cannot be downloaded: the server answers 404 Not Found; {kept} bytes are kept for the next call"
    )
    assert left_over(tmp_path) == [".ravdess.part/speech.zip"]
    server.ways = ["right"]
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()
    assert server.requests[-1]["range"] == f"bytes={kept}-"
    assert [p.name for p in tmp_path.iterdir()] == ["ravdess"]


def test_an_interrupt_keeps_the_archive_and_publishes_nothing(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "unpack":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("ravdess", tmp_path, accept_licence=True, progress=stop)
    assert left_over(tmp_path) == [".ravdess.part/speech.zip"]
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()
    assert len(server.requests) == 1  # the archive was whole already


def test_what_a_killed_call_had_unpacked_is_thrown_away(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    (tmp_path / ".ravdess.part" / "unpacked").mkdir(parents=True)
    (tmp_path / ".ravdess.part" / "unpacked" / "stale.wav").write_bytes(b"1")
    assert "stale.wav" not in left_over(fetch("ravdess", tmp_path, accept_licence=True))


def test_a_server_without_ranges_starts_again_from_the_front(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    part = tmp_path / ".ravdess.part" / "speech.zip"
    part.parent.mkdir()
    part.write_bytes(zipped[:100])
    server.ways = ["no ranges"]
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()


@pytest.mark.parametrize("ways", [["416", "right"], ["right"]])
def test_a_stale_or_too_long_part_is_thrown_away(
    ways: list[str], server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    part = tmp_path / ".ravdess.part" / "speech.zip"
    part.parent.mkdir()
    part.write_bytes(b"x" * (100 if ways[0] == "416" else len(zipped) + 1))
    server.ways = ways
    assert fetch("ravdess", tmp_path, accept_licence=True).is_dir()
    assert server.requests[-1]["range"] == ""


def test_a_download_that_gets_nowhere_ends(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = ["cut, no ranges"]
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.code == "download_incomplete"
    assert caught.value.message == f"speech.zip broke off at {len(zipped) // 2} of {len(zipped)} bytes"
    assert caught.value.hint == "call again, it goes on from there"
    assert len(server.requests) == 2


def test_a_download_is_taken_up_a_number_of_times_only(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    monkeypatch.setattr(fetching, "N_ATTEMPTS", 3)
    server.ways = ["cut"]
    with pytest.raises(CorpusError, match="download_incomplete: "):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("another part", "asked for byte 100, was given byte 101"),
        ("unsaid part", "a part of the file came without saying which"),
    ],
)
def test_a_part_that_was_not_asked_for_is_not_taken(
    way: str, why: str, server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    part = tmp_path / ".ravdess.part" / "speech.zip"
    part.parent.mkdir()
    part.write_bytes(zipped[:100])
    server.ways = [way]
    with pytest.raises(CorpusError, match=f"download_failed: speech.zip cannot be downloaded: {why}"):
        fetch("ravdess", tmp_path, accept_licence=True)


# --- what is refused


def test_a_wrong_checksum_is_refused_and_the_archive_deleted(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped, checksum="md5:" + "0" * 32)
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.code == "wrong_checksum"
    assert caught.value.exit_code == ExitCode.NOTHING_USABLE
    assert caught.value.message == (
        f"speech.zip has md5 {hashlib.md5(zipped).hexdigest()}; its publisher states {'0' * 32}"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("way", "what"),
    [("html", "a web page"), ("text", "something that is neither zip nor tar")],
)
def test_a_web_page_in_place_of_the_archive_is_refused(
    way: str, what: str, server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = [way]
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.code == "not_an_archive"
    assert caught.value.message == f"{server.address}/speech.zip was answered with {what}"
    assert (caught.value.hint is not None) == (way == "html")
    assert list(tmp_path.iterdir()) == []


def test_another_edition_is_refused_by_its_size(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = offer(server, monkeypatch, zipped, size=len(zipped) - 1)
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.code == "wrong_size"
    assert caught.value.message == (
        f"{info.downloads[0].url} has {len(zipped)} bytes; its publisher states {len(zipped) - 1}"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_end_is_refused(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = ["longer"]
    with pytest.raises(
        CorpusError,
        match=rf"wrong_size: .* gives more than the {len(zipped)} bytes that its publisher states",
    ):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,x"])
def test_nothing_but_http_is_opened_whatever_an_answer_says(
    address: str, server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    server.ways = [f"redirect {address}"]
    with pytest.raises(CorpusError, match="download_failed: "):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert list(tmp_path.iterdir()) == []


def test_an_unsafe_archive_is_refused_and_deleted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.wav", b"1")
        archive.writestr("../../evil", b"2")
    offer(server, monkeypatch, buffer.getvalue())
    with pytest.raises(CorpusError, match=r"archive_unsafe: speech\.zip holds '\.\./\.\./evil'"):
        fetch("ravdess", tmp_path / "a" / "b", accept_licence=True)
    assert left_over(tmp_path) == []


def test_limits_hold_for_archives_inside_of_archives(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for i in range(5):
            archive.writestr(str(i), b"")
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("in.zip", inner.getvalue())
    offer(server, monkeypatch, outer.getvalue(), nested=("in.zip",))
    with pytest.raises(CorpusError, match=r"archive_too_large: in\.zip holds more than 4 files"):
        fetch("ravdess", tmp_path, accept_licence=True, limits=Limits(max_files=4))
    assert left_over(tmp_path) == []


def test_an_archive_without_the_archive_that_should_be_in_it_is_refused(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped, nested=("train.tar.gz",))
    with pytest.raises(CorpusError, match=r"archive_damaged: speech\.zip has no train\.tar\.gz in it"):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert left_over(tmp_path) == []


def test_a_server_that_is_not_there_is_named(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped, url="http://127.0.0.1:9/speech.zip")
    with pytest.raises(CorpusError) as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.message.startswith("speech.zip cannot be downloaded: ")
    assert "refused" in caught.value.message
    assert caught.value.hint == (
        f"try again later, or by hand, see {ravdess.INFO.url}: {ravdess.INFO.how_to_get}"
    )


def test_a_full_disk_is_said_before_and_while_it_happens(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    usage = type("Usage", (), {"free": 5})()
    with monkeypatch.context() as patch:
        patch.setattr(fetching.shutil, "disk_usage", lambda path: usage)
        with pytest.raises(
            ResourceError, match=rf"disk_full: speech\.zip needs {len(zipped)} bytes more; 5 are free"
        ):
            fetch("ravdess", tmp_path, accept_licence=True)
    (tmp_path / ".ravdess.part" / "speech.zip").mkdir(parents=True)  # cannot be written
    monkeypatch.setattr(fetching, "_size", lambda path: 0)
    with pytest.raises(ResourceError, match=r"disk: cannot write .*speech\.zip: Is a directory") as caught:
        fetch("ravdess", tmp_path, accept_licence=True)
    assert caught.value.exit_code == ExitCode.RESOURCE


def test_a_write_that_fails_is_no_fault_of_the_network(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    plain = Path.open

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return Full() if self.name == "speech.zip" and mode == "wb" else plain(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(ResourceError, match=r"disk: cannot write .*speech\.zip: No space left on device"):
        fetch("ravdess", tmp_path, accept_licence=True)


def test_a_folder_that_cannot_be_made_is_said(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ResourceError, match=r"disk: cannot write .*\.ravdess\.part: "):
        fetch("ravdess", tmp_path / "file", accept_licence=True)
    assert server.requests == []


# --- what is not even begun


def test_nothing_is_downloaded_before_the_terms_are_accepted(
    server: Server,
    zipped: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(server, monkeypatch, zipped)
    assert main(["corpus", "fetch", "ravdess", str(tmp_path / "data")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "voxaffect: error: licence_not_accepted: RAVDESS has terms: CC BY-NC-SA 4.0, "
        "https://creativecommons.org/licenses/by-nc-sa/4.0/; read them, then add --accept-licence\n"
    )
    assert server.requests == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("iemocap", "IEMOCAP is not fetched: its terms do not let a program download it"),
        (
            "emodb",
            "EmoDB is not fetched: no checksum of its publisher is known here that a download could be held to",
        ),
        ("esd", "ESD is not fetched: its authors want a signed form first"),
    ],
)
def test_a_corpus_that_is_not_fetched_says_why_and_how_to_get_it(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        fetch(name, tmp_path, accept_licence=True)
    info = corpora.get(name).INFO
    assert (caught.value.code, caught.value.message) == ("not_fetched", why)
    assert caught.value.hint == f"see {info.url}: {info.how_to_get}"
    assert list(tmp_path.iterdir()) == []


def test_the_network_can_be_forbidden(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    with pytest.raises(UsageError, match="offline: VOXAFFECT_OFFLINE forbids the network; unset it"):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert server.requests == [] and list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_written_over(
    server: Server, zipped: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, monkeypatch, zipped)
    (tmp_path / "ravdess").mkdir()
    (tmp_path / "ravdess" / "mine.txt").write_bytes(b"1")
    with pytest.raises(
        UsageError, match=r"output_exists: .*ravdess is there already; see: voxaffect corpus check"
    ):
        fetch("ravdess", tmp_path, accept_licence=True)
    assert left_over(tmp_path) == ["ravdess/mine.txt"] and server.requests == []


def test_an_unknown_corpus_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown_corpus: "):
        fetch("ravdes", tmp_path, accept_licence=True)


# --- the command


def test_the_command_prints_where_the_corpus_is_and_what_comes_next(
    server: Server,
    zipped: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(server, monkeypatch, zipped)
    assert main(["corpus", "fetch", "ravdess", str(tmp_path), "--accept-licence"]) == 0
    captured = capsys.readouterr()
    target = tmp_path / "ravdess"
    assert captured.out == f"{target}\n"
    assert captured.err == f"voxaffect: next: voxaffect corpus check ravdess {target}\n"
    assert main(["corpus", "check", "ravdess", str(target)]) == 0


def test_the_command_shows_bars_on_a_terminal_alone(
    server: Server,
    zipped: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offer(server, monkeypatch, zipped)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for quiet in (False, True):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        words = ["corpus", "fetch", "ravdess", str(tmp_path / str(quiet)), "--accept-licence"]
        assert main([*words, "--quiet"] if quiet else words) == 0
        text = terminal.getvalue()
        assert [stage in text for stage in ("download: 100%", "check: 100%", "unpack: 100%")] == [
            not quiet
        ] * 3
        assert quiet == (text == "")


# --- data sheets


def test_the_downloads_of_the_real_corpora_are_whole() -> None:
    fetched = [name for name in corpora.names() if corpora.get(name).INFO.downloads]
    assert {"meld", "ravdess"} <= set(fetched)
    for name in corpora.names():
        info = corpora.get(name).INFO
        assert (info.why_not_fetched is None) == bool(info.downloads)
        assert all(d.url.startswith("https://") for d in info.downloads)
        assert len({d.filename for d in info.downloads}) == len(info.downloads)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://x/y.zip"}, "'ftp://x/y.zip' is no http"),
        ({"url": "https://x/"}, "'https://x/' is no http"),
        ({"size": 0}, "the size of https://x/y.zip is 0; expected bytes"),
        ({"checksum": "md5:12"}, "'md5:12' is no checksum; expected one of"),
        ({"checksum": "crc32:" + "0" * 8}, "is no checksum"),
        ({"checksum": "md5:" + "G" * 32}, "is no checksum"),
    ],
)
def test_a_download_is_checked_when_it_is_written_down(changes: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"url": "https://x/y.zip", "size": 1, "checksum": "md5:" + "0" * 32}
    assert Download(**right).filename == "y.zip"
    with pytest.raises(ValueError, match=message):
        Download(**{**right, **changes})


@pytest.mark.parametrize("changes", [{"downloadable": False}, {"licence_url": ""}])
def test_a_sheet_with_downloads_needs_terms_that_allow_them(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'ravdess' has downloads, so its terms must allow them"):
        replace(ravdess.INFO, **changes)

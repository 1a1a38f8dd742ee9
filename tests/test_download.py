"""Encoder weights from the network, here a server on 127.0.0.1: resumed, checked, whole or not there."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from neural_inputs import save_alexnet, save_speech, save_vit
from voxaffect.checkpoints import ALEXNET, FILES, OFFLINE_VARIABLES, WeightsFile, find_file, find_folder
from voxaffect.cli import main
from voxaffect.download import download
from voxaffect.encoders.alexnet import AlexNet, AlexNetOptions
from voxaffect.encoders.checkpoint import weights_digest
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
from voxaffect.encoders.vit import VisionTransformer, VitOptions
from voxaffect.errors import ArtefactError, ExitCode, ResourceError, UsageError
from weights_server import Served, serving

CONTENT = bytes(range(256)) * 4_000
"""A megabyte."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    for variable in (*OFFLINE_VARIABLES, "VOXAFFECT_MODELS", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def publish(
    server: Served, monkeypatch: pytest.MonkeyPatch, content: bytes = CONTENT, **changes: object
) -> str:
    """Put a file on the server and make it known; `changes` say what is known wrongly."""
    (server.root / "tiny.pth").write_bytes(content)
    facts = {
        "title": "tiny",
        "url": f"{server.address}/tiny.pth",
        "sha256": hashlib.sha256(content).hexdigest(),
        "n_bytes": len(content),
        "licence": "x",
    }
    monkeypatch.setitem(FILES, "tiny", WeightsFile(**{**facts, **changes}))  # type: ignore[call-overload, arg-type]
    return "tiny"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# One file


def test_a_file_is_downloaded_checked_and_not_asked_for_again(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, seen = publish(server, monkeypatch), []
    file = download(name, tmp_path / "here", lambda done, total: seen.append((done, total)))
    assert file == tmp_path / "here" / "tiny.pth"
    assert file.read_bytes() == CONTENT
    assert names(tmp_path / "here") == ["tiny.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert download(name, tmp_path / "here") == file
    assert len(server.asked) == 1


def test_a_download_that_breaks_off_goes_on_from_there(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ends = [300_000, 600_000, 900_000]
    file = download(publish(server, monkeypatch), tmp_path)
    assert file.read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [
        None,
        *(f"bytes={n}-" for n in (300_000, 600_000, 900_000)),
    ]


def test_a_killed_download_is_taken_up_by_the_next_call(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch)
    (tmp_path / ".tiny.pth.part").write_bytes(CONTENT[:1000])
    assert download(name, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/tiny.pth", "bytes=1000-")]


def test_a_server_that_cannot_resume_is_asked_for_everything(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.resumes = False
    name = publish(server, monkeypatch)
    (tmp_path / ".tiny.pth.part").write_bytes(b"other" * 100)
    assert download(name, tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file_is_begun_anew(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch)
    (tmp_path / ".tiny.pth.part").write_bytes(CONTENT + b"more")
    assert download(name, tmp_path).read_bytes() == CONTENT


def test_what_breaks_off_for_good_is_kept_and_said(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ends = [5_000, 5_000]
    name = publish(server, monkeypatch)
    with pytest.raises(
        ArtefactError, match="broke off at 5000 of 1024000 bytes; call again, it goes on from there"
    ):
        download(name, tmp_path / "here")
    assert names(tmp_path / "here") == [".tiny.pth.part"]
    assert download(name, tmp_path / "here").read_bytes() == CONTENT


def test_a_download_that_breaks_off_ever_again_is_given_up(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ends = [1_000 * attempt for attempt in range(1, 30)]
    with pytest.raises(ArtefactError, match=r"download_incomplete: .* broke off at 10000 of 1024000 bytes"):
        download(publish(server, monkeypatch), tmp_path)


def test_another_content_is_refused_and_deleted(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    name = publish(server, monkeypatch, CONTENT[:-1] + b"?", sha256=digest)
    message = rf"wrong_checksum: .*/tiny.pth came with sha256 \w+; it should have {digest}; it was deleted"
    with pytest.raises(ArtefactError, match=message):
        download(name, tmp_path / "here")
    assert names(tmp_path / "here") == []


def test_a_page_in_its_place_is_refused_before_it_is_read(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch, b"<html>please log in</html>", n_bytes=len(CONTENT))
    with pytest.raises(
        ArtefactError, match=r"wrong_size: .* has 26 bytes; it should have 1024000; does a login"
    ):
        download(name, tmp_path / "here")
    assert names(tmp_path / "here") == []


def test_a_file_that_does_not_end_is_not_read_to_its_end(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.says_length = False
    name = publish(server, monkeypatch, n_bytes=300_000)
    with pytest.raises(ArtefactError, match="wrong_checksum"):
        download(name, tmp_path / "here")
    assert names(tmp_path / "here") == []
    assert len(server.asked) == 1


def test_no_file_no_server_and_no_network_are_told(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch)
    (server.root / "tiny.pth").unlink()
    with pytest.raises(
        ArtefactError, match=r"download_failed: .*/tiny.pth cannot be downloaded: the server answers 404"
    ):
        download(name, tmp_path / "here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        publish(server, monkeypatch, url=f"http://127.0.0.1:{free.getsockname()[1]}/tiny.pth")
        with pytest.raises(ArtefactError, match=r"download_failed: .*refused.*; is this machine connected\?"):
            download(name, tmp_path / "here")
    for variable in OFFLINE_VARIABLES:
        with monkeypatch.context() as context:
            context.setenv(variable, "1")
            with pytest.raises(
                UsageError, match=f"offline: .*{variable}.* forbids the network; unset it, or"
            ):
                download(name, tmp_path / "here")
    assert names(tmp_path / "here") == []


def test_a_damaged_file_that_is_there_is_refused(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch)
    (tmp_path / "tiny.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(
        ArtefactError, match=r"model_damaged: .*tiny.pth has sha256 .*; delete it and download"
    ):
        download(name, tmp_path)


def test_a_folder_that_cannot_be_written_is_told(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = publish(server, monkeypatch)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(
        ResourceError, match=r"cannot_write: the output cannot be written \(File exists\)"
    ) as caught:
        download(name, tmp_path / "taken")
    assert caught.value.where == str(tmp_path / "taken")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match=r"disk_full: no space left for the output; make room") as caught:
        download(name, tmp_path / "here")
    assert caught.value.where == str(tmp_path / "here" / ".tiny.pth.part")


def test_unknown_weights_are_refused(tmp_path: Path) -> None:
    for name in ("alexnet", "./some/folder", "/abs", "a/b/c"):
        with pytest.raises(
            UsageError, match=rf"unknown_checkpoint: .*; expected one of \['{ALEXNET}'\] or an ORG"
        ):
            download(name, tmp_path)


# A repository of the hub


def test_a_repository_is_downloaded_and_loads(server: Served, tmp_path: Path) -> None:
    source = save_speech("wav2vec2", server.root / "someone" / "tiny")
    (source / "README.md").write_text("not wanted")
    (source / "pytorch_model.bin").write_bytes(b"nor this, beside safetensors")
    folder = download("someone/tiny", tmp_path / "here")
    assert folder == tmp_path / "here" / "tiny"
    assert names(folder) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert names(tmp_path / "here") == ["tiny"]
    ours = SpeechEncoder(SpeechOptions(str(folder)))
    assert ours.digest == SpeechEncoder(SpeechOptions(str(source))).digest
    n_asked = len(server.asked)
    assert download("someone/tiny", tmp_path / "here") == folder
    assert len(server.asked) == n_asked


def test_an_older_repository_has_only_pytorch_weights(server: Served, tmp_path: Path) -> None:
    folder = server.root / "someone" / "old"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"weights")
    assert names(download("someone/old", tmp_path / "here")) == ["config.json", "pytorch_model.bin"]


def test_a_repository_is_held_to_the_checksums_of_the_hub(server: Served, tmp_path: Path) -> None:
    save_vit(server.root / "someone" / "vit")
    server.wrong_digests = True
    with pytest.raises(
        ArtefactError, match=r"wrong_checksum: someone/vit/model.safetensors came with sha256"
    ):
        download("someone/vit", tmp_path / "here")
    assert names(tmp_path / "here") == [".vit.part"]
    assert "model.safetensors" not in names(tmp_path / "here" / ".vit.part")
    server.wrong_digests = False
    assert names(download("someone/vit", tmp_path / "here")) == ["config.json", "model.safetensors"]
    assert names(tmp_path / "here") == ["vit"]


def test_what_the_hub_does_not_have_is_told(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ArtefactError, match=r"download_failed: .* has no repository 'someone/none', or none that is"
    ):
        download("someone/none", tmp_path / "here")
    (server.root / "someone" / "empty").mkdir(parents=True)
    (server.root / "someone" / "empty" / "config.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"holds no transformers checkpoint; it has \['config.json'\]"):
        download("someone/empty", tmp_path / "here")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        ArtefactError, match=r"download_failed: someone/none of the Hugging Face hub cannot be"
    ):
        download("someone/none", tmp_path / "here")
    assert names(tmp_path / "here") == []


def test_without_the_hubs_library_it_is_said_what_to_install(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r'missing_dependency: this needs huggingface_hub.*"voxaffect\[train\]"'
    ):
        download("someone/tiny", tmp_path)


# Found by name


def test_an_own_folder_is_looked_in_before_the_cache_and_the_network(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, own, cache = publish(server, monkeypatch), tmp_path / "own", tmp_path / "cache"
    assert find_file(name, cache) == cache / "tiny.pth"  # downloaded, where its own library keeps it
    assert len(server.asked) == 1
    assert find_file(name, cache) == cache / "tiny.pth"
    monkeypatch.setenv("VOXAFFECT_MODELS", os.pathsep.join((str(tmp_path / "none"), str(own))))
    download(name, own)
    assert find_file(name, cache) == own / "tiny.pth"
    (own / "tiny.pth").write_bytes(b"damaged")
    with pytest.raises(ArtefactError, match=r"model_damaged: .*tiny.pth has sha256"):
        find_file(name, cache)
    assert find_file(str(cache / "tiny.pth"), tmp_path) == cache / "tiny.pth"  # a path is taken as it is


def test_what_is_not_here_says_where_it_was_looked_for_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    monkeypatch.setenv("VOXAFFECT_MODELS", str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    message = (
        rf"model_missing: looked in {ALEXNET}, .*own.{ALEXNET}.pth, .*torch.hub.checkpoints.{ALEXNET}.pth: no "
        rf"weights file .*; on a connected machine: voxaffect models download {ALEXNET} -o DIR"
    )
    with pytest.raises(ArtefactError, match=message):
        AlexNet(AlexNetOptions(weights=ALEXNET))
    message = (
        r"model_missing: looked in google/vit-base-patch16-224, .*own.vit-base-patch16-224, the Hugging Face cache: "
        r"no vision transformer .*; on a connected machine: voxaffect models download google/vit-base-patch16-224 -o"
    )
    with pytest.raises(ArtefactError, match=message):
        VisionTransformer(VitOptions(weights="google/vit-base-patch16-224"))


def test_a_hub_name_is_found_in_an_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    monkeypatch.setenv("VOXAFFECT_MODELS", str(tmp_path))
    save_speech("whisper", tmp_path / "tiny")
    assert find_folder("someone/tiny")[0] == str(tmp_path / "tiny")
    assert SpeechEncoder(SpeechOptions("someone/tiny")).model_type == "whisper"
    save_vit(tmp_path / "vit")
    options = VitOptions(dim=32, depth=2, heads=4, mlp_ratio=2.0, weights="someone/vit")
    local = dataclasses.replace(options, weights=str(tmp_path / "vit"))
    assert weights_digest(VisionTransformer(options)) == weights_digest(VisionTransformer(local))


# The command


def test_the_command_downloads_and_says_where_to(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = save_alexnet(tmp_path / "alexnet.pth").read_bytes()
    name = publish(server, monkeypatch, weights)
    save_speech("wav2vec2", server.root / "someone" / "speech")
    here = tmp_path / "here"
    assert main(["models", "download", name, "someone/speech", "-o", str(here)]) == ExitCode.OK
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [str(here / "tiny.pth"), str(here / "speech")]
    assert printed.err == f"voxaffect: recipes find them by name where VOXAFFECT_MODELS names {here}\n"
    monkeypatch.setenv("VOXAFFECT_MODELS", str(here))
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    AlexNet(AlexNetOptions(weights=name))
    SpeechEncoder(SpeechOptions("someone/speech"))


def test_the_command_has_its_exit_codes(
    server: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["x"], ["-o", str(tmp_path)]):
        assert main(["models", "download", *arguments]) == ExitCode.USAGE
        assert "models download takes names of encoder weights and -o DIR" in capsys.readouterr().err
    assert main(["models", "download", "alexnet", "-o", str(tmp_path)]) == ExitCode.USAGE
    assert "unknown_checkpoint" in capsys.readouterr().err
    assert main(["models", "download", "someone/none", "-o", str(tmp_path)]) == ExitCode.ARTEFACT
    assert "has no repository 'someone/none'" in capsys.readouterr().err
    monkeypatch.setenv("VOXAFFECT_OFFLINE", "1")
    assert main(["models", "download", "someone/none", "-o", str(tmp_path)]) == ExitCode.USAGE
    assert "forbids the network" in capsys.readouterr().err


def test_the_known_file_is_the_one_its_name_says() -> None:
    known = FILES[ALEXNET]
    assert known.filename == f"{ALEXNET}.pth"
    assert known.sha256.startswith(ALEXNET.rsplit("-", 1)[1])
    assert len(known.sha256) == 64

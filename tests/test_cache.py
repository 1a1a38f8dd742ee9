"""The array cache: what comes out is what went in, or it is computed anew."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from voxaffect.cache import ArrayCache, content_key, default_cache_folder


def never() -> np.ndarray:
    raise AssertionError("computed although it was there")


def test_an_array_is_computed_once(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path)
    array = np.arange(6, dtype=np.float16).reshape(2, 3)
    cache.get("k" * 64, lambda: array)
    again = ArrayCache(tmp_path).get("k" * 64, never)
    assert again.dtype == np.float16
    np.testing.assert_array_equal(again, array)


def test_every_damaged_byte_is_found_and_the_entry_computed_anew(tmp_path: Path) -> None:
    array = np.arange(8, dtype=np.float32)
    ArrayCache(tmp_path).get("key", lambda: array)
    (file,) = tmp_path.rglob("*.npy")
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(200):
        position = int(rng.integers(len(whole)))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(whole[:position] if trial % 2 else bytes(damaged))
        cache = ArrayCache(tmp_path)
        np.testing.assert_array_equal(cache.get("key", lambda: array), array)
        assert (cache.damaged, cache.misses, cache.hits) == (1, 1, 0)
        assert file.read_bytes() == whole  # mended


def test_keys_depend_on_every_part_and_on_where_it_ends() -> None:
    keys = {content_key("a", "b"), content_key("ab"), content_key("", "ab"), content_key(b"b", "a")}
    assert len(keys) == 4
    assert content_key("a") == content_key(b"a")


def test_a_folder_that_cannot_be_written_is_done_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = ArrayCache(tmp_path / "file" / "cache")
    assert cache.get("a", lambda: np.ones(2)).sum() == 2
    assert cache.get("b", lambda: np.ones(3)).sum() == 3
    assert capsys.readouterr().err.count("is not used") == 1


def test_without_a_folder_nothing_is_kept() -> None:
    cache = ArrayCache(None)
    cache.get("a", lambda: np.ones(1))
    cache.get("a", lambda: np.ones(1))
    assert (cache.hits, cache.misses) == (0, 2)


def _fill(folder: str) -> None:
    cache = ArrayCache(Path(folder))
    for i in range(20):
        cache.get(f"{i:064d}", lambda i=i: np.full(100, i))  # type: ignore[misc]


def test_several_processes_may_fill_one_cache(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(str(tmp_path),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    cache = ArrayCache(tmp_path)
    for i in range(20):
        assert (cache.get(f"{i:064d}", never) == i).all()
    assert not list(tmp_path.rglob("*.part"))


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOXAFFECT_CACHE", str(tmp_path / "a"))
    assert default_cache_folder() == tmp_path / "a"
    monkeypatch.delenv("VOXAFFECT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert default_cache_folder() == tmp_path / "b" / "voxaffect"


def test_without_a_home_there_is_no_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VOXAFFECT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache_folder() is None

"""The array cache: what comes out is what went in, or it is computed anew."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from voxaffect.cache import LIMIT_VARIABLE, ArrayCache, cache_limit, content_key, default_cache_folder
from voxaffect.errors import UsageError


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


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def entry(i: int) -> tuple[str, np.ndarray]:
    """A key and an array that takes 1160 bytes on disk: 32 of digest, 128 of header, 1000 of samples."""
    return f"{i:064x}", np.full(1000, i, dtype=np.uint8)


def hour_by_hour(folder: Path) -> None:
    """Make every file an hour older than it is, so that what follows is newer whatever the clock's ticks are."""
    for file in folder.rglob("*.npy"):
        used = file.stat().st_mtime - 3600
        os.utime(file, (used, used))


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, limit=5 * 1160)
    for i in range(5):
        cache.get(entry(i)[0], lambda i=i: entry(i)[1])  # type: ignore[misc]
        hour_by_hour(tmp_path)
    assert (cache.removed, size_of(tmp_path)) == (0, 5 * 1160)
    cache.get(entry(0)[0], never)  # used, so no longer the oldest
    hour_by_hour(tmp_path)
    cache.get(entry(5)[0], lambda: entry(5)[1])
    assert cache.removed == 2  # 1160 bytes over the limit, and room up to 90 % of it
    again = ArrayCache(tmp_path)
    for i in (0, 3, 4, 5):
        np.testing.assert_array_equal(again.get(entry(i)[0], never), entry(i)[1])


def test_what_others_put_into_the_folder_counts_and_foreign_files_stay(tmp_path: Path) -> None:
    ArrayCache(tmp_path).get(entry(0)[0], lambda: entry(0)[1])
    (tmp_path / "weights.npy").write_bytes(b"mine" * 1000)
    (tmp_path / "00" / "notes.txt").write_bytes(b"mine" * 1000)
    hour_by_hour(tmp_path)
    cache = ArrayCache(tmp_path, limit=2000)
    cache.get(entry(1)[0], lambda: entry(1)[1])
    assert cache.removed == 1
    assert (tmp_path / "weights.npy").exists() and (tmp_path / "00" / "notes.txt").exists()
    np.testing.assert_array_equal(ArrayCache(tmp_path).get(entry(1)[0], never), entry(1)[1])


def test_what_a_killed_process_left_half_written_is_removed_first(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    dead, alive = tmp_path / "ab" / "tmp1.part", tmp_path / "ab" / "tmp2.part"
    for file in (dead, alive):
        file.write_bytes(bytes(5000))
    os.utime(dead, (time.time() - 2 * 3600,) * 2)
    ArrayCache(tmp_path, limit=4000).get(entry(0)[0], lambda: entry(0)[1])
    assert not dead.exists() and alive.exists()
    ArrayCache(tmp_path).get(entry(0)[0], never)


def _churn(folder: str) -> None:
    cache = ArrayCache(Path(folder), limit=10 * 1160)
    for i in [*range(40), *range(40)]:
        key, array = entry(i)
        np.testing.assert_array_equal(cache.get(key, lambda array=array: array), array)  # type: ignore[misc]
    assert cache.folder is not None  # it was never done without


def test_two_processes_that_remove_each_others_entries_get_what_they_ask_for(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_churn, args=(str(tmp_path),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert size_of(tmp_path) <= 2 * 10 * 1160  # each knows what it wrote itself


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)
    assert cache_limit() == 20_000_000_000
    monkeypatch.setenv(LIMIT_VARIABLE, "0.5")
    assert cache_limit() == 500_000_000
    for wrong in ("0", "-1", "nan", "inf", "much"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(
            UsageError, match=f"VOXAFFECT_CACHE_LIMIT is '{wrong}'; expected a number of GB above 0"
        ):
            cache_limit()

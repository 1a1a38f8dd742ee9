"""Pickles of arrays: what Python itself would load, found without loading; everything else refused by name."""

from __future__ import annotations

import pickle
import struct
import time
import tracemalloc
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pickles import PROTOCOLS, attacks, claiming, of_python_2, short
from voxaffect.corpora import stored_array
from voxaffect.corpora.pickled import MAX_OPERATIONS, read_pickle_arrays
from voxaffect.corpora.stored_array import StoredArray
from voxaffect.errors import CorpusError

BINARY = [protocol for protocol in PROTOCOLS if protocol > 0]
RNG = np.random.default_rng(0)


def found(tmp_path: Path, data: bytes) -> Any:
    path = tmp_path / "x.pkl"
    path.write_bytes(data)
    return read_pickle_arrays(path)


def refused(tmp_path: Path, data: bytes, code: str = "refused_pickle") -> str:
    with pytest.raises(CorpusError) as caught:
        found(tmp_path, data)
    assert caught.value.code == code
    assert caught.value.where == str(tmp_path / "x.pkl")
    return caught.value.message


# --- what is read


@pytest.mark.parametrize("protocol", BINARY)
def test_arrays_dicts_and_numbers_are_what_python_would_load(protocol: int, tmp_path: Path) -> None:
    inner = defaultdict(None, {"x": RNG.standard_normal((5, 3, 2)).astype(np.float32), "n": 300, "r": -2.5})
    data = {
        "1M": inner,
        7: np.arange(5, dtype=np.int8),
        "t": True,
        "none": None,
        "s": np.float32(0.1),
        "w": "é",
    }
    made = found(tmp_path, pickle.dumps(data, protocol))
    assert made.keys() == data.keys() and made["1M"].keys() == inner.keys()
    assert (made["1M"]["n"], made["1M"]["r"], made["t"], made["none"], made["w"]) == (
        300,
        -2.5,
        True,
        None,
        "é",
    )
    assert made["s"] == float(np.float32(0.1))
    np.testing.assert_array_equal(made["1M"]["x"].read(), inner["x"])
    np.testing.assert_array_equal(made["1M"]["x"].read(1, 3), inner["x"][1:3])
    np.testing.assert_array_equal(made[7].read(), data[7])


@pytest.mark.parametrize("protocol", BINARY)
@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "<i4", ">i4", "<f2", ">f4", "<f8"])
def test_every_type_of_number_is_read_in_the_machines_own_order(
    dtype: str, protocol: int, tmp_path: Path
) -> None:
    array = (RNG.standard_normal((4, 3)) * 50).astype(dtype)
    read = found(tmp_path, pickle.dumps({"a": array}, protocol))["a"].read(1)
    np.testing.assert_array_equal(read, array[1:])
    assert read.dtype.isnative


@pytest.mark.parametrize("protocol", BINARY)
def test_axes_in_another_order_of_memory_are_read_alike(protocol: int, tmp_path: Path) -> None:
    stacked = np.vstack([RNG.standard_normal((2, 1, 3, 5)).transpose(0, 1, 3, 2) for _ in range(2)])
    single = np.asfortranarray(RNG.standard_normal((1, 3, 5)))
    assert not stacked.flags.c_contiguous and single.flags.f_contiguous
    made = found(tmp_path, pickle.dumps({"stacked": stacked, "single": single}, protocol))
    np.testing.assert_array_equal(made["stacked"].read(1, 3), stacked[1:3])
    np.testing.assert_array_equal(made["single"].read(), single)


def test_what_python_2_wrote_is_read_as_python_3_loads_it(tmp_path: Path) -> None:
    array = RNG.standard_normal((3, 4)).astype(np.float32)
    data = of_python_2(array)
    np.testing.assert_array_equal(pickle.loads(data, encoding="latin1")["a"], array)
    np.testing.assert_array_equal(found(tmp_path, data)["a"].read(), array)


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
def test_bytes_written_as_text_are_found_at_any_place(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_array, "BLOCK", block)  # characters of two bytes then lie across blocks
    array = RNG.integers(0, 256, (11, 7), dtype=np.uint8)
    stored = found(tmp_path, pickle.dumps({"a": array}, 2))["a"]
    assert stored.span.latin1
    for start in range(11):
        np.testing.assert_array_equal(stored.read(start, start + 3), array[start : start + 3])


def test_an_array_that_stands_twice_in_a_pickle_is_the_same_array(tmp_path: Path) -> None:
    array = np.arange(3)
    made = found(tmp_path, pickle.dumps({"a": array, "b": array}, 4))
    assert made["a"] is made["b"]


def test_a_large_array_takes_no_memory_until_it_is_read(tmp_path: Path) -> None:
    array = np.zeros((64, 250_000), np.uint8)  # 16 MB
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": array}, 4))
    tracemalloc.start()
    try:
        stored = read_pickle_arrays(path)["a"]  # type: ignore[index, call-overload]
        assert tracemalloc.get_traced_memory()[1] < 300_000
        assert stored.read(3, 4).shape == (1, 250_000)
        assert tracemalloc.get_traced_memory()[1] < 600_000
    finally:
        tracemalloc.stop()


# --- what is refused


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", attacks(""))
def test_a_pickle_that_would_run_something_is_refused_by_that_name(
    name: str, protocol: int, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    attack, expected = attacks(str(marker))[name]
    message = refused(tmp_path, pickle.dumps(attack, protocol))
    assert not marker.exists()
    assert message.startswith("x.pkl asks for ")
    assert message.endswith("; it may hold NumPy arrays, dicts, defaultdict and numbers only")
    if protocol >= 3:  # older ones say __builtin__ and other names of Python 2
        assert f"asks for {expected} at byte " in message
    elif protocol:
        assert f"{expected.rpartition('.')[2]} at byte " in message or "copy_reg._reconstructor" in message


def test_the_same_pickles_do_run_when_python_loads_them(tmp_path: Path) -> None:
    for name in ("os.system", "eval", "nested"):
        marker = tmp_path / name
        value = pickle.loads(pickle.dumps(attacks(str(marker))[name][0]))
        if name == "eval":
            value.close()
        assert marker.exists()


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.array([None]), "an array of Python objects (type 'O8')"),
        (np.zeros(2, [("a", "i4")]), "an array of other than numbers (type 'V4')"),
        (np.array(["x"]), "an array of other than numbers (type 'U1')"),
        (np.array(["2020"], "M8[Y]"), "an array of other than numbers (type 'M8')"),
        (np.zeros(1, complex), "an array of other than numbers (type 'c16')"),
        ([1, 2], "the pickle operation EMPTY_LIST"),
        ({1, 2}, "the pickle operation EMPTY_SET"),
        ({"a": b"bytes"}, "bytes as a value"),
        ({"a": (1, 2)}, "a tuple as a value"),
        ({"x" * 300: 1}, "a name or key of 300 bytes"),
        (OrderedDict(a=1), "collections.OrderedDict"),
        (1 << 5000, "the pickle operation LONG4"),
    ],
)
def test_other_values_are_refused_by_name(value: object, what: str, tmp_path: Path) -> None:
    assert f"asks for {what} at byte " in refused(tmp_path, pickle.dumps(value, 4))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"(ios\nsystem\n.", "os.system"),
        (b"(cnumpy\nndarray\no.", "the pickle operation OBJ"),
        (b"\x80\x02cnumpy\nndarray\n)\x81.", "the pickle operation NEWOBJ"),
        (b"\x80\x04cnumpy\nndarray\n)}\x92.", "the pickle operation NEWOBJ_EX"),
        (b"(Pid\n.", "the pickle operation PERSID"),
        (b"\x80\x02K\x01Q.", "the pickle operation BINPERSID"),
        (b"\x80\x02\x82\x01.", "the pickle operation EXT1"),
        (b"\x80\x05\x97.", "the pickle operation NEXT_BUFFER"),
        (b"\x80\x05K\x01\x98.", "the pickle operation READONLY_BUFFER"),
        (b"\x80\x04" + short("numpy") + short("core.multiarray._reconstruct") + b"\x93.", "numpy.core.multiarray._re"),
        (b"\x80\x04" + short("numpy") + short("ndarray.tofile") + b"\x93.", "numpy.ndarray.tofile"),
        (b"\x80\x04K\x01K\x02\x93.", "a number as a name or key"),
        (b"\x80\x02cnumpy\nndarray\nJ\0\0\0\x7f\x85R.", "a call of ndarray that NumPy and Python do not write"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x04\0\0\0zlib\x86R.", "a call of encode that"),
        (b"\x80\x02cnumpy\ndtype\n)R.", "a call of dtype that"),
        (b"\x80\x02}}b.", "a state for a dict that NumPy does not write"),
        (b"\x80\x02cnumpy\ndtype\n}b.", "a state for dtype that NumPy does not write"),
        (b"\x80\x02cnumpy\ndtype\n.", "dtype as a value"),
        (b"(dp0\nVx\np1\nI1\ns.", "the operation DICT of protocol 0, which is not read,"),
        (b"\x80\x02}q\0" + b"X\x01\0\0\0ah\0s.", "dicts more than 8 deep"),
        (b"\x80\x02" + b"N" * MAX_OPERATIONS + b".", f"more than {MAX_OPERATIONS} operations"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_operations_that_no_array_needs_are_refused_by_name(data: bytes, what: str, tmp_path: Path) -> None:
    assert f"asks for {what}" in refused(tmp_path, data)


def test_dicts_that_stand_in_each_other_a_thousand_times_take_no_time(tmp_path: Path) -> None:
    inner: dict[int, Any] = {0: 1}
    for _ in range(7):
        inner = dict.fromkeys(range(1000), inner)  # 10^21 values, were they copied
    started = time.process_time()
    made = found(tmp_path, pickle.dumps(inner, 4))
    assert made[5][3][1][0] is made[7][0][2][9]
    assert time.process_time() - started < 5


def test_out_of_band_buffers_are_refused(tmp_path: Path) -> None:
    buffers: list[Any] = []
    data = pickle.dumps({"a": np.arange(4)}, 5, buffer_callback=buffers.append)
    assert buffers
    assert "the pickle operation NEXT_BUFFER" in refused(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.", "it claims 4611686018427387904 bytes where 4 are"),
        (b"\x80\x05\x96" + struct.pack("<Q", 5) + b"abc.", "it claims 5 bytes where 4 are left"),
        (b"\x80\x03B\xff\xff\xff\xffx.", "it claims 4294967295 bytes where 2 are left"),
        (b"\x80\x02T\xff\xff\xff\xffx.", "it claims -1 bytes where 2 are left"),
        (claiming((1 << 40,)), "4 bytes for an array of shape (1099511627776,) and type float32"),
        (claiming((-1,)), "4 bytes for an array of shape (-1,) and type float32"),
        (claiming((1 << 62, 1 << 62)), "4 bytes for an array of shape"),
        (claiming((1,) * 65), "an array of shape"),
        (pickle.dumps({"a": np.array(1.0)}, 4), "an array of shape ()"),
        (pickle.dumps({"a": np.asfortranarray(np.ones((2, 3)))}, 4), "an array of shape (2, 3) in Fortran order"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R.", "an array without"),
        (b"\x80\x06.", "protocol 6; 5 is the latest known"),
        (b"\x80\x02.", "its stack is empty"),
        (b"\x80\x02t.", "there is no mark on its stack"),
        (b"\x80\x02(0.", ""),
        (b"\x80\x02h\x05.", "place 5 of its memory is empty"),
        (b"\x80\x02K\x01K\x02K\x03s.", "items for what is no dict"),
        (b"\x80\x02K\x01)R.", "a call of what is no function"),
        (b"\x80\x02Iabc\n.", "'abc' is no number"),
        (b"\x80\x02I12", "a line without an end"),
        (b"\x80\x02\xff.", "there is no such operation"),
        (b"\x80\x02N.N", "1 bytes follow its end"),
        (b"\x80\x02J\1", "the file ends here"),
        (b"\x80", "the file ends here"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_damaged(data: bytes, what: str, tmp_path: Path) -> None:
    started = time.process_time()
    code = "refused_pickle" if what in ("", "an array without") else "damaged_pickle"
    assert what in refused(tmp_path, data, code)
    assert time.process_time() - started < 2


def test_a_file_that_is_no_pickle_is_described(tmp_path: Path) -> None:
    for data, what in (
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"\x1f\x8b\x08\0", "it is a gzip archive"),
        (b"\x93NUMPY\x01\0", "it is a NumPy array"),
        (b"\0\1\2\3\4\5\6\7\x08", r"it begins with b'\x00\x01\x02\x03\x04\x05\x06\x07'"),
    ):
        assert refused(tmp_path, data, "not_a_pickle") == f"x.pkl is not a pickle ({what})"
    with pytest.raises(CorpusError, match=r"unreadable_pickle: cannot read .*absent\.pkl: No such file"):
        read_pickle_arrays(tmp_path / "absent.pkl")


def test_whatever_is_changed_or_cut_there_is_a_result_or_a_named_error(tmp_path: Path) -> None:
    """Cuts and changed bytes all over pickles of each protocol; nothing else may be raised."""
    path, results = tmp_path / "x.pkl", {"read": 0, "error": 0}
    sources = [pickle.dumps({"a": np.arange(6, dtype="i2"), "b": np.float32(2)}, p) for p in BINARY]
    changed = [data[:cut] for data in sources for cut in range(0, len(data), 9)]
    for data in [*sources, of_python_2(np.ones((2, 2), np.float32))]:
        for place in range(0, len(data), 2):
            byte = (data[place] ^ 1, data[place] ^ 0x80, int(RNG.integers(256)))[place // 2 % 3]
            changed.append(data[:place] + bytes([byte]) + data[place + 1 :])
    for data in changed:
        path.write_bytes(data)
        try:
            made = read_pickle_arrays(path)
            for value in made.values() if isinstance(made, dict) else ():
                if isinstance(value, StoredArray):
                    value.read()
            results["read"] += 1
        except CorpusError as error:
            assert error.code in ("refused_pickle", "damaged_pickle", "not_a_pickle")
            results["error"] += 1
    assert min(results.values()) > 50


def test_a_file_that_changes_under_the_arrays_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(1000)}, 4))
    stored = read_pickle_arrays(path)["a"]  # type: ignore[index, call-overload]
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CorpusError, match=r"corpus_changed: x\.pkl has become shorter since it was opened"):
        stored.read()
    path.unlink()
    with pytest.raises(CorpusError, match=r"unreadable_pickle: cannot read .*x\.pkl: No such file"):
        stored.read()


def test_text_that_stands_for_no_bytes_is_damaged(tmp_path: Path) -> None:
    array = np.frombuffer(b"\xe9\xe9", np.uint8)
    data = pickle.dumps({"a": array}, 2)
    euro = data.replace("éé".encode(), b"\xc4\xa9\xc3\xa9")  # a character beyond 255
    with pytest.raises(CorpusError, match=r"damaged_pickle: x\.pkl byte \d+: text that stands for no bytes"):
        found(tmp_path, euro)["a"].read()

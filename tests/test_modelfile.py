"""The model file: found, proved whole, refused for a reason; nothing of a bad one is run."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_models import LEVELS, model_bytes, write_model
from voxaffect import modelfile, onnx_fields
from voxaffect.checkpoints import FOLDER_VARIABLE
from voxaffect.errors import ArtefactError, ExitCode, UsageError
from voxaffect.modelfile import check_digest, find_model, open_session, read_model, write_digest

onnx = pytest.importorskip("onnx", reason="the fake model is made with onnx")


@pytest.fixture(scope="module")
def good() -> bytes:
    return model_bytes((0.0, 0.02))


def test_a_model_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    path = write_model(
        tmp_path / "level.onnx", (0.0, 0.1), calibration={"temperature": 1.5}, uncertain_below=0.3
    )
    model = read_model(path)
    assert (model.name, model.version, model.licence, model.vote) == ("level", "1.0", "CC0-1.0", "majority")
    assert model.labels == tuple(LEVELS)
    assert (model.members, model.temperature, model.uncertain_below) == (2, 1.5, 0.3)
    assert model.inputs == ("waveform",)
    assert model.features.window == 3.0
    assert model.card.startswith("# level")
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.info.members == 2


def test_the_metadata_read_here_is_what_onnx_reads(good: bytes) -> None:
    theirs = {p.key: p.value for p in onnx.load_model_from_string(good).metadata_props}
    assert onnx_fields.metadata(good) == theirs


def test_the_digest_is_of_the_file_with_its_digits_as_zeros(good: bytes) -> None:
    at = good.index(modelfile.DIGEST_MARKER) + len(modelfile.DIGEST_MARKER)
    blank = good[:at] + b"0" * 64 + good[at + 64 :]
    assert good[at : at + 64].decode() == hashlib.sha256(blank).hexdigest()
    assert write_digest(good) == write_digest(blank) == good
    assert check_digest(good) == hashlib.sha256(good).hexdigest()


def test_a_digest_needs_its_place_exactly_once(good: bytes) -> None:
    with pytest.raises(ValueError, match="exactly once in the file, found it 0 times"):
        write_digest(b"nothing")
    with pytest.raises(ValueError, match="exactly once in the file, found it 2 times"):
        write_digest(good + good)
    with pytest.raises(
        ArtefactError, match="model_refused: the model is refused: it holds 2 digests instead of one"
    ):
        check_digest(good + good)


def test_every_flipped_bit_is_found(good: bytes) -> None:
    rng = random.Random(0)
    for _ in range(300):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        with pytest.raises(ArtefactError) as caught:
            check_digest(bytes(bad), "level.onnx")
        assert caught.value.code in ("model_damaged", "model_refused")
        assert caught.value.exit_code == ExitCode.ARTEFACT


def test_every_cut_is_found(good: bytes) -> None:
    for length in range(0, len(good), 7):
        with pytest.raises(ArtefactError, match=r"level.onnx") as caught:
            check_digest(good[:length], "level.onnx")
        assert caught.value.code in ("model_damaged", "model_refused")


def test_a_damaged_model_names_the_file_and_both_digests(good: bytes, tmp_path: Path) -> None:
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    path = tmp_path / "level.onnx"
    path.write_bytes(bad)
    recorded = good[good.index(modelfile.DIGEST_MARKER) + 17 :][:64].decode()
    with pytest.raises(ArtefactError) as caught:
        read_model(path)
    assert caught.value.code == "model_damaged"
    assert str(path) in caught.value.message
    assert f"it records sha256 {recorded} and has " in caught.value.message
    assert caught.value.hint == "copy or download it again"


def test_a_cut_model_an_empty_one_and_a_pointer_are_damaged(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "level.onnx"
    for data, text in (
        (good[: len(good) // 2], "no whole ONNX file: broken or cut short at byte"),
        (b"", "it is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "is a Git LFS pointer, not the model",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(ArtefactError, match=text) as caught:
            read_model(path)
        assert caught.value.code == "model_damaged"


def test_an_onnx_file_of_someone_else_is_refused(good: bytes, tmp_path: Path) -> None:
    theirs = onnx.load_model_from_string(good)
    theirs.ClearField("metadata_props")
    path = tmp_path / "theirs.onnx"
    path.write_bytes(theirs.SerializeToString())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ArtefactError) as caught:
        read_model(path)
    assert caught.value.code == "model_refused"
    assert caught.value.message == (
        f"{path} is refused: it holds no voxaffect digest, so it is no voxaffect model (sha256 {sha256})"
    )


def test_what_only_carries_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(write_digest(b"text " + modelfile.EMPTY_DIGEST.encode()))
    with pytest.raises(ArtefactError, match=r"model_refused: .* it is no ONNX file"):
        read_model(path)
    theirs = onnx.load_model_from_string(model_bytes())
    del theirs.metadata_props[0]
    theirs.metadata_props[0].value = modelfile.EMPTY_DIGEST
    path.write_bytes(write_digest(theirs.SerializeToString()))
    with pytest.raises(ArtefactError, match="its metadata has no entry 'voxaffect'"):
        read_model(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"schema": "voxaffect.model/2"},
            "its schema is 'voxaffect.model/2'; this edition reads 'voxaffect.model/1'",
        ),
        ({"schema": None}, "its schema is None"),
        ({"labels": ["sad"]}, "labels is ['sad']; expected two or more different words"),
        ({"labels": None}, "lacks 'labels'"),
        ({"inputs": ["video"]}, "inputs is ['video']; expected some of ['spectrogram'"),
        ({"vote": "loudest"}, "vote is 'loudest'; expected one of ['majority', 'mean']"),
        ({"members": 0}, "members is 0; expected a count"),
        ({"calibration": {"temperature": 0}}, "temperature is 0.0; expected a number above 0"),
        ({"uncertain_below": 2}, "uncertain_below is 2.0; expected a probability"),
    ],
)
def test_unusable_metadata_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = write_model(tmp_path / "level.onnx", **changes)
    with pytest.raises(ArtefactError) as caught:
        read_model(path)
    assert caught.value.code == "model_refused"
    assert text in caught.value.message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caught.value.message


def test_metadata_that_is_no_object_is_refused(tmp_path: Path) -> None:
    theirs = onnx.load_model_from_string(model_bytes())
    theirs.metadata_props[0].value = "[1]"
    theirs.metadata_props[1].value = modelfile.EMPTY_DIGEST
    path = tmp_path / "x.onnx"
    path.write_bytes(write_digest(theirs.SerializeToString()))
    with pytest.raises(ArtefactError, match="its metadata is not usable: it is list, not an object"):
        read_model(path)


def test_features_of_another_edition_are_refused(tmp_path: Path) -> None:
    model = read_model(write_model(tmp_path / "level.onnx", features={"smell": 1}))
    with pytest.raises(ArtefactError, match=r"model_refused: .* its features are not those of this edition"):
        _ = model.features


def test_a_model_that_would_open_another_file_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "level.onnx", external=True)
    with pytest.raises(ArtefactError, match=r"model_refused: .* it takes weights from other files"):
        read_model(path)


def test_other_files_are_found_wherever_a_tensor_can_hide() -> None:
    from onnx import TensorProto, helper

    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    constant = helper.make_node("Constant", [], ["w"], value=tensor)
    inner = helper.make_graph([constant], "inner", [], [])
    branch = helper.make_node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
    function = helper.make_function("f", "F", [], ["w"], [constant], [helper.make_opsetid("", 18)])
    for model in (
        helper.make_model(helper.make_graph([constant], "g", [], [])),
        helper.make_model(helper.make_graph([branch], "g", [], [])),
        helper.make_model(helper.make_graph([], "g", [], []), functions=[function]),
    ):
        assert onnx_fields.has_external_data(model.SerializeToString())
    assert not onnx_fields.has_external_data(model_bytes())


def test_a_model_nested_without_end_is_refused() -> None:
    def nested(depth: int) -> bytes:
        data = b""
        for _ in range(depth):
            for field in (6, 5, 1):  # a graph in an attribute in a node
                data = bytes([field << 3 | 2]) + _varint(len(data)) + data
        return b"\x3a" + _varint(len(data)) + data

    assert not onnx_fields.has_external_data(nested(5))
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        onnx_fields.has_external_data(nested(200))


def _varint(value: int) -> bytes:
    data = b""
    while value >= 0x80:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def test_a_model_is_found_as_a_file_a_folder_and_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled, own = tmp_path / "bundled", tmp_path / "own"
    for folder in (bundled, own, own / "deep"):
        folder.mkdir()
    first = write_model(bundled / "bundled.onnx")
    other = write_model(bundled / "another.onnx")  # first in the alphabet, answers when named
    second = write_model(own / "mine.onnx")
    third = write_model(own / "deep" / "deep.onnx")
    monkeypatch.setattr(modelfile, "BUNDLED", bundled)
    monkeypatch.setenv(FOLDER_VARIABLE, str(own))
    assert find_model() == find_model("bundled") == find_model(first) == first
    assert find_model("another") == other
    assert find_model("mine") == second
    assert find_model("deep") == find_model(own / "deep") == third
    write_model(own / "deep" / "hidden.onnx")
    assert modelfile.list_models() == [other, first, third, second]


def test_a_missing_model_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modelfile, "BUNDLED", tmp_path / "bundled")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "own"))
    with pytest.raises(ArtefactError) as caught:
        find_model("big")
    assert str(caught.value) == (
        f"model_missing: no model 'big': looked in big, {tmp_path / 'bundled'}, {tmp_path / 'own'}; "
        "what is here is said by: voxaffect models list; VOXAFFECT_MODELS may name more folders"
    )
    for path in ("big.onnx", "folder/big"):
        with pytest.raises(
            ArtefactError, match=f"model_missing: there is no file or folder {path}; .* list$"
        ):
            find_model(path)
    (tmp_path / "own").mkdir()
    write_model(tmp_path / "own" / "big-one.onnx")
    with pytest.raises(ArtefactError, match=r"no model 'bigone': looked in .*; did you mean big-one\?"):
        find_model("bigone")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    with pytest.raises(
        ArtefactError,
        match=r"it holds none; a run becomes a model by: voxaffect models export .*run -o NAME\.onnx",
    ):
        find_model(tmp_path / "run")
    with pytest.raises(
        ArtefactError, match=r"model_missing: no bundled model: looked in .*; .* install it again"
    ):
        find_model()
    with pytest.raises(ArtefactError, match=r"should hold one \.onnx file; it holds none"):
        find_model(tmp_path)
    for name in ("", "x" * 300):  # neither is looked up as a path
        with pytest.raises(ArtefactError, match=f"model_missing: no model '{name}': looked in "):
            find_model(name)
    with pytest.raises(
        ArtefactError, match=r"model_missing: .* cannot be read \(No such file or directory\)"
    ):
        read_model(tmp_path / "gone.onnx")


def test_cuda_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    model = read_model(write_model(tmp_path / "level.onnx"))
    with pytest.raises(UsageError, match="no_gpu: no CUDA device; use --device cpu"):
        open_session(model, device="cuda")
    assert open_session(model, device="auto").get_providers() == ["CPUExecutionProvider"]


def test_options_of_a_session_are_checked(tmp_path: Path) -> None:
    model = read_model(write_model(tmp_path / "level.onnx"))
    with pytest.raises(ValueError, match="unknown device 'tpu'; expected one of"):
        open_session(model, device="tpu")
    with pytest.raises(ValueError, match="threads is 0; expected at least 1"):
        open_session(model, threads=0)


def test_a_graph_that_does_not_fit_its_metadata_is_refused(tmp_path: Path) -> None:
    model = read_model(write_model(tmp_path / "level.onnx", inputs=["mfcc"]))
    with pytest.raises(
        ArtefactError, match=r"its graph takes \['n_samples', 'waveform'\] and gives \['logits'\]"
    ):
        open_session(model)


def test_a_graph_that_the_runtime_cannot_load_is_refused(tmp_path: Path) -> None:
    broken = onnx.load_model_from_string(model_bytes())
    broken.graph.node[0].op_type = "Absurd"
    broken.metadata_props[1].value = modelfile.EMPTY_DIGEST
    path = tmp_path / "level.onnx"
    path.write_bytes(write_digest(broken.SerializeToString()))
    with pytest.raises(ArtefactError, match=r"model_refused: .* the runtime cannot load it"):
        open_session(read_model(path))


def test_a_file_can_be_left_with_fewer_outputs(tmp_path: Path) -> None:

    from voxaffect.runtime import onnxruntime

    ort = onnxruntime()

    data = find_model(None).read_bytes()
    names = onnx_fields.outputs(data)
    assert names == [value.name for value in ort.InferenceSession(data).get_outputs()]
    assert len(names) > 1
    plain = onnx_fields.with_outputs(data, ("logits",))
    assert onnx_fields.outputs(plain) == ["logits"]
    assert onnx_fields.metadata(plain) == onnx_fields.metadata(data)
    assert onnx_fields.with_outputs(data, names) == data  # and nothing else is touched
    given = {"mfcc": np.ones((2, 301, 40), np.float32), "n_samples": np.array([48_000, 16_000])}
    whole, fewer = (ort.InferenceSession(each).run(["logits"], given)[0] for each in (data, plain))
    np.testing.assert_allclose(whole, fewer, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="cut short"):
        onnx_fields.with_outputs(data[:-3], ("logits",))
    assert onnx_fields._as_varint(0) == b"\0"
    assert onnx_fields._as_varint(300) == b"\xac\x02"
    assert onnx_fields.outputs(b"") == []


def test_what_adapting_needs_is_opened_when_it_is_needed() -> None:
    from voxaffect.recogniser import open_recogniser

    recogniser = open_recogniser(read_model(find_model(None)))
    assert recogniser.whole is not None
    assert [value.name for value in recogniser.session.get_outputs()] == ["logits"]
    items = recogniser.items(np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1)
    recogniser.log_probs(items)
    assert recogniser.whole.cache_info().currsize == 0  # type: ignore[attr-defined]
    _, plain, _ = recogniser.statistics(items)
    assert recogniser.whole.cache_info().currsize == 1  # type: ignore[attr-defined]
    np.testing.assert_allclose(plain, recogniser.log_probs(items), rtol=1e-5, atol=1e-5)

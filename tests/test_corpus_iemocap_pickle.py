"""The authors' pickle of IEMOCAP: read as what it is, checked, and trained on without a recording."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from corpus_trees import BUILDERS
from iemocap_tree import RATE, SPEAKERS, build_iemocap_pickle, pickle_layout, speaker_layout, voice
from voxaffect import corpora
from voxaffect.cache import ArrayCache
from voxaffect.corpora import iemocap_pickle
from voxaffect.corpora.check import check
from voxaffect.corpora.iemocap_pickle import header, read_pickle, segments
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.examples import ExampleStore
from voxaffect.feature_options import NATIVE, PUBLISHED, FeatureOptions
from voxaffect.recipe import AugmentationOptions
from voxaffect.table import Utterance, UtteranceTable

INPUTS = ("spectrogram", "mfcc", "waveform")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_iemocap_pickle(tmp_path_factory.mktemp("pickle") / "features.pkl", 1)


def one_speaker() -> dict[str, np.ndarray]:
    return speaker_layout([(2, voice("Ses01M", "hap", 0.5)), (1, voice("Ses01M", "sad", 3.5))])


def written(tmp_path: Path, data: object) -> Path:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(data))
    return path


def test_speakers_are_read_as_python_would_load_them(whole: Path) -> None:
    loaded, read = pickle_layout(1), read_pickle(whole)
    assert list(read) == list(loaded) and len(read) == 10
    for name, speaker in read.items():
        mine = (speaker.spec, speaker.mfcc, speaker.audio)
        for stored, key in zip(mine, ("seg_spec", "seg_mfcc", "seg_audio"), strict=True):
            np.testing.assert_array_equal(stored.read(), loaded[name][key])
        np.testing.assert_array_equal(speaker.labels, loaded[name]["seg_label"])
        np.testing.assert_array_equal(speaker.seg_num, loaded[name]["seg_num"])
        assert speaker.n_bytes == sum(loaded[name][k].nbytes for k in ("seg_spec", "seg_mfcc", "seg_audio"))


def test_utterances_have_speakers_sessions_and_labels(whole: Path) -> None:
    table = corpora.read("iemocap-pickle", whole)
    assert table.speakers == tuple(f"iemocap-pickle/{name}" for name in SPEAKERS)
    assert table.counts(lambda u: u.label) == {"angry": 10, "happy": 10, "neutral": 10, "sad": 10}
    first = table[0]
    assert (first.id, first.session, first.gender, first.label) == (
        "iemocap-pickle/Ses01F_000",
        "Ses01",
        "female",
        "neutral",
    )
    assert [u.attributes["first_segment"] for u in table][:4] == [0.0, 1.0, 2.0, 4.0]  # the third has two


def test_segments_are_those_of_the_published_preset_and_lazy(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utterance = next(u for u in corpora.read("iemocap-pickle", whole) if u.attributes["segments"] == 2)
    stored = segments(utterance)
    reads: list[int] = []
    original = iemocap_pickle.SpeakerSegments.segment

    def counted(self: Any, row: int) -> dict[str, np.ndarray]:
        reads.append(row)
        return original(self, row)

    monkeypatch.setattr(iemocap_pickle.SpeakerSegments, "segment", counted)
    assert len(stored) == 2 and not reads
    item = stored[-1]
    assert reads == [int(utterance.attributes["first_segment"]) + 1]
    assert {name: values.shape for name, values in item.items()} == {
        "spectrogram": (300, 200),
        "mfcc": (300, 40),
        "waveform": (48_000,),
        "n_samples": (),
    }
    assert len(stored[0:2]) == 2
    with pytest.raises(IndexError):
        stored[2]


def test_an_utterance_is_as_long_as_its_frames_that_are_not_padding(tmp_path: Path) -> None:
    utterances = [(0, voice("Ses01M", "ang", seconds)) for seconds in (0.5, 1.23, 3.0, 4.5)]
    path = written(tmp_path, {"1M": speaker_layout(utterances)})
    table = corpora.read("iemocap-pickle", path)
    assert [header(u).duration for u in table] == pytest.approx([0.5, 1.23, 3.0, 4.5], abs=0.01)


# --- what is wrong with a pickle


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda speaker: speaker.pop(key)


def changed(key: str, change: Callable[[np.ndarray], object]) -> Callable[[dict[str, Any]], object]:
    return lambda speaker: speaker.update({key: change(speaker[key])})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("seg_mfcc"), "x.pkl: 1M has no array 'seg_mfcc'"),
        (changed("seg_num", lambda a: 7), "x.pkl: 1M has no array 'seg_num'"),
        (
            changed("seg_spec", lambda a: a.transpose(0, 1, 3, 2).copy()),
            "1M: seg_spec is (3, 1, 300, 200) float32, not (3, 1, 200, 300) float32 as seg_label says",
        ),
        (changed("seg_mfcc", lambda a: a.astype(np.float64)), "1M: seg_mfcc is (3, 300, 40) float64, not"),
        (changed("seg_audio", lambda a: a[:2]), "1M: seg_audio is (2, 48000) float32, not (3, 48000)"),
        (changed("seg_num", lambda a: a + 1), "1M: seg_num adds up to 5 of 3 segments, each at least 1"),
        (changed("seg_num", lambda a: a * 0 + [0, 3]), "1M: seg_num adds up to 3 of 3 segments, each at least 1"),
        (changed("seg_num", lambda a: a[:1]), "1M: seg_num counts 1 utterances, utter_label 2"),
        (changed("seg_num", lambda a: a * 1.0), "x.pkl: seg_num of 1M is (2,) float64, not a list of whole numbers"),
        (changed("seg_num", lambda a: a[None]), "x.pkl: seg_num of 1M is (1, 2) int8, not a list of whole numbers"),
        (changed("utter_label", lambda a: a * 0 + 4), "1M: utter_label holds [4]; expected 0 to 3"),
        (changed("seg_label", lambda a: a[::-1]), "1M: seg_label is not what utter_label and seg_num say"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_speaker_is_named(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    speaker = one_speaker()
    change(speaker)
    with pytest.raises(CorpusError) as caught:
        read_pickle(written(tmp_path, {"1M": speaker}))
    assert caught.value.code == "bad_pickle"
    assert caught.value.message.startswith(message)
    assert caught.value.where == str(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"6M": {}}, r"x\.pkl holds the keys \['6M'\]; expected some of \['1M', '1F', .*'5F'\]"),
        ({}, r"x\.pkl holds the keys \[\]; expected"),
        (np.zeros(3), r"x\.pkl holds no dict; expected"),
        ({"1M": 3}, r"x\.pkl: 1M has no array 'seg_spec'"),
    ],
)
def test_a_pickle_of_something_else_is_refused(data: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=f"bad_pickle: {message}"):
        read_pickle(written(tmp_path, data))


def test_a_folder_may_hold_one_pickle_only(tmp_path: Path) -> None:
    BUILDERS["iemocap-pickle"](tmp_path)
    (tmp_path / "second.PICKLE").write_bytes(b"")
    with pytest.raises(
        CorpusError, match=r"several_tables: .* holds 2 pickles: IEMOCAP\.pkl, second\.PICKLE; give"
    ):
        corpora.read("iemocap-pickle", tmp_path)


def test_a_malicious_pickle_is_refused_by_check_too(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"cposix\nsystem\n(Vtouch x\ntR.")
    with pytest.raises(CorpusError, match=r"refused_pickle: x\.pkl asks for posix\.system at byte 0"):
        check("iemocap-pickle", tmp_path)


def test_features_that_are_no_numbers_are_named_by_check_and_refused_in_training(tmp_path: Path) -> None:
    speaker = one_speaker()
    speaker["seg_mfcc"][2, 0, 0] = np.nan
    path = written(tmp_path, {"1M": speaker})
    report = check("iemocap-pickle", path)
    assert report.unreadable == ("the mfcc of segment 2 of 1M holds what is no number",)
    assert len(report.table) == 1 and report.exit_code() == ExitCode.NOTHING_USABLE
    with pytest.raises(CorpusError, match="not_finite: the mfcc of segment 2 of 1M holds what is no number"):
        store(corpora.read("iemocap-pickle", path)).judged(1)[1]


def test_a_pickle_that_is_replaced_is_scanned_anew(tmp_path: Path) -> None:
    first = corpora.read("iemocap-pickle", written(tmp_path, {"1M": one_speaker()}))
    second = corpora.read("iemocap-pickle", written(tmp_path, {"2F": one_speaker(), "1M": one_speaker()}))
    assert (len(first), len(second)) == (2, 4)
    (tmp_path / "x.pkl").unlink()
    with pytest.raises(CorpusError, match=r"unreadable_pickle: cannot read .*x\.pkl: No such file"):
        segments(second[0])


def test_check_reports_the_pickle_as_a_subset_with_its_hours(whole: Path) -> None:
    text = check("iemocap-pickle", whole).text()
    assert "40 of 5531 utterances, 10 speakers, 0:01:12\nformat: no recordings\n" in text
    assert text.endswith("verdict: a subset of the official release; what is here is sound\n")


# --- training from it


def store(
    table: UtteranceTable,
    options: FeatureOptions = PUBLISHED,
    inputs: tuple[str, ...] = INPUTS,
    **changes: Any,
) -> ExampleStore:
    values: dict[str, Any] = {
        "labels": ("angry", "happy", "neutral", "sad"),
        "augmentation": AugmentationOptions(),
        "frozen": (),
        "cache": ArrayCache(None),
    }
    made = ExampleStore(table, options=options, inputs=inputs, **{**values, **changes})
    made.prepare()
    return made


def test_training_sees_what_it_would_see_of_the_recordings(tmp_path: Path) -> None:
    """The pickle's items are those of the same voices as wav files under the preset `published`."""
    voices = [(0, voice("Ses01M", "ang", 1.0)), (3, voice("Ses01M", "neu", 3.2))]
    stored = corpora.read("iemocap-pickle", written(tmp_path, {"1M": speaker_layout(voices)}))
    recorded = []
    for position, (_, samples) in enumerate(voices):
        path = tmp_path / f"{position}.wav"
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        recorded.append(
            Utterance(id=f"x/{position}", path=path, speaker="x/1M", label=stored[position].label, corpus="x")
        )
    mine, theirs = store(stored), store(UtteranceTable(tuple(recorded)))
    assert mine.training_keys([0, 1]) == theirs.training_keys([0, 1]) == [(0, 0), (1, 0), (1, 1)]
    for key in mine.training_keys([0, 1]):
        a, b = (s.training_item(key, np.random.default_rng(0)) for s in (mine, theirs))
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    assert [len(mine.judged(i)) for i in (0, 1)] == [1, 2]
    np.testing.assert_array_equal(mine.targets, theirs.targets)


def test_only_what_the_model_reads_is_kept(whole: Path) -> None:
    made = store(corpora.read("iemocap-pickle", whole), inputs=("mfcc",))
    assert made.judged(0)[0].keys() == {"mfcc", "n_samples"}
    assert [item.keys() for item in made.judged(2)[:2]] == [{"mfcc", "n_samples"}] * 2


class WaveformEncoder:
    """Stands for a frozen encoder of waveforms and counts its runs."""

    stride = 1
    inputs = ("waveform",)
    states_name = "speech_states"
    states_key = "x"
    cacheable = True

    def __init__(self) -> None:
        self.runs = 0

    def numpy_states(self, item: dict[str, np.ndarray]) -> np.ndarray:
        self.runs += 1
        return np.full((149, 1, 2), item["waveform"][-1], np.float16)


def test_states_of_a_frozen_encoder_are_computed_once(whole: Path) -> None:
    encoder = WaveformEncoder()
    table = corpora.read("iemocap-pickle", whole).where(lambda u: u.speaker.endswith("Ses01F"))
    made = store(table, inputs=("mfcc",), frozen=(encoder,))
    for _ in range(2):
        items = [item for i in range(len(table)) for item in made.judged(i)]
        assert all(item.keys() == {"mfcc", "n_samples", "speech_states"} for item in items)
    assert encoder.runs == len(items) == 5


@pytest.mark.parametrize(
    ("changes", "needs"),
    [
        ({"options": NATIVE}, r'\[features\] preset = "published"'),
        ({"augmentation": AugmentationOptions(copies=2)}, r"\[augmentation\] copies = 0"),
        ({"inputs": ("log_mel",)}, r"a model that takes \['spectrogram', 'mfcc', 'waveform'\], not \['log_mel'\]"),
        ({"teacher": WaveformEncoder()}, r"no \[distillation\]"),
        (
            {"options": NATIVE, "inputs": ("log_mel", "mfcc")},
            r'\[features\] preset = "published" and a model that takes .*, not \[\'log_mel\'\]',
        ),
    ],
)  # fmt: skip
def test_what_needs_recordings_is_refused(changes: dict[str, Any], needs: str, whole: Path) -> None:
    message = (
        f"stored_features: 'iemocap-pickle' holds the published features, not recordings; it needs {needs}"
    )
    with pytest.raises(UsageError, match=message):
        store(corpora.read("iemocap-pickle", whole), **changes)


def test_a_recipe_trains_on_the_pickle_from_end_to_end(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from voxaffect.recipe import read_recipe
    from voxaffect.train import train

    path = tmp_path / "r.toml"
    path.write_text(
        f'name = "r"\n[data]\ncorpora = ["iemocap-pickle"]\nroots = {{iemocap-pickle = "{whole}"}}\n'
        '[protocol]\nfolds = "speaker-groups"\ngroups = 2\n[features]\npreset = "published"\n'
        '[model]\nwidth = 8\nheads = 2\n[model.mfcc]\nkind = "bilstm"\nhidden = 4\nlayers = 1\nstack = 4\n'
        "[training]\nepochs = 1\n"
    )
    evaluation = train(read_recipe(path), tmp_path / "run", device="cpu", quiet=True)
    assert evaluation is not None
    rows = (tmp_path / "run" / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 40  # every utterance is tested once

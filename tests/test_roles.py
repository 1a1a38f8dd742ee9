"""Roles, whom the law protects, and channels that are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_models import LEVELS, RATE, square, write_model, write_wav
from voxaffect import modelfile
from voxaffect.cli import main
from voxaffect.errors import ExitCode, UsageError
from voxaffect.predictor import Predictor, load
from voxaffect.roles import Likeness, check_roles, is_protected, parse_roles

pytest.importorskip("onnx", reason="the fake model is made with onnx")
pytestmark = pytest.mark.usefixtures("sound_is_speech")

ROLES = {0: "customer", 1: "agent"}


@pytest.fixture
def model(tmp_path: Path) -> Predictor:
    return load(write_model(tmp_path / "level.onnx"))


def call() -> tuple[np.ndarray, int]:
    """The customer is angry, the agent sad."""
    return np.stack([square(LEVELS["angry"], 4), square(LEVELS["sad"], 4, hz=130.0)], axis=1), RATE


@pytest.mark.parametrize(
    "role",
    [
        "agent",
        "Agent",
        "agent 2",
        "call-agent",
        "AGENTS",
        "employee_1",
        "student",
        "Schülerin",
        "job applicant",
    ],
)
def test_people_at_work_and_in_education_are_protected(role: str) -> None:
    assert is_protected(role)


@pytest.mark.parametrize("role", ["customer", "caller", "patient", "agency", "left", "speaker 1", "player"])
def test_others_are_not(role: str) -> None:
    assert not is_protected(role)


def test_a_protected_role_is_refused_with_the_reason(model: Predictor) -> None:
    with pytest.raises(
        UsageError, match=r"prohibited_role: the role 'agent' is of somebody at work"
    ) as caught:
        model.predict(call(), roles=ROLES)
    assert "Article 5(1)(f)" in caught.value.message
    assert "--only ROLE" in str(caught.value.hint)
    assert "--i-have-a-lawful-basis" in str(caught.value.hint)
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(UsageError, match="prohibited_role"):
        model.predict(call(), roles=ROLES, only="agent")
    with pytest.raises(UsageError, match="prohibited_role"):
        model.predict(call(), roles=ROLES, channels=1)


def test_one_role_alone_is_judged(model: Predictor) -> None:
    result = model.predict(call(), roles=ROLES, only="customer")
    assert result.label == "angry"
    assert [(s.channel, s.role, s.label) for s in result.summary] == [(0, "customer", "angry")]
    assert {(s.channel, s.role) for s in result.segments} == {(0, "customer")}
    assert result.settings is not None
    assert result.settings.channels == "split"
    other = model.predict(call(), roles={0: "agent", 1: "customer"}, only="customer")
    assert [(s.channel, s.role, s.label) for s in other.summary] == [(1, "customer", "sad")]


def test_with_a_lawful_basis_everybody_is_judged(model: Predictor) -> None:
    result = model.predict(call(), roles=ROLES, lawful_basis=True)
    assert [(s.channel, s.role, s.label) for s in result.summary] == [
        (0, "customer", "angry"),
        (1, "agent", "sad"),
    ]
    assert [s.channel for s in result.segments] == [0, 1, 0, 1]


def test_channels_without_a_role_are_judged_unless_only_one_is_asked_for(model: Predictor) -> None:
    result = model.predict(call(), roles={0: "customer"})
    assert [s.role for s in result.summary] == ["customer", None]
    one = model.predict(call(), roles={0: "customer", 1: "agent"}, channels=0)
    assert [(s.channel, s.role) for s in one.summary] == [(0, "customer")]


def test_wrong_roles_are_named(model: Predictor) -> None:
    for roles in ({-1: "customer"}, {0: " "}, {True: "customer"}, {"0": "customer"}):
        with pytest.raises(UsageError, match=r"bad_value: the role .* is none"):
            model.predict(call(), roles=roles)  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"unknown_role: no channel has the role 'caller'; there are \['customer'\]"
    ):
        model.predict(call(), roles={0: "customer"}, only="caller")
    with pytest.raises(UsageError, match=r"unknown_role: .*there are none"):
        model.predict(call(), only="caller")
    with pytest.raises(Exception, match="no_such_channel: channel 7 is asked for; there are 2"):
        model.predict(call(), roles={7: "customer"})


def test_roles_are_written_as_channel_and_name() -> None:
    assert parse_roles("0=customer, 1=agent") == ROLES
    for text in ("customer", "0=", "x=agent", "0=a,0=b", ""):
        with pytest.raises(ValueError, match="is no role of a channel; expected as in 0=customer,1=agent"):
            parse_roles(text)


def test_roles_of_a_mix_split_it_and_no_roles_change_nothing() -> None:
    assert check_roles({}, None, "mix", False) == {}
    assert check_roles(ROLES, None, 0, False) == {0: "customer"}


@pytest.mark.parametrize("gain", [1.0, 0.1, -2.0])
def test_channels_that_are_the_same_signal_are_warned_about(model: Predictor, gain: float) -> None:
    one = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    both = np.stack([one, one * np.float32(gain)], axis=1)
    codes = [w.code for w in model.predict((both, RATE), channels="split").warnings]
    assert ("same_channels" in codes) is (gain > 0)
    assert "same_channels" not in [w.code for w in model.predict((both, RATE)).warnings]
    assert "same_channels" in [
        w.code
        for w in model.predict((np.stack([one, one], axis=1), RATE), roles=ROLES, only="customer").warnings
    ]


def test_channels_that_differ_are_not() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(0, 0.1, (2, RATE)).astype(np.float32)
    for block in (
        np.stack([one, other], axis=1),
        np.stack([one, one + 0.1 * other], axis=1),
        np.stack([one, np.zeros_like(one)], axis=1),
        one[:, None],
    ):
        likeness = Likeness()
        likeness.feed(block)
        assert not likeness.same
    assert not Likeness().same


def test_the_command_refuses_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "level.onnx")
    monkeypatch.setattr(modelfile, "BUNDLED", tmp_path)
    monkeypatch.setattr(modelfile, "DEFAULT", "level")
    path = str(write_wav(tmp_path / "call.wav", call()[0]))
    roles = ["--roles", "0=customer,1=agent"]
    assert main(["predict", path, *roles]) == ExitCode.USAGE
    assert "prohibited_role: the role 'agent'" in capsys.readouterr().err
    assert main(["predict", path, *roles, "--only", "customer", "-f", "csv"]) == ExitCode.OK
    assert "customer" in capsys.readouterr().out
    assert main(["predict", path, *roles, "--i-have-a-lawful-basis", "-f", "csv"]) == ExitCode.OK
    assert "agent" in capsys.readouterr().out
    assert main(["predict", path, "--roles", "customer"]) == ExitCode.USAGE
    assert "'customer' is no role of a channel" in capsys.readouterr().err

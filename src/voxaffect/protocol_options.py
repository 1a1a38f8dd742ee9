"""Options of a recipe that say who trains, selects and tests, and what is adapted to: protocol, members, vote."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LATER: dict[str, Any] = {"later": True}
"""Marks a key that came after the first edition: at its default it does not count in a recipe's digest."""

SELECT_ON = ("dev", "test")
VOTES = ("majority", "mean", "weighted")
UNITS = ("none", "speaker", "condition")
SHRINKAGE = 5.0
"""Seconds of speech, chosen on dev speakers: 5, 20 and 60 were tried on RAVDESS, 2, 5 and 10 on EmoDB."""


@dataclass(frozen=True)
class ProtocolOptions:
    """Which speakers train, select and test. Folds are speaker-disjoint by construction.

    `folds`: `leave-one-speaker-out`, `speaker-groups` (`groups` of them), `leave-one-session-out`,
    `leave-one-corpus-out` (a corpus tests whole, speakers of the others train and select), `8:1:1-by-speaker`,
    `8:1:1-by-session`, `all-speakers` (no test speakers: the final model), a published set of folds such as
    `ravdess-emobox`, `members`, or the path of a CSV with the columns speaker,fold or id,fold,split.
    `dev_speakers` are drawn anew for each seed from those that do not test, except where the folds name them.
    `seeds`: the whole protocol runs once for each.

    `members`: `test_speakers` are fixed, and each of the recipe's members trains on other speakers. Those stand in
    the recipe's tables `[members.NAME]`, or `members` of them are drawn, of `train_speakers` and `dev_speakers` each.
    With any other folds of speakers, `members` of them are drawn in each fold: each has other `dev_speakers`, and all
    others who do not test train it. `member` is the number, from 1, of the one that a run is; 0 is none.

    Shortcuts that flatter, each with its own permission: `select_on` = "test" chooses the epoch or grid point on
    the test speakers (`allow_test_selection`); the speakers that would select are left out, and with `dev_speakers`
    = 0 they train. `folds` = "random" deals out utterances, `groups` of them, whoever speaks
    (`allow_speaker_overlap`, which a CSV of utterances needs as well if it does so).
    """

    folds: str = "leave-one-speaker-out"
    groups: int = 5
    dev_speakers: int = 2
    seeds: tuple[int, ...] = (1,)
    members: int = field(default=0, metadata=LATER)
    train_speakers: int = field(default=0, metadata=LATER)
    test_speakers: tuple[str, ...] = field(default=(), metadata=LATER)
    member: int = field(default=0, metadata=LATER)
    select_on: str = field(default="dev", metadata=LATER)
    allow_test_selection: bool = field(default=False, metadata=LATER)
    allow_speaker_overlap: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        if self.select_on not in SELECT_ON:
            raise ValueError(f"unknown select_on {self.select_on!r}; expected one of {list(SELECT_ON)}")
        if self.select_on == "test" and not self.allow_test_selection:
            raise ValueError(
                "select_on = 'test' chooses on the very speakers that are judged, so that figures come out too high "
                "(by 2.7 to 4.7 points in print); allow_test_selection = true does it all the same, stamped OPTIMISTIC"
            )
        if self.folds == "random" and not self.allow_speaker_overlap:
            raise ValueError(
                "folds = 'random' tests speakers that were trained on, so that figures come out too high; "
                "allow_speaker_overlap = true does it all the same, stamped OPTIMISTIC"
            )
        if self.folds == "random" and self.select_on == "test":
            raise ValueError("select_on = 'test' takes folds of speakers, not 'random' ones")
        if self.dev_speakers < (0 if self.select_on == "test" else 1):
            raise ValueError("dev_speakers must be at least 1: selection never uses test speakers")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must be distinct and at least one, got {list(self.seeds)}")
        self._check_members()

    def _check_members(self) -> None:
        if not 0 <= self.member <= self.members:
            raise ValueError(f"member is {self.member}; expected 1 to {self.members} of the members, or 0")
        if self.folds != "members":
            for name in ("train_speakers", "test_speakers"):
                if getattr(self, name):
                    raise ValueError(f"{name} goes with folds = 'members', not with {self.folds!r}")
            self._check_drawn_in_folds()
            return
        if self.member:
            raise ValueError("members of folds = 'members' go by their tables [members.NAME], not by number")
        if not self.test_speakers:
            raise ValueError("folds = 'members' needs test_speakers: whom all members are judged on")
        if self.members and (self.members < 2 or self.train_speakers < 1):
            raise ValueError(
                "members must be at least 2, of at least 1 of the train_speakers each, "
                f"got {self.members} of {self.train_speakers}"
            )

    def _check_drawn_in_folds(self) -> None:
        if not self.members:
            return
        if self.members < 2:
            raise ValueError(f"members must be at least 2, got {self.members}")
        if self.select_on == "test" or self.allow_speaker_overlap or self.folds == "random":
            raise ValueError(
                "members draw dev speakers among those who do not test; the folds must keep them apart"
            )
        if self.folds.startswith("8:1:1"):
            raise ValueError(f"members draw their own dev speakers; the folds {self.folds!r} name them")


@dataclass(frozen=True)
class MemberOptions:
    """The speakers on which one member of an ensemble trains and selects."""

    train: tuple[str, ...]
    dev: tuple[str, ...] = ()


@dataclass(frozen=True)
class EnsembleOptions:
    """How the members' answers become one, as `voxaffect.ensemble.combine` has it."""

    vote: str = "majority"

    def __post_init__(self) -> None:
        if self.vote not in VOTES:
            raise ValueError(f"unknown vote {self.vote!r}; expected one of {list(VOTES)}")


@dataclass(frozen=True)
class AdaptationOptions:
    """What answers are adapted to, as a second figure beside the plain one: nothing unless asked for.

    `unit`: "speaker", or "condition", which is the corpus of an utterance: recorded in the same place in the same
    way. The unlabelled test audio of the unit enrols, `seconds` of it, drawn anew for each seed; 0: all of it.
    `shrinkage`: seconds of speech at which what is found of a unit counts by half.
    """

    unit: str = "none"
    seconds: float = 0.0
    shrinkage: float = SHRINKAGE

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unknown unit {self.unit!r}; expected one of {list(UNITS)}")
        if not (0 <= self.seconds < float("inf") and 0 < self.shrinkage < float("inf")):
            raise ValueError("seconds must be 0 or more and shrinkage above 0")
        if self.unit == "none" and (self.seconds, self.shrinkage) != (0.0, SHRINKAGE):
            raise ValueError("seconds and shrinkage need unit = 'speaker' or 'condition'")

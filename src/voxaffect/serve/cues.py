"""Cues on their way from the process that hears to the server: JSON and bytes.

A window travels as the items that the model is given, in place of its samples: they are a quarter as large, and the
server is spared to compute them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxaffect.features import FeatureOptions, segments_of_all
from voxaffect.recogniser import Item
from voxaffect.segmenter import Cue, End, Start, Step, Window, to_judge
from voxaffect.serve import channel

NONE = np.zeros(0, np.float32)
"""The samples of a window that came as items."""


@dataclass(frozen=True)
class HeardCue:
    """A cue with the `items` that the model is to judge; none where there is nothing to judge."""

    cue: Cue
    items: tuple[Item, ...] = ()


def pack(
    cues: Sequence[Cue], features: FeatureOptions, inputs: Sequence[str]
) -> tuple[list[list[Any]], list[bytes]]:
    """JSON values of `cues`, and the bytes of the items of those that have samples."""
    samples, places = to_judge(cues)
    made = iter(segments_of_all(samples, features, inputs, places))
    values, parts = [], []
    for cue in cues:
        items = [] if cue.samples is None else next(made)
        shapes, payload = channel.pack(items)
        values.append([cue.channel, cue.utterance, list(cue.flags), _step(cue), shapes])
        parts.extend(payload)
    return values, parts


def unpack(values: Sequence[Any], payload: bytes) -> list[HeardCue]:
    """The cues that `pack` took apart; raises ChannelError if they are none."""
    try:
        items = iter(channel.unpack([shape for *_, shapes in values for shape in shapes], payload))
        return [_cue(value, items) for value in values]
    except (ValueError, TypeError, IndexError, KeyError, StopIteration) as error:
        raise channel.ChannelError(f"cues that are none ({error})") from error


def _step(cue: Cue) -> list[Any]:
    step = cue.step
    if isinstance(step, Start):
        return ["start", step.start, step.at]
    if isinstance(step, End):
        return ["end", step.stop, step.at, step.speech]
    return ["window", step.start, step.stop, step.at, step.final, step.trigger]


def _cue(value: Sequence[Any], items: Iterator[Item]) -> HeardCue:
    number, utterance, flags, (kind, *step), shapes = value
    made: Step = (
        Start(*step) if kind == "start" else End(*step) if kind == "end" else Window(*step, NONE)  # type: ignore[call-arg]
    )
    return HeardCue(Cue(number, utterance, made, tuple(flags)), tuple(next(items) for _ in shapes))

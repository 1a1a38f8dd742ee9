"""What can be scored without listening: guesses from metadata, to stand beside every score.

A guess is fitted on the training and dev utterances of a fold and answers for the fold's test utterances, as the model
does. From a word (text, scenario, gender …) it takes the class that was most frequent with that word in training;
from the duration, the most probable class of Gaussians over its logarithm; where the word was never heard in training,
the most frequent class of all. If it comes near a model, the corpus gives the emotion away by other means than sound.

A run folder has them as `baselines.json`:

    {"schema": "voxaffect.baselines/1", "labels": [...],
     "baselines": [{"name": "majority class"|"scenario"|"text"|"session"|"take"|"gender"|"language"|"corpus"|"speaker"|
                            "duration", "n": test utterances, "known": share of them whose word was in training,
                    "UA", "WA", "macro-F1" (fractions of 1, means over seeds)}],
     "left_out": [{"name", "reason"}]}
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from voxaffect import metrics
from voxaffect.errors import ArtefactError
from voxaffect.files import write_json
from voxaffect.member import Training
from voxaffect.metadata import Metadata, seconds_of
from voxaffect.predictions import Predictions
from voxaffect.significance import MEASURES

FILE_NAME = "baselines.json"
SCHEMA = "voxaffect.baselines/1"
MAJORITY = "majority class"
WORDS = ("scenario", "text", "session", "take", "gender", "language", "corpus", "speaker")
"""The columns of which each makes a guess, beside `duration`."""

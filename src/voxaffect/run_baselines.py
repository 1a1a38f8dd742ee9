"""The baselines of a finished run, from what its folder keeps, else from its recipe's corpora; or of anyone's CSV."""

from __future__ import annotations

from pathlib import Path

from voxaffect import baselines, metadata
from voxaffect.baselines import Baselines, read_baselines
from voxaffect.corpora.sheet import read_sheet
from voxaffect.errors import CorpusError, VoxaffectError
from voxaffect.predictions import FILE_NAME, Predictions
from voxaffect.run import RunFolder
from voxaffect.table import UtteranceTable
from voxaffect.trainings import read_trainings


def of_predictions(path: Path, predictions: Predictions) -> Baselines | None:
    """The guesses beside the `predictions` in the file `path`; None where the file has no metadata and no run.

    In a run's folder they are those of `baselines.json`; where there is none (the run is older), they are computed from
    `utterances.csv`, else from the corpora that `recipe.json` names. Anywhere else the file's own columns are used:
    text, scenario, session, gender, duration and the like, each guess fitted on the other folds (or speakers).

    Raises:
        CorpusError: `corpus_absent` where the run needs its corpora and they cannot be read; a cell that cannot be.
        ArtefactError: `bad_baselines`, `damaged_file`.
    """
    folder = path.parent
    if path.name == FILE_NAME and (folder / baselines.FILE_NAME).is_file():
        return read_baselines(folder / baselines.FILE_NAME)
    trainings = read_trainings(folder) if path.name == FILE_NAME else ()
    if trainings and (folder / metadata.FILE_NAME).is_file():
        known = metadata.read_metadata(folder / metadata.FILE_NAME)
        return baselines.baselines(predictions, known, trainings)
    if trainings and (folder / "recipe.json").is_file():
        return baselines.baselines(predictions, metadata.of_table(_table(folder)), trainings)
    return _of_sheet(path, predictions)


def _table(folder: Path) -> UtteranceTable:
    from voxaffect.train import read_table  # it imports what training needs

    try:
        return read_table(RunFolder(folder).recipe)
    except VoxaffectError as error:
        raise CorpusError(
            "corpus_absent",
            f"no baselines without audio, since the corpora of the run cannot be read: {error.message}",
            where=str(folder),
        ) from error


def _of_sheet(path: Path, predictions: Predictions) -> Baselines | None:
    rows = {row["id"]: row for row in reversed(read_sheet(path, ("id", "truth")))}  # the first row of each id
    columns = metadata.columns_of(tuple(rows.values()))
    if not columns.keys() - {"speaker", "corpus", "label"}:
        return None
    truth = dict(zip(predictions.ids, predictions.truth, strict=True))
    columns["label"] = tuple(predictions.labels[truth[utterance]] for utterance in rows)
    return baselines.baselines(predictions, metadata.Metadata(tuple(rows), columns))

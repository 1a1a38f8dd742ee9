"""Pictures show what they are given; no window, no global state."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxaffect import plots
from voxaffect.calibration import reliability
from voxaffect.errors import ResourceError, UsageError

PNG = b"\x89PNG\r\n\x1a\n"


def texts(figure: Any) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def rows(folds: int = 2, seeds: int = 2) -> list[dict[str, Any]]:
    return [
        {"fold": f"f{f}", "seed": s, "epoch": e, "train_loss": 2 / e, "dev_loss": 2 / e + 0.1, "dev_ua": ua}
        for f in range(folds)
        for s in range(seeds)
        for e, ua in ((1, 0.4), (2, 0.7), (3, 0.7), (4, 0.6))
    ]


def test_an_adaptation_curve_shows_every_figure_and_says_what_it_is() -> None:
    curve = {
        "title": "tiny",
        "points": [{"seconds": 0, "ua": 0.7, "std": 0.0}, {"seconds": 5, "ua": 0.75, "std": 0.01}],
        "all": {"mean_seconds": 61.2, "ua": 0.8},
        "one_class": {"judged_on_the_same": 0.69, "judged_on_all": 0.71},
    }
    figure = plots.adaptation_figure(curve)
    assert texts(figure) == ["70.0", "75.0", "80.0", "70.0", "69.0", "71.0"]
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["plain", "5 s", "all\n(61 s)"]
    assert "adapted, transductive" in figure.axes[0].get_xlabel()
    assert plots.png(figure).startswith(PNG)


def test_a_confusion_matrix_shows_row_percent_and_counts() -> None:
    figure = plots.confusion_figure(
        [("cnn", [[3, 1], [0, 0]]), ("vit", [[2.5, 1.5], [1, 3]])], ["angry", "sad"]
    )
    assert [a.get_title() for a in figure.axes] == ["cnn", "vit"]
    assert texts(figure)[:8] == ["75", "3", "25", "1", "0", "0", "0", "0"]
    assert texts(figure)[8:10] == ["62", "2.5"]
    assert plots.png(figure).startswith(PNG)


def test_seven_members_have_a_panel_each() -> None:
    figure = plots.confusion_figure([(f"member {i}", np.eye(4)) for i in range(7)], ["a", "b", "c", "d"])
    assert [a.get_visible() for a in figure.axes] == [True] * 7 + [False]


@pytest.mark.parametrize(("K", "n"), [(2, 1), (4, 3), (8, 1), (8, 2), (8, 5)])
def test_titles_and_labels_lie_within_the_picture(K: int, n: int) -> None:
    title = "a name OPTIMISTIC (validation-on-test)"
    figure = plots.confusion_figure([(title, np.eye(K))] * n, [f"a long label {k}" for k in range(K)])
    plots.png(figure)  # the layout is made when it is drawn
    width, height = figure.get_size_inches() * figure.dpi
    for axis in figure.axes[:n]:
        box = axis.get_tightbbox()
        assert -1 <= box.x0 < box.x1 <= width + 1
        assert -1 <= box.y0 < box.y1 <= height + 1


def test_training_curves_mark_the_first_best_epoch_of_each_seed() -> None:
    figure = plots.training_figure(rows())
    dots = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "o"]
    assert [(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in dots] == [(2.0, 70.0)] * 4
    assert [a.get_title() for a in figure.axes if a.get_title()] == ["f0", "f1"]
    assert plots.png(figure).startswith(PNG)


def test_without_a_dev_ua_the_lowest_dev_loss_is_marked() -> None:
    taught = [{k: v for k, v in row.items() if k != "dev_ua"} for row in rows()]
    figure = plots.training_figure(taught)
    dots = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "o"]
    lowest = min(taught, key=lambda row: row["dev_loss"])
    marked = {(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in dots}
    assert marked == {(lowest["epoch"], lowest["dev_loss"])}
    assert len(figure.axes) == 2  # no second scale


def test_training_curves_survive_a_loss_that_is_not_finite() -> None:
    broken = [{**row, "dev_loss": float("nan"), "train_loss": float("inf")} for row in rows(1, 1)]
    assert plots.png(plots.training_figure(broken)).startswith(PNG)


def test_a_long_title_over_long_names_stays_within_the_picture() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    title = "A corpus, another corpus and a third, four classes, five groups of unseen speakers, some model"
    figure = plots.price_figure({"speech-shaped, SNR 20 dB": {"UA": (-0.1, -0.2, 0.0)}}, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (text,) = (t for t in figure.texts if "corpus" in t.get_text())
    box = text.get_window_extent(canvas.get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_a_reliability_curve_shows_each_bin() -> None:
    bins = reliability([0.3, 0.9, 0.95], [True, True, False])
    figure = plots.reliability_figure(bins, 0.1)
    curve = next(line for line in figure.axes[0].lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == [b.confidence for b in bins]
    assert list(curve.get_ydata()) == [b.accuracy for b in bins]
    assert plots.png(figure).startswith(PNG)


def test_the_same_figure_gives_the_same_bytes() -> None:
    def draw() -> bytes:
        return plots.png(plots.confusion_figure([("", [[3, 1], [1, 4]])], ["a", "b"]))

    assert draw() == draw()


@pytest.mark.parametrize(("name", "magic"), [("a.png", PNG), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")])
def test_the_ending_chooses_the_format(tmp_path: Path, name: str, magic: bytes) -> None:
    plots.save(plots.confusion_figure([("", np.eye(2))], ["a", "b"]), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 3\), got \[\(2, 2\)\]"):
        plots.confusion_figure([("", np.eye(2))], ["a", "b", "c"])
    with pytest.raises(ValueError, match="one or more matrices"):
        plots.confusion_figure([], ["a", "b"])
    with pytest.raises(ValueError, match="no epochs to draw"):
        plots.training_figure([])
    with pytest.raises(ValueError, match=r"an epoch lacks \['dev_loss'\]"):
        plots.training_figure([{"fold": "f", "epoch": 1, "train_loss": 1.0}])
    with pytest.raises(ValueError, match="no predictions to draw"):
        plots.reliability_figure([], 0.0)
    with pytest.raises(ValueError, match="no predictions to draw"):
        plots.certainty_figure({})
    with pytest.raises(UsageError, match=r"cannot write a picture as '.bmp'; expected one of"):
        plots.save(plots.confusion_figure([("", np.eye(2))], ["a", "b"]), tmp_path / "a.bmp")
    for name in ("a.png", "a.svg"):
        with pytest.raises(ResourceError, match=r"cannot_write: the output cannot be written \(No such file"):
            plots.save(plots.confusion_figure([("", np.eye(2))], ["a", "b"]), tmp_path / "gone" / name)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="needs matplotlib, which is not installed") as caught:
        plots.confusion_figure([("", np.eye(2))], ["a", "b"])
    assert caught.value.hint == 'install it with: pip install "voxaffect[plot]"'


def test_importing_the_evaluation_loads_neither_matplotlib_nor_torch() -> None:
    code = (
        "import sys, voxaffect.evaluation, voxaffect.plots, voxaffect.cli.evaluate;"
        "print([m for m in ('matplotlib', 'torch', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

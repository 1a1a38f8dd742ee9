"""Charts show what they are given, keep to one scale, and are the same markup for the same values."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from scipy import stats

from html_tree import Tree
from voxaffect.calibration import reliability
from voxaffect.charts import (
    WIDTH,
    Band,
    Dot,
    domain,
    dot_chart,
    reliability_chart,
    ticks,
    training_charts,
    wilson,
)

ROWS = [Dot("cnn", 64.2, (60.0, 68.0)), Dot("vit", 62.5), Dot("none", math.nan)]


def circles(markup: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', markup)]


def epochs(folds: int = 2, seeds: int = 2) -> list[dict[str, object]]:
    return [
        {"fold": f"f{f}", "seed": s, "epoch": e, "train_loss": 2 / e, "dev_loss": 2 / e + 0.1, "dev_ua": ua}
        for f in range(folds)
        for s in range(seeds)
        for e, ua in ((1, 0.4), (2, 0.7), (3, 0.7), (4, 0.6))
    ]


def test_a_dot_stands_at_its_value_and_its_figure_beside_it() -> None:
    markup = dot_chart(ROWS, "WA, %", (60, 70), "alt").markup
    tree = Tree(markup)
    assert tree.open == []
    (first, _), (second, _) = circles(markup)
    left, right = (
        float(x) for x in re.findall(r'<path d="M([\d.]+) [\d.]+L[\d.]+ [\d.]+" class="s-line"', markup)[::5]
    )
    assert (first - left) / (right - left) == pytest.approx(0.42, abs=0.005)
    assert (second - left) / (right - left) == pytest.approx(0.25, abs=0.005)
    assert {"cnn", "64.2", "vit", "62.5", "none", "–", "WA, %"} <= set(tree.texts["text"])
    assert tree.elements[0][1]["aria-label"] == "alt"


def test_an_interval_is_drawn_from_its_low_to_its_high_end() -> None:
    markup = dot_chart(ROWS, "WA, %", (60, 70), "alt").markup
    ends = re.search(r'<path d="M([\d.]+) [\d.]+L([\d.]+) [\d.]+" class="s-c1"', markup)
    assert ends
    (dot, _), *_ = circles(markup)
    low, high = float(ends[1]), float(ends[2])
    assert (dot - low) / (high - low) == pytest.approx((64.2 - 60) / 8, abs=0.01)


def test_a_line_and_a_band_are_labelled_above() -> None:
    rows = [Dot("m1", 61, mark="ring"), Dot("vote", 64, mark="diamond", colour="c2", apart=True)]
    markup = dot_chart(rows, "WA, %", (58, 70), "alt", line=(61, "mean"), band=Band(59, 63, "chance")).markup
    assert {"mean", "chance"} <= set(Tree(markup).texts["text"])
    assert 'class="f-faint"' in markup and 'class="f-c2"' in markup


def test_a_long_label_is_cut_and_kept_whole_as_a_title() -> None:
    tree = Tree(dot_chart([Dot("x" * 80, 50)], "", (0, 100), "").markup)
    assert tree.texts["title"] == ["x" * 80]
    assert any(
        re.fullmatch(r"x{80}x+…", words) for words in tree.texts["text"]
    )  # the title, then what is drawn


def test_every_mark_stays_within_the_chart() -> None:
    markup = dot_chart([Dot("far", 900, (-50, 1000))], "", (0, 100), "").markup
    assert all(0 <= float(x) <= WIDTH for x in re.findall(r'(?:M|L|cx="|x=")([\d.-]+)', markup))


def test_a_reliability_chart_has_a_point_and_a_bar_for_each_bin() -> None:
    bins = reliability([0.3, 0.9, 0.95, 0.97], [True, True, False, True])
    markup = reliability_chart(bins, "alt").markup
    assert Tree(markup).open == []
    points = circles(markup)
    assert len(points) == len(bins) == markup.count("<rect")
    top, floor = 8.0, 258.0
    for (_, y), b in zip(points, bins, strict=True):
        assert (floor - y) / (floor - top) == pytest.approx(b.accuracy, abs=0.001)


def test_training_charts_have_a_panel_for_each_fold_and_a_dot_for_each_seed() -> None:
    markup = training_charts(epochs()).markup
    tree = Tree(markup)
    assert tree.open == []
    assert sum(tag == "svg" for tag, _ in tree.elements) == 1 + 2  # the legend, and a panel for each fold
    assert len(circles(markup)) == 4
    assert len(set(circles(markup))) == 1  # the first of the best epochs, alike in all seeds and folds here
    assert {"f0", "f1"} <= set(tree.texts["text"])


def test_training_charts_without_a_dev_ua_mark_the_lowest_dev_loss() -> None:
    taught = [{k: v for k, v in row.items() if k != "dev_ua"} for row in epochs()]
    markup = training_charts(taught).markup
    assert len(set(circles(markup))) == 1
    assert circles(markup) != circles(training_charts(epochs()).markup)
    assert "dev UA" not in markup


def test_training_charts_survive_a_loss_that_is_not_finite() -> None:
    broken = [{**row, "dev_loss": math.nan, "train_loss": math.inf} for row in epochs(1, 1)]
    assert "nan" not in training_charts(broken).markup and "inf" not in training_charts(broken).markup
    assert training_charts(epochs(1, 1)[:1]).markup  # a single epoch


def test_wilson_is_scipy_s() -> None:
    for right, n in ((0, 5), (3, 5), (5, 5), (80, 100)):
        expected = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("values", [[61.5, 64.7], [0.2], [99.9, 100.0], [12.0, 88.0], [50.0, 50.0]])
def test_a_domain_holds_its_values_and_has_three_to_six_ticks(values: list[float]) -> None:
    low, high = domain(values)
    assert 0 <= low <= min(values) <= max(values) <= high <= 100
    marks = ticks(low, high)
    assert 3 <= len(marks) <= 6 and low <= marks[0] and marks[-1] <= high
    assert len({round(b - a, 9) for a, b in pairwise(marks)}) == 1


def test_a_domain_of_nothing_is_all_percent() -> None:
    assert domain([math.nan]) == (0.0, 100.0)


def test_the_same_values_give_the_same_markup() -> None:
    assert dot_chart(ROWS, "", (60, 70), "") == dot_chart(ROWS, "", (60, 70), "")
    assert training_charts(epochs()) == training_charts(epochs())


def test_names_are_escaped() -> None:
    bad = "<script>x</script>"
    charts = [
        dot_chart([Dot(bad, 50)], bad, (0, 100), bad, line=(50, bad), band=Band(1, 2, bad)),
        training_charts([{**row, "fold": bad} for row in epochs(1, 1)]),
    ]
    assert all("<script" not in chart.markup for chart in charts)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows to draw"):
        dot_chart([], "", (0, 100), "")
    with pytest.raises(ValueError, match="no predictions to draw"):
        reliability_chart([], "")
    with pytest.raises(ValueError, match="no epochs to draw"):
        training_charts([])
    with pytest.raises(
        ValueError, match=r"unknown mark 'star'; expected one of \['dot', 'ring', 'diamond'\]"
    ):
        Dot("x", 1, mark="star")

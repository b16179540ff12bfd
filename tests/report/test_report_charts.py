from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.report.chart_model import number_axis, number_text
from mal.report.demo_page import TrainingCurves
from mal.report.page import render
from mal.report.report_charts import box_noise_chart, calibration, histogram, size_bars, smoothed, training_charts
from tests.report.test_gallery_selection import instances


def test_a_histogram_counts_every_mask_once():
    chart = histogram(instances([0.0, 0.04, 0.5, 1.0]), "iou", title="t", label="IoU")
    assert [bar.y1 for bar in chart.marks if bar.y1] == [2, 1, 1]


def test_the_calibration_line_goes_through_the_means_of_equal_groups():
    score = np.linspace(0, 1, 100)
    chart = calibration(instances(score**2, score=score))
    line = chart.marks[-1].points
    assert len(line) == 10
    assert line[0] == pytest.approx((score[:10].mean(), (score[:10] ** 2).mean()))


def test_a_size_without_masks_has_no_bar():
    chart = size_bars(instances([0.5, 0.7]))
    assert [(bar.y1, bar.tip) for bar in chart.marks] == [(pytest.approx(0.6), "small, model: 0.600 (2 masks)")]


def test_box_noise_has_a_line_for_each_kind_and_one_for_the_ellipse():
    point = {"level": 0.0, "model": 0.7, "ellipse": 0.6}
    points = [point, {"level": 0.2, "model": 0.5, "ellipse": 0.4}]
    chart = box_noise_chart({"boxes": 9, "shift": points, "scale": points, "both": points})
    assert len(chart.marks) == 4
    assert chart.marks[0].points == [(0, 0.7), (20, 0.5)]


def test_only_what_was_logged_is_charted(tmp_path):
    curves = TrainingCurves("step", {"train/loss": [(1.0, 2.0), (2.0, 1.0)], "train/lr": [(1.0, 1e-5)]}, tmp_path)
    assert [chart.name for chart in training_charts(curves)] == ["training_losses", "training_lr"]


def test_a_run_on_targets_by_graph_cut_has_charts_of_their_losses_and_of_themselves(tmp_path):
    names = ("dice", "bce", "target_fill", "target_fit", "target_confidence")
    curves = TrainingCurves("step", {f"train/{name}": [(1.0, 0.5), (2.0, 0.4)] for name in names}, tmp_path)
    charts = training_charts(curves)
    assert [chart.name for chart in charts] == ["training_target_losses", "training_targets"]
    assert [len(chart.legend) for chart in charts] == [2, 3]


def test_smoothing_keeps_the_mean_of_a_flat_curve_and_its_places():
    points = [(float(step), 0.5) for step in range(200)]
    assert np.array(smoothed(points)) == pytest.approx(np.array(points))


@given(st.floats(-1e4, 1e4), st.floats(1e-6, 1e4))
def test_an_axis_holds_its_range_and_its_ticks_differ(low, extent):
    axis = number_axis("x", low, low + extent)
    assert axis.low <= low + 1e-6 * (abs(low) + extent)
    assert axis.high >= low + extent - 1e-6 * (abs(low) + extent)
    assert 2 <= len(axis.ticks) <= 9


@pytest.mark.parametrize(
    ("value", "step", "text"), [(0.25, 0.25, "0.25"), (1250, 250, "1,250"), (6e-6, 2e-6, "6e-6"), (0, 1e-5, "0")]
)
def test_ticks_have_as_many_digits_as_they_need(value, step, text):
    assert number_text(value, step) == text


def test_a_chart_is_well_formed_and_says_in_words_what_it_shows():
    figure = render("chart.html", chart=histogram(instances([0.1, 0.9]), "iou", title="A & B", label="IoU"))
    svg = ElementTree.fromstring(re.search(r"<svg.*</svg>", figure, re.DOTALL)[0])
    assert svg.get("role") == "img"
    assert "2 masks by IoU; the mean is 0.500" in svg.get("aria-label")

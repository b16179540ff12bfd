from __future__ import annotations

import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from mal.printable import printable
from mal.report.chart_files import COLORS, write_chart
from mal.report.chart_model import Bar, Chart, Line, number_axis
from mal.report.report_charts import class_bars
from tests.report.test_gallery_selection import instances

SVG = "{http://www.w3.org/2000/svg}"


def chart(name: str = "a chart", **more) -> Chart:
    marks = [Bar(0.1, 0.3, 0, 0.8, "first"), Line([(0, 0), (1, 1)], "second", is_dashed=True, has_dots=True)]
    return Chart("c", name, "what it shows", number_axis("x", 0, 1), number_axis("y", 0, 1), marks, **more)


def colors_of(path) -> set[str]:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    return {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(pixels, axis=0).tolist()}


def test_a_chart_is_an_svg_that_says_in_words_what_it_shows(tmp_path):
    svg = ElementTree.parse(write_chart(chart(legend=[("first", "one")]), tmp_path)[0]).getroot()
    assert svg.get("aria-label") == "a chart. what it shows"
    assert "one" in "".join(svg.itertext())
    assert len(list(svg.iter(f"{SVG}circle"))) == 2


def test_with_matplotlib_a_chart_is_a_png_in_the_same_colors_too(tmp_path):
    pytest.importorskip("matplotlib")
    _, png = write_chart(chart(), tmp_path)
    assert png.name == "c.png"
    assert {"#ffffff", COLORS["first"], COLORS["second"]} <= colors_of(png)
    with Image.open(png) as picture:
        assert picture.width == 1320


def test_without_matplotlib_there_is_the_svg_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert [path.name for path in write_chart(chart(), tmp_path)] == ["c.svg"]
    assert [path.name for path in tmp_path.iterdir()] == ["c.svg"]


def test_a_chart_that_is_there_can_stay(tmp_path):
    for path in write_chart(chart(), tmp_path):
        path.write_text("mine")
    assert {path.read_text() for path in write_chart(chart(), tmp_path, only_missing=True)} == {"mine"}


def test_the_same_chart_has_the_same_bytes(tmp_path):
    once, again = (write_chart(chart(), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]


@given(st.text(st.characters(exclude_categories=()), min_size=1))
@example("$\\frac{$")
@example("猫 </svg>\0\x1b\ud800\uffff")
@settings(max_examples=10, deadline=None)
def test_a_class_of_any_name_can_be_drawn(tmp_path_factory, name):
    bars = class_bars(replace(instances([0.5]), class_names=[name]))
    svg = ElementTree.parse(write_chart(bars, tmp_path_factory.mktemp("charts"))[0]).getroot()
    assert printable(name)[:24] in "".join(svg.itertext())


def test_a_chart_of_classes_grows_with_their_number(tmp_path):
    heights = [
        ElementTree.parse(
            write_chart(class_bars(instances([0.5] * count, classes=range(count))), tmp_path)[0]
        ).getroot()
        for count in (1, 3)
    ]
    assert int(heights[1].get("height")) > int(heights[0].get("height"))

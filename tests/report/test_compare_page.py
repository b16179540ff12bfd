from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from mal.masks.rle import rle_from_window
from mal.metrics.comparison import PairedBoxes, compare, largest_changes
from mal.report.compare_page import ComparedBox, compare_page
from mal.report.mask_crop import crop_masks

RUNS = ["base", "<b>new</b>"]


def paired(rise: float, count: int = 12) -> PairedBoxes:
    first = np.linspace(0.2, 0.7, count)
    iou = np.stack([first, first + rise], axis=1)
    numbers = np.arange(count)
    return PairedBoxes(iou, iou / 2, numbers, numbers * 0, np.full(count, 5000.0))


def page(boxes: PairedBoxes, remarks=()) -> str:
    mask = rle_from_window(np.ones((8, 8), bool), x0=6, y0=6, image_width=40, image_height=30)
    picture = np.full((30, 40, 3), 120, np.uint8)
    changes = [largest_changes(boxes, 1, 3)]
    shown = {
        row: ComparedBox(
            "cat, small", f"{row}.jpg", tuple(boxes.iou[row]), crop_masks(picture, (5, 5, 9, 9), mask, [mask, None])
        )
        for pair in changes
        for rows in pair
        for row in rows
    }
    return compare_page(compare(boxes, resamples=50), RUNS, ["a", "b"], ["cat"], remarks, changes, shown)


@pytest.fixture(scope="module")
def better() -> str:
    return page(paired(0.1), remarks=["one & two"])


class Tags(HTMLParser):
    """Checks that tags are closed in order, and collects ids and the values that could fetch something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[key] for key in ("href", "src", "srcset", "action") if key in values]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_picture_is_inside_and_is_encoded_once(better):
    tags = Tags(better)
    pictures = [link for link in tags.links if link.startswith("data:image/jpeg")]
    assert len(pictures) == 3
    others = [link for link in tags.links if not link.startswith("data:")]
    assert len(others) == 6
    assert all(link.startswith("#") and link[1:] in tags.ids for link in others)
    assert "url(" not in better


def test_no_id_is_used_twice(better):
    ids = Tags(better).ids
    assert len(ids) == len(set(ids))


def test_names_from_outside_cannot_become_markup(better):
    assert "<b>" not in better
    assert "&lt;b&gt;new" in better
    assert "one &amp; two" in better


def test_a_gain_is_told_in_words_and_drawn_with_its_interval(better):
    assert "better (+0.100, 95 % interval +0.100 to +0.100)" in better
    assert "&lt;b&gt;new&lt;/b&gt; gains most" in better
    assert "loses most" not in better
    assert 'class="interval better"' in better


def test_equal_runs_have_no_gallery():
    text = page(paired(0.0))
    assert "no difference" in text
    assert "<article" not in text
    Tags(text)


def test_the_larger_difference_reaches_the_end_of_its_line(better):
    places = [float(x) for x in re.findall(r'circle cx="([\d.]+)"', better)]
    assert min(places) >= 4
    assert max(places) <= 156

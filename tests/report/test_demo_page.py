from __future__ import annotations

import html.parser
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mal.errors import UserError
from mal.masks.rle import rle_from_mask
from mal.report.contact_sheet import contact_sheet
from mal.report.demo_page import (
    POINTS_SHOWN,
    DemoCase,
    DemoPagePaths,
    DemoSummary,
    LabelledPhoto,
    training_curves,
    write_demo_page,
)
from mal.sample.scene import scene
from mal.training.loggers import TensorBoardLog

SUMMARY = DemoSummary(
    filled_box_miou=0.508,
    ellipse_miou=0.585,
    model_miou=0.742,
    before_miou=0.655,
    num_train_boxes=1190,
    num_train_images=240,
    num_val_boxes=296,
    num_val_images=60,
    train_seconds=171.0,
    starting_point="the starter model",
    before_title="Before training",
    which_pictures="The first two pictures.",
)


class Reader(html.parser.HTMLParser):
    """Collects what a browser would load, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open_tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta", "img"}:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def make_case(seed: int) -> DemoCase:
    drawn = scene(np.random.default_rng(seed), 96, 72)
    truth = [rle_from_mask(mask) for mask in drawn.masks]
    nothing = [rle_from_mask(np.zeros_like(mask)) for mask in drawn.masks]
    return DemoCase(f"scene & {seed}", drawn.image, drawn.boxes_xyxy, before=nothing, after=truth, truth=truth)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> DemoPagePaths:
    return write_demo_page(tmp_path_factory.mktemp("demo") / "new", [make_case(0), make_case(1)], SUMMARY)


@pytest.fixture(scope="module")
def page(written) -> str:
    return written.html.read_text(encoding="utf-8")


def test_the_page_loads_nothing_but_itself(page):
    reader = Reader()
    reader.feed(page)
    assert len(reader.sources) == 8
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert reader.open_tags == []


def test_photos_are_shown_with_boxes_masks_and_credit(tmp_path):
    case = make_case(3)
    photo = LabelledPhoto("Flickr photo 1, CC BY", case.image, case.boxes_xyxy, case.truth)
    reader = Reader()
    page = write_demo_page(tmp_path, [case], SUMMARY, [photo, photo]).html.read_text(encoding="utf-8")
    reader.feed(page)
    assert len(reader.sources) == 4 + 2 * 2
    assert page.count(f"Flickr photo 1, CC BY; {len(case.truth)} objects") == 2
    assert reader.open_tags == []


def test_the_page_may_load_nothing(page):
    assert "default-src 'none'" in page


def test_a_headline_metric_is_shown_as_number_and_bar(page):
    metric = page[page.index('<li class="headline-metric emphasized">') :]
    assert ">0.742<" in metric
    assert "width: 74.2%" in metric


def test_the_name_of_a_picture_cannot_become_markup(tmp_path):
    case = replace(make_case(0), name='<script>"quoted"')
    page = write_demo_page(tmp_path, [case], SUMMARY).html.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert 'alt="&lt;script&gt;&#34;quoted&#34;: ' in page


def test_the_three_scores_stand_side_by_side(page):
    assert page.index(">0.508<") < page.index(">0.585<") < page.index(">0.742<")


def test_the_page_says_what_was_done_and_where_training_began(page):
    assert "trained for 2.9 minutes on 1,190 boxes in 240 generated pictures" in page
    assert "Training began from the starter model." in page
    assert "The first two pictures." in page


def test_every_case_states_its_scores_before_and_after(page):
    assert page.count("mIoU before training 0.00, after 1.00") == 2
    assert "scene &amp; 1" in page


def test_the_page_knows_dark_screens_and_narrow_ones(page):
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_a_short_training_is_told_in_seconds(tmp_path):
    paths = write_demo_page(tmp_path, [make_case(2)], replace(SUMMARY, train_seconds=12.4))
    assert "trained for 12 seconds" in paths.html.read_text(encoding="utf-8")


def test_the_contact_sheet_shows_every_case(written):
    with Image.open(written.png) as sheet:
        assert sheet.width > 4 * 320
        assert sheet.height > 2 * 240


def test_a_contact_sheet_scales_its_pictures_into_columns():
    wide = np.zeros((10, 40, 3), dtype=np.uint8)
    sheet = contact_sheet(
        [[wide, wide]], heading="A", lines=[], column_titles=["a", "b"], row_notes=[""], cell_width=80
    )
    dark = (sheet == 0).all(axis=2)
    assert dark.sum() == 2 * 80 * 20


def logged(folder, steps_done, values):
    log = TensorBoardLog(folder, steps_done=steps_done)
    for step, value in values:
        log.log_metrics({"train/loss": value}, step)
    log.finalize("success")


def test_a_resumed_run_is_one_curve_without_what_it_did_twice(tmp_path):
    logged(tmp_path, 0, [(0, 4.0), (1, 3.0), (2, 9.0)])
    logged(tmp_path, 2, [(2, 2.0), (3, 1.0)])
    curves = training_curves(tmp_path)
    assert curves.unit == "step"
    assert curves.values["train/loss"] == [(1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]


def test_without_event_files_the_epochs_of_the_status_file_are_taken(tmp_path):
    lines = [
        {"message": "train started"},
        {"message": "epoch 1 done", "metrics": {"train/loss": 2.0, "val/mIoU": None}},
        {"message": "epoch 2 done", "metrics": {"train/loss": 1.0}},
    ]
    (tmp_path / "status.json").write_text("\n".join(map(json.dumps, lines)) + '\n{"mess')
    curves = training_curves(tmp_path)
    assert (curves.unit, curves.values) == ("epoch", {"train/loss": [(1, 2.0), (2, 1.0)]})


def test_long_curves_are_thinned_to_what_a_chart_can_show(tmp_path):
    lines = [{"message": f"epoch {n} done", "metrics": {"x": float(n)}} for n in range(1, 2001)]
    (tmp_path / "status.json").write_text("\n".join(map(json.dumps, lines)))
    points = training_curves(tmp_path).values["x"]
    assert len(points) <= POINTS_SHOWN
    assert points[-1][0] == 2000


def test_a_folder_without_curves_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="holds no curves"):
        training_curves(tmp_path)

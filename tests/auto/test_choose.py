"""A trained network is kept only where it is better by more than chance."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mal.auto import choose as module
from mal.auto.choose import (
    ENOUGH_TO_PART,
    LEAST_GAIN,
    LEAST_HELD_OUT,
    LEAST_PARTING,
    WEIGHTS,
    Signals,
    choose,
    combined,
    measure_signals,
)
from mal.data.label_dataset import CropSettings
from mal.data.loaders import AnnotatedImages
from mal.masks.paste import PastedMask
from mal.sample.generate import make_sample

shares = st.floats(0, 1)
signals = st.builds(Signals, shares, shares, shares, shares, shares)
BEFORE = Signals(box_fit=0.8, flip=0.9, margin=0.9, score=0.7, own=0.8)
APART = replace(BEFORE, own=0.83)


@given(starter=signals, trained=signals, count=st.integers(0, 500))
def test_the_trained_network_is_kept_only_for_a_clear_gain_on_enough_boxes(starter, trained, count):
    choice = choose(starter, trained, count)
    assert "\n" not in choice.reason
    wavers = trained.flip < starter.flip or trained.margin < starter.margin
    gains = combined(trained) - combined(starter) > LEAST_GAIN
    is_apart = trained.own - starter.own > LEAST_PARTING and trained.box_fit >= starter.box_fit
    is_clear = (gains and count >= LEAST_HELD_OUT) or (is_apart and count >= ENOUGH_TO_PART)
    assert choice.network == ("trained" if is_clear and not wavers else "starter")


@given(starter=signals, count=st.integers(0, 500))
def test_a_network_that_does_as_before_is_not_kept(starter, count):
    assert choose(starter, starter, count).network == "starter"


def test_a_clear_gain_of_the_signal_is_kept():
    assert choose(BEFORE, replace(BEFORE, score=0.75), LEAST_HELD_OUT).network == "trained"


def test_a_network_that_keeps_neighbors_apart_is_kept():
    choice = choose(BEFORE, APART, ENOUGH_TO_PART)
    assert choice.network == "trained"
    assert "share 3.0% of their pixels less" in choice.reason


def test_a_few_boxes_do_not_tell_whether_neighbors_are_kept_apart():
    assert choose(BEFORE, APART, ENOUGH_TO_PART - 1).network == "starter"


def test_masks_that_are_apart_because_they_shrink_are_no_gain():
    assert choose(BEFORE, replace(APART, box_fit=0.79), ENOUGH_TO_PART).network == "starter"


@given(signals)
def test_the_signal_is_a_weighted_mean(found):
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    parts = [getattr(found, name) for name in WEIGHTS]
    assert min(parts) - 1e-9 <= combined(found) <= max(parts) + 1e-9


def test_a_network_that_fits_its_boxes_better_but_wavers_more_is_not_kept():
    choice = choose(BEFORE, replace(BEFORE, box_fit=0.95, flip=0.89, score=0.8), 100)
    assert choice.network == "starter"
    assert "waver more" in choice.reason


class BoxLabeler:
    """Gives the whole box, or in every second call only its upper half."""

    def __init__(self, *, wavers: bool) -> None:
        self.crop = CropSettings()
        self._wavers, self._calls = wavers, 0

    def label_instances(self, image, boxes):
        self._calls += 1
        is_half = self._wavers and self._calls % 2 == 0
        return [self._mask(image, box, is_half) for box in boxes]

    def _mask(self, image, box, is_half):
        x0, y0, x1, y1 = (round(side) for side in box)
        window = np.ones((y1 - y0, x1 - x0), bool)
        window[(y1 - y0) // 2 :] = not is_half
        return PastedMask(window, x0, y0, image.shape[1], image.shape[0], score=0.5)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> AnnotatedImages:
    folder = tmp_path_factory.mktemp("sample")
    sample = make_sample(folder, num_train_images=1, num_val_images=2, image_size=(160, 120))
    return AnnotatedImages(sample.boxes_val, sample.val_images)


def test_a_network_that_agrees_with_itself_and_its_boxes_gets_full_marks(source):
    found = measure_signals(BoxLabeler(wavers=False), source, source.boxes_to_label, "test")
    assert found.box_fit > 0.95
    assert (found.flip, found.margin, found.score) == (1.0, 1.0, 0.5)


def test_a_network_that_wavers_gets_less(source):
    found = measure_signals(BoxLabeler(wavers=True), source, source.boxes_to_label, "test")
    assert found.flip < 0.6


def test_the_crop_is_as_before_after_the_second_look(source):
    labeler = BoxLabeler(wavers=False)
    before = labeler.crop
    measure_signals(labeler, source, source.boxes_to_label, "test")
    assert labeler.crop == before


def test_boxes_of_unreadable_pictures_are_left_out(source, tmp_path):
    away = AnnotatedImages(source.coco.path, tmp_path)
    assert astuple(measure_signals(BoxLabeler(wavers=False), away, away.boxes_to_label, "test")) == 5 * (0,)


def two_neighbors(folder) -> AnnotatedImages:
    """Boxes of a picture that share half of their width, and one of another picture at the same place."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40)).save(folder / name)
    boxes = [(1, 10), (1, 20), (2, 10)]
    images = [{"id": k, "file_name": f"{name}.png", "width": 60, "height": 40} for k, name in ((1, "a"), (2, "b"))]
    document = {
        "images": images,
        "annotations": [
            {"id": k, "image_id": image, "category_id": 1, "bbox": [x, 5, 20, 20], "iscrowd": 0}
            for k, (image, x) in enumerate(boxes, start=1)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (folder / "boxes.json").write_text(json.dumps(document), encoding="utf-8")
    return AnnotatedImages(folder / "boxes.json", folder)


def test_pixels_that_two_masks_of_a_picture_claim_are_neither_s_own(tmp_path):
    pictures = two_neighbors(tmp_path)
    found = measure_signals(BoxLabeler(wavers=False), pictures, pictures.boxes_to_label, "test")
    assert found.own == pytest.approx((0.5 + 0.5 + 1) / 3)


def test_a_neighbor_counts_even_where_it_is_not_looked_at_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_BOXES", 1)
    pictures = two_neighbors(tmp_path)
    assert measure_signals(BoxLabeler(wavers=False), pictures, pictures.boxes_to_label, "test").own == 0.5


def test_an_empty_mask_shares_nothing(tmp_path):
    class Empty(BoxLabeler):
        def _mask(self, image, box, is_half):
            return PastedMask(np.zeros((2, 2), bool), 0, 0, image.shape[1], image.shape[0], score=0.0)

    pictures = two_neighbors(tmp_path)
    found = measure_signals(Empty(wavers=False), pictures, pictures.boxes_to_label, "test")
    assert (found.box_fit, found.own) == (0.0, 1.0)

"""A trained network is kept only where it is better by more than chance."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.auto.choose import LEAST_GAIN, LEAST_HELD_OUT, WEIGHTS, Signals, choose, combined, measure_signals
from mal.data.label_dataset import CropSettings
from mal.data.loaders import AnnotatedImages
from mal.masks.paste import PastedMask
from mal.sample.generate import make_sample

shares = st.floats(0, 1)
signals = st.builds(Signals, shares, shares, shares, shares)


@given(starter=signals, trained=signals, count=st.integers(0, 500))
def test_the_trained_network_is_kept_only_for_a_clear_gain_on_enough_boxes(starter, trained, count):
    choice = choose(starter, trained, count)
    wavers = trained.flip < starter.flip or trained.margin < starter.margin
    is_clear = combined(trained) - combined(starter) > LEAST_GAIN and count >= LEAST_HELD_OUT and not wavers
    assert choice.network == ("trained" if is_clear else "starter")
    assert "\n" not in choice.reason


@given(signals)
def test_the_signal_is_a_weighted_mean(found):
    assert sum(astuple(WEIGHTS)) == pytest.approx(1)
    assert min(astuple(found)) - 1e-9 <= combined(found) <= max(astuple(found)) + 1e-9


def test_a_network_that_fits_its_boxes_better_but_wavers_more_is_not_kept():
    choice = choose(Signals(0.8, 0.9, 0.9, 0.7), Signals(0.95, 0.89, 0.91, 0.8), 100)
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
    assert astuple(measure_signals(BoxLabeler(wavers=False), away, away.boxes_to_label, "test")) == (0, 0, 0, 0)

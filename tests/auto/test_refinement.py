"""The masks of a set are refined where the network and its cuts agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mal.auto.refinement import LEAST_AGREEMENT, choose_refinement, cut_agreement
from mal.data.loaders import AnnotatedImages
from mal.masks.paste import PastedMask
from mal.models.prediction_mode import PredictionMode
from mal.sample.generate import make_sample


@given(st.floats(0, 1))
def test_a_set_is_refined_where_masks_and_cuts_agree(agreement):
    found = choose_refinement(agreement)
    assert found.refine == ("graph_cut" if agreement >= LEAST_AGREEMENT else "none")
    assert "\n" not in found.reason


class CutLabeler:
    """Gives the whole box, and a share of it as the cut of that."""

    def __init__(self, share: float) -> None:
        self.mode = PredictionMode(graph_cut="auto")
        self._share = share

    def label_instances(self, image, boxes):
        return [self._mask(image, box) for box in boxes]

    def _mask(self, image, box):
        x0, y0, x1, y1 = (round(side) for side in box)
        window = np.ones((y1 - y0, x1 - x0), bool)
        assert self.mode.graph_cut in (True, False)
        if self.mode.graph_cut:
            window.ravel()[round(self._share * window.size) :] = False
        return PastedMask(window, x0, y0, image.shape[1], image.shape[0])


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> AnnotatedImages:
    folder = tmp_path_factory.mktemp("sample")
    sample = make_sample(folder, num_train_images=1, num_val_images=2, image_size=(160, 120))
    return AnnotatedImages(sample.boxes_val, sample.val_images)


def test_the_agreement_is_the_iou_of_masks_and_cuts_whatever_the_network_refines(source):
    labeler = CutLabeler(0.8)
    assert cut_agreement(labeler, source, source.boxes_to_label) == pytest.approx(0.8, abs=0.01)
    assert labeler.mode.graph_cut == "auto"


def test_a_set_whose_pictures_cannot_be_read_is_not_refined(source, tmp_path):
    missing = AnnotatedImages(source.coco.path, tmp_path)
    assert cut_agreement(CutLabeler(1.0), missing, missing.boxes_to_label) == 0

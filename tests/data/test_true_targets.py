from __future__ import annotations

import numpy as np
import pytest
import torch

from mal.data.crops import crop_frame
from mal.data.cut_grid import CutGrid
from mal.data.targets import EllipseTargets, TargetSettings, join_targets
from mal.data.true_targets import TrueTargets
from mal.masks.rle import rle_from_mask

BOX, SIZE = (40.0, 30.0, 90.0, 80.0), (130, 110)
PHOTO = np.random.default_rng(1).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
MASK = np.zeros((SIZE[1], SIZE[0]), bool)
MASK[30:80, 40:65] = True  # the left half of the box


def made() -> TrueTargets:
    others = EllipseTargets(TargetSettings(ellipse_epochs=0.0, ellipse_share=0.0))
    return TrueTargets({1: rle_from_mask(MASK)}, others)


def sample(index: int, *, mirrored: bool = False, margins=(0.2, 0.2, 0.2, 0.2)):
    grid = CutGrid.around(BOX, SIZE, crop_frame(BOX, margins), mirrored=mirrored)
    return made().sample((5, 3, index), grid, PHOTO, side=70)


def test_the_target_of_a_box_with_a_true_mask_is_that_mask_wholly_trusted():
    target = sample(1)
    assert (target.ellipse[0, 0, 12:58, 12:33] == 255).all()
    assert not target.ellipse[0, 0, :, 38:].any()
    assert target.figures[0].tolist() == pytest.approx([0.5, 0.5, 1.0], abs=0.03)
    assert target.is_true.tolist() == target.keeps_ellipse.tolist() == [True]
    assert target.windows == (None,)


def test_it_is_mirrored_with_its_crop():
    assert torch.equal(sample(1).ellipse.flip(-1), sample(1, mirrored=True).ellipse)


def test_other_boxes_have_the_targets_that_they_have_without_true_masks():
    ours = sample(0)
    grid = CutGrid.around(BOX, SIZE, crop_frame(BOX, (0.2, 0.2, 0.2, 0.2)))
    theirs = made()._others.sample((5, 3, 0), grid, PHOTO, side=70)
    assert torch.equal(ours.ellipse, theirs.ellipse)
    assert not ours.is_true.any()
    assert ours.windows[0] is not None


def test_a_batch_of_both_keeps_who_is_who():
    assert join_targets([sample(0), sample(1), sample(0)]).is_true.tolist() == [False, True, False]

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mal.data.crops import crop_box_mask, crop_frame
from mal.data.cut_grid import CutGrid
from mal.data.targets import EllipseTargets, TargetBatch, TargetSettings, join_targets
from mal.training import batch_targets
from mal.training.batch_targets import complete_targets

SIDE = 32
PHOTO = np.random.default_rng(1).integers(0, 256, (90, 110, 3), dtype=np.uint8)
PHOTO[20:70, 30:80] //= 4
BOX = (30.0, 20.0, 80.0, 70.0)


def loaded(count: int = 3, epoch: int = 1, box=BOX, margins=(0.3, 0.9, 0.2, 0.4), **changes) -> TargetBatch:
    options = {"ellipse_epochs": 1.5, "ellipse_share": 0.0} | changes
    grid = CutGrid.around(box, (110, 90), crop_frame(box, margins))
    made = EllipseTargets(TargetSettings(**options))
    return join_targets([made.sample((1, epoch, index), grid, PHOTO, side=SIDE) for index in range(count)])


def box_mask(count: int = 3, box=BOX, margins=(0.3, 0.9, 0.2, 0.4)) -> torch.Tensor:
    mask = crop_box_mask(box, crop_frame(box, margins), (110, 90), SIDE)
    return torch.from_numpy(mask.copy())[None, None].expand(count, 1, SIDE, SIDE)


def test_without_the_teacher_the_targets_are_those_of_the_loader():
    batch = loaded()
    done = complete_targets(batch, box_mask(), None, softness=0.0)
    assert torch.equal(done.masks, batch.ellipse / 255 * box_mask())
    assert torch.equal(torch.stack([done.fill, done.fit, done.confidence], 1), batch.figures)


def test_the_teacher_s_probabilities_seed_the_cut():
    prob = torch.zeros(3, 1, 8, 8)
    prob[1:, :, 2:6, 2:6] = 0.9
    done = complete_targets(loaded(), box_mask(), prob, softness=0.0)
    assert not done.masks[0].any()  # a teacher that sees nothing is followed, with no confidence
    assert done.confidence[0] == 0
    assert done.masks[1].any()
    assert torch.equal(done.masks[1], done.masks[2])


def test_a_soft_target_is_the_mean_of_the_cut_and_what_seeded_it():
    prob = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    cut, half, seed = (complete_targets(loaded(), box_mask(), prob, softness=softness) for softness in (0.0, 0.5, 1.0))
    torch.testing.assert_close(half.masks, (cut.masks + seed.masks) / 2, atol=1 / 255, rtol=0)
    assert torch.equal(half.confidence, cut.confidence)


@pytest.mark.parametrize("softness", [0.0, 0.75])
def test_boxes_that_keep_the_ellipse_are_left_alone(softness):
    batch = loaded(20, ellipse_share=0.5)
    kept = batch.keeps_ellipse
    assert 0 < kept.sum() < 20
    done = complete_targets(batch, box_mask(20), torch.zeros(20, 1, 8, 8), softness=softness)
    assert torch.equal(done.masks[kept], (batch.ellipse / 255 * box_mask(20))[kept])
    assert not done.masks[~kept].any()


def test_a_batch_of_boxes_that_all_keep_the_ellipse_cuts_nothing():
    batch = loaded(epoch=5, ellipse_share=1.0)
    assert complete_targets(batch, box_mask(), torch.zeros(3, 1, 8, 8), softness=0.0).masks.any()


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_changes_no_target(threads, monkeypatch):
    prob = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    alone = complete_targets(loaded(), box_mask(), prob, softness=0.2)
    monkeypatch.setattr(batch_targets.torch, "get_num_threads", lambda: threads)
    assert torch.equal(complete_targets(loaded(), box_mask(), prob, softness=0.2).masks, alone.masks)


@settings(max_examples=40)
@given(
    box=st.tuples(st.floats(0, 60), st.floats(0, 50), st.floats(4, 50), st.floats(4, 40)),
    margins=st.tuples(*4 * [st.floats(0, 1.2)]),
    softness=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_no_target_leaves_its_box(box, margins, softness, seed):
    box = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    inside = box_mask(2, box, margins)
    batch = loaded(2, 0, box, margins, ellipse_epochs=0.5)
    prob = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    for teacher in (None, prob):
        done = complete_targets(batch, inside, teacher, softness=softness)
        assert ((done.masks >= 0) & (done.masks <= 1)).all()
        assert not done.masks[inside == 0].any()
        assert ((done.confidence >= 0) & (done.confidence <= 1)).all()

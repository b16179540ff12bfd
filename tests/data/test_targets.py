from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mal.data import targets
from mal.data.crops import crop_frame
from mal.data.cut_grid import CutGrid
from mal.data.targets import (
    FROM_ELLIPSE,
    EllipseTargets,
    TargetQuality,
    TargetSettings,
    cut_target,
    join_targets,
    target_quality,
)

BOX, SIZE = (40.0, 30.0, 90.0, 80.0), (130, 110)
MASKS = arrays(np.bool_, (9, 11))


def disc_photo() -> np.ndarray:
    """A red disc that touches the sides of BOX but for its corner, on noisy green."""
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]] + 0.5
    photo = np.random.default_rng(0).integers(60, 100, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    photo[..., 1] += 100
    photo[true_disc(rows, columns)] = (210, 30, 40)
    return photo


def true_disc(rows, columns) -> np.ndarray:
    return ((columns - 65) ** 2 + (rows - 55) ** 2 < 25**2) & (columns + rows < 136)


def grid(margins=(0.4, 0.4, 0.4, 0.4), *, mirrored: bool = False) -> CutGrid:
    return CutGrid.around(BOX, SIZE, crop_frame(BOX, margins), mirrored=mirrored)


def settings(**changes) -> TargetSettings:
    return TargetSettings(**({"ellipse_epochs": 1.0, "ellipse_share": 0.0} | changes))


def sample(made: EllipseTargets, epoch: int = 0, index: int = 0, **crop) -> targets.TargetBatch:
    return made.sample((5, epoch, index), grid(**crop), disc_photo(), side=32)


@given(MASKS, MASKS, MASKS)
def test_confidence_and_what_it_is_made_of_lie_between_0_and_1(mask, seed, inside):
    inside[4, 5] = True
    quality = target_quality(mask & inside, seed & inside, inside)
    assert 0 <= quality.fill <= 1
    assert 0 <= quality.agreement <= 1
    assert 0 <= quality.confidence <= 1


@given(arrays(np.bool_, (9, 11)), st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)))
def test_the_fit_is_the_share_of_the_box_that_the_tight_box_has(mask, place):
    inside = np.zeros((9, 11), np.bool_)
    inside[place[0] : 8, place[1] : 10] = True
    quality = target_quality(mask & inside, inside, inside)
    assert 0 <= quality.fit <= 1
    assert quality.fit >= quality.fill


@pytest.mark.parametrize(
    ("fill", "fit", "agreement", "confidence"),
    [(0.7, 0.95, 0.8, 1.0), (0, 0, 0, 0), (1, 1, 0.8, 0.3), (0.2, 1, 1, 0.5), (0.7, 0.7, 1, 0.5), (0.7, 1, 0.4, 0.5)],
)
def test_the_confidence_is_the_product_of_its_ramps(fill, fit, agreement, confidence):
    assert TargetQuality(fill, fit, agreement).confidence == pytest.approx(confidence)


@given(st.floats(0, 0.96), st.floats(0, 1), st.floats(0, 1), st.sampled_from(["fill", "fit", "agreement"]))
def test_more_fill_fit_and_agreement_are_never_trusted_less(fill, fit, agreement, name):
    values = {"fill": fill, "fit": fit, "agreement": agreement}
    more = values | {name: min(values[name] + 0.1, 0.96)} if values[name] < 0.96 else values
    assert TargetQuality(**more).confidence >= TargetQuality(**values).confidence


def test_the_target_of_an_object_in_one_color_is_the_object():
    place = grid()
    cut = cut_target(place.pixels(disc_photo()), place.ellipse(), place.inside, FROM_ELLIPSE)
    rows, columns = np.mgrid[place.extent[1] : place.extent[3], place.extent[0] : place.extent[2]] + 0.5
    truth = true_disc(rows, columns)
    assert cut.mask.shape == truth.shape
    assert (cut.mask & truth).sum() / (cut.mask | truth).sum() > 0.95
    assert cut.quality.confidence > 0.9


def test_a_target_is_mirrored_with_its_crop():
    made = EllipseTargets(settings())
    plain, mirrored = sample(made), sample(made, mirrored=True)
    difference = (plain.ellipse.int() - mirrored.ellipse.flip(-1).int()).abs()
    assert difference.max() <= 1


def test_a_cut_from_the_ellipse_is_made_once_for_a_box(monkeypatch):
    cuts = []
    original = targets.graph_cut
    monkeypatch.setattr(targets, "graph_cut", lambda *given, **how: cuts.append(given) or original(*given, **how))
    made = EllipseTargets(settings(ellipse_epochs=2))
    first, again, crop = sample(made), sample(made, epoch=1), sample(made, margins=(0, 0.1, 1, 1.2))
    assert len(cuts) == 1
    assert torch.equal(first.ellipse, again.ellipse)
    assert torch.equal(first.figures, crop.figures)
    assert not torch.equal(first.ellipse, crop.ellipse)
    sample(made, index=1)
    assert len(cuts) == 2


def test_a_cache_that_is_full_changes_no_target(monkeypatch):
    monkeypatch.setattr(targets, "CACHED_CUTS", 0)
    made = EllipseTargets(settings())
    assert torch.equal(sample(made).ellipse, sample(made).ellipse)


@pytest.mark.parametrize(
    ("ellipse_epochs", "epoch", "has_ellipse", "has_window"),
    [(1.0, 0, True, False), (1.0, 1, False, True), (1.5, 1, True, True), (1.5, 2, False, True), (0.0, 0, False, True)],
)
def test_the_loader_makes_what_the_epoch_may_need(ellipse_epochs, epoch, has_ellipse, has_window):
    batch = sample(EllipseTargets(settings(ellipse_epochs=ellipse_epochs)), epoch=epoch)
    assert bool(batch.ellipse.any()) == bool(batch.figures.any()) == has_ellipse
    assert (batch.windows[0] is not None) == has_window
    assert not batch.keeps_ellipse.any()


def test_about_the_asked_share_of_boxes_keeps_the_ellipse_others_every_epoch():
    made = EllipseTargets(settings(ellipse_share=0.3))
    kept = [[bool(sample(made, epoch, index).keeps_ellipse) for index in range(60)] for epoch in (3, 4)]
    assert all(8 <= sum(each) <= 28 for each in kept)
    assert kept[0] != kept[1]
    assert kept[0] == [bool(sample(made, 3, index).keeps_ellipse) for index in range(60)]


def test_a_box_that_keeps_the_ellipse_has_its_target_to_the_end():
    late = sample(EllipseTargets(settings(ellipse_share=1.0)), epoch=9)
    assert torch.equal(late.ellipse, sample(EllipseTargets(settings())).ellipse)
    assert late.windows == (None,)


def test_joined_batches_keep_their_order():
    made = EllipseTargets(settings(ellipse_epochs=1.5))
    one, other = sample(made, epoch=1), sample(made, epoch=1, mirrored=True)
    both = join_targets([one, other])
    assert torch.equal(both.ellipse, torch.cat([one.ellipse, other.ellipse]))
    assert both.windows == one.windows + other.windows
    assert both.keeps_ellipse.shape == (2,)
    assert both.figures.shape == (2, 3)

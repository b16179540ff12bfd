from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mal.losses.crf import MeanFieldSettings
from mal.models.predict import PredictionMode, predict_probs

SIDE = 16


def network(value: float):
    """Logits that depend on the picture, on the column, and on the value."""

    def logits(images: torch.Tensor, box_area: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(images.mean(1, keepdim=True), size=(8, 8), mode="bilinear")
        return small + value + torch.linspace(0, 1, 8)

    return logits


def predict(mode: PredictionMode, student=1.0, teacher=-1.0, image=None, box=None) -> torch.Tensor:
    torch.manual_seed(0)
    image = torch.rand(2, 3, SIDE, SIDE) if image is None else image
    box = torch.ones(2, 1, SIDE, SIDE) if box is None else box
    return predict_probs(network(student), network(teacher), image, box, torch.ones(2), mode)


def test_each_network_is_asked_by_its_name():
    student, teacher = (predict(PredictionMode(network=name)) for name in ("student", "teacher"))
    assert (student > teacher).all()


def test_mixed_is_the_mean_of_both_logits():
    mixed = predict(PredictionMode(network="mixed"), student=1.0, teacher=-3.0)
    torch.testing.assert_close(mixed, predict(PredictionMode(), student=-1.0))


def test_with_flip_a_mirrored_crop_gives_the_mirrored_mask():
    image = torch.rand(2, 3, SIDE, SIDE)
    plain, mirrored = (predict(PredictionMode(flip=True), image=picture) for picture in (image, image.flip(-1)))
    torch.testing.assert_close(mirrored.flip(-1), plain)
    assert not torch.allclose(predict(PredictionMode(), image=image.flip(-1)).flip(-1), plain)


@pytest.mark.parametrize("crf", [None, MeanFieldSettings(num_iter=3)])
def test_nothing_is_found_outside_the_box(crf):
    box = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    box[:, :, 4:12, 4:12] = 1
    probs = predict(PredictionMode(crf=crf), student=3.0, box=box)
    assert probs.shape == (2, 1, SIDE, SIDE)
    assert probs.dtype == torch.float32
    assert (probs[box == 0] == 0).all()
    assert (probs[box == 1] > 0).any()


def test_crf_makes_a_mask_of_a_flat_picture_all_or_nothing():
    settings = MeanFieldSettings(num_iter=10)
    flat = torch.zeros(2, 3, SIDE, SIDE)
    assert (predict(PredictionMode(crf=settings), student=2.0, image=flat) == 1).all()
    assert (predict(PredictionMode(crf=settings), student=-4.0, image=flat) == 0).all()

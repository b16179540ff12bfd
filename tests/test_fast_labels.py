"""The front door with the profile ``fast``; what it does to a network is tested in tests/models/test_fast.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mal.data.label_dataset import CropSettings
from mal.errors import UserError
from mal.export.onnx_network import OnnxNetwork
from mal.labeler import MaskAutoLabeler
from mal.models.ema import make_teacher
from mal.models.network import MaskNetwork
from mal.models.prediction_mode import MeanFieldSettings, PredictionMode
from tests.small_networks import small_network

FAST = PredictionMode(profile="fast")
WIDTH, HEIGHT = 400, 300
BOXES = [
    [0.0, 0, 400, 300],
    [7, 8, 9, 9.5],
    [-30, 250, 60, 330],
    [200, 100, 230, 120],
    [50, 40, 130, 110],
    [5, 5, 6, 6],
]


@pytest.fixture(scope="module")
def network() -> MaskNetwork:
    """A network that finds everything, with a block that sees merged tokens."""
    network = small_network(num_blocks=2).eval()
    for parameter in (*network.roi_head.parameters(), *network.mask_head.parameters()):
        torch.nn.init.uniform_(parameter, 0, 0.1)
    return network


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def labeler(network: MaskNetwork, *, crop_size: int = 64, mode: PredictionMode = FAST) -> MaskAutoLabeler:
    return MaskAutoLabeler(network, make_teacher(network), crop=CropSettings(crop_size), thresholds=[0.3], mode=mode)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("crop_size", [16, 40, 64])
def test_every_box_of_any_size_gets_its_own_mask(network, image, crop_size, batch_size):
    masks = labeler(network, crop_size=crop_size).label(image, BOXES, batch_size=batch_size)
    for mask, (x0, y0, x1, y1) in zip(masks, BOXES, strict=True):
        rows, columns = np.nonzero(mask)
        assert len(rows)
        assert columns.min() >= x0 - 2
        assert columns.max() <= x1 + 2
        assert rows.min() >= y0 - 2
        assert rows.max() <= y1 + 2


@pytest.mark.parametrize(
    "changes", [{"network": "teacher"}, {"network": "mixed", "flip": True}, {"crf": MeanFieldSettings(num_iter=2)}]
)
def test_every_mode_gives_masks(network, image, changes):
    assert labeler(network, mode=replace(FAST, **changes)).label(image, BOXES).any((1, 2)).all()


def test_probabilities_are_float32_whatever_they_were_computed_in(network, image):
    fast = labeler(network)
    (batch,) = fast.crops(image, BOXES, batch_size=100)
    assert fast.probabilities(batch).dtype == np.float32
    assert fast.instance_vectors(batch).dtype == np.float32


def test_exact_gives_the_same_bits_after_a_fast_labeler_was_made_of_its_network(network, image):
    exact = labeler(network, mode=PredictionMode())
    (batch,) = exact.crops(image, BOXES, batch_size=100)
    before = exact.probabilities(batch)
    labeler(network).probabilities(batch)
    assert np.array_equal(exact.probabilities(batch), before)


def test_the_two_profiles_compute_differently(network, image):
    """Else the tests above would show nothing."""
    exact, fast = labeler(network, mode=PredictionMode()), labeler(network)
    (batch,) = exact.crops(image, BOXES, batch_size=100)
    assert not np.array_equal(exact.probabilities(batch), fast.probabilities(batch))


def test_an_exported_network_has_one_profile():
    session = SimpleNamespace(get_inputs=list)
    exported = OnnxNetwork(session, path=Path("model.onnx"), network_name="student", crop_size=64)
    with pytest.raises(UserError, match=r"model\.onnx: an exported network has no profile fast; use exact"):
        MaskAutoLabeler(exported, exported, crop=CropSettings(64), thresholds=[0.5], mode=FAST)

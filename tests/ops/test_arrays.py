"""What NumPy computes in the place of PyTorch is what PyTorch computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mal.data.crops import normalize
from mal.models.inputs import normalize as normalize_tensor
from mal.ops.arrays import area_means, resize_bilinear, sigmoid

sides = st.integers(1, 150)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 4, shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(height=sides, width=sides, side=st.sampled_from([1, 5, 64]))
def test_means_of_areas_are_bit_by_bit_those_of_pytorch(height, width, side):
    maps = noise(2, height, width)
    expected = F.adaptive_avg_pool2d(torch.from_numpy(maps), side) if side > 1 else None
    if expected is not None:
        assert np.array_equal(area_means(maps, side), expected.numpy())
    else:
        np.testing.assert_allclose(area_means(maps, 1)[:, 0, 0], maps.mean(axis=(1, 2)), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_means_of_bytes_and_of_a_mask_are_floats(dtype):
    maps = (np.random.default_rng(0).random((3, 160, 160)) * 2).astype(dtype)
    expected = F.adaptive_avg_pool2d(torch.from_numpy(maps).float(), 64).numpy()
    found = area_means(maps, 64)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


@settings(max_examples=30, deadline=None)
@given(height=sides, width=sides, size=st.tuples(sides, sides))
def test_a_map_is_resized_as_by_pytorch_but_for_rounding(height, width, size):
    maps = noise(2, 1, height, width)
    expected = F.interpolate(torch.from_numpy(maps), size=size, mode="bilinear", align_corners=False).numpy()
    found = resize_bilinear(maps, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_the_sigmoid_is_that_of_pytorch_but_for_rounding_and_has_no_overflow():
    logits = np.concatenate([noise(1000), np.array([-1000, 1000, -np.inf, np.inf, np.nan], np.float32)])
    with np.errstate(over="raise", divide="raise"):
        found = sigmoid(logits)
    np.testing.assert_allclose(found, torch.from_numpy(logits).sigmoid().numpy(), atol=2e-7)


def test_every_byte_of_every_color_is_normalized_bit_by_bit_as_by_pytorch():
    images = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(16, 16), (1, 3, 16, 16)).copy()
    assert np.array_equal(normalize(images), normalize_tensor(torch.from_numpy(images)).numpy())

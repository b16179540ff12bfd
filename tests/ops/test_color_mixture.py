"""Mixtures of Gaussians fitted to colors."""

from __future__ import annotations

import numpy as np
import pytest

from mal.ops.color_mixture import NUM_COMPONENTS, binned_colors, fitted_mixture, moments


def test_a_bin_has_the_mean_of_its_colors_and_the_number_of_its_pixels():
    image = np.array([[[0, 0, 0], [4, 2, 6], [255, 255, 255]]], np.uint8)
    colors = binned_colors(image)
    assert colors.bins.tolist() == [[0, 0, 1]]
    np.testing.assert_allclose(colors.colors, [[2, 1, 3], [255, 255, 255]])
    assert colors.count(np.array([[True, False, True]])).tolist() == [1, 1]


def test_two_clouds_of_colors_get_their_own_gaussians():
    rng = np.random.default_rng(0)
    near, far = rng.normal(60, 6, (300, 3)), rng.normal(180, 12, (100, 3))
    mixture = fitted_mixture(moments(np.concatenate([near, far])), np.ones(400))
    density = mixture.log_density(moments(np.array([[60.0] * 3, [180.0] * 3, [120.0] * 3])))
    assert density[0] > density[1] > density[2] + 5


def test_a_weight_counts_as_so_many_pixels():
    rng = np.random.default_rng(1)
    colors = rng.uniform(0, 255, (20, 3))
    weights = rng.integers(1, 5, 20)
    found = moments(colors)
    weighted = fitted_mixture(found, weights.astype(np.float64)).log_density(found)
    repeated = fitted_mixture(np.repeat(found, weights, axis=0), np.ones(weights.sum())).log_density(found)
    np.testing.assert_allclose(weighted.mean(), repeated.mean(), atol=0.5)


@pytest.mark.parametrize("count", [1, 2, NUM_COMPONENTS])
def test_few_colors_are_no_singular_gaussian(count):
    colors = np.linspace(0, 255, 3 * count).reshape(count, 3)
    density = fitted_mixture(moments(colors), np.ones(count)).log_density(
        moments(np.concatenate([colors, [[77.0, 200.0, 1.0]]]))
    )
    assert np.isfinite(density).all()
    assert density[:-1].min() > density[-1]


def test_the_density_of_one_gaussian_is_the_textbooks():
    mixture = fitted_mixture(moments(np.array([[10.0, 20.0, 30.0]])), np.ones(1))
    expected = -0.5 * (3**2 / 4 + 4**2 / 4) - 0.5 * 3 * np.log(4) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(mixture.log_density(moments(np.array([[13.0, 24.0, 30.0]]))), [expected])


def test_a_step_from_a_mixture_of_the_same_colors_fits_no_worse():
    colors = moments(np.random.default_rng(2).uniform(0, 255, (200, 3)))
    counts = np.ones(200)
    first = fitted_mixture(colors, counts)
    assert fitted_mixture(colors, counts, first).log_density(colors).sum() > first.log_density(colors).sum() - 0.5

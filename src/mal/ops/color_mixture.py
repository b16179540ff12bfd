"""How likely colors are: a mixture of Gaussians, fitted to the colors of some pixels by EM.

Colors are put into bins of 8 levels a channel first. A mixture is fitted to the mean colors of the bins and evaluated
once a bin, not once a pixel: a photo's crop of 128 x 128 pixels has some 500 to 2,000 bins in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_COMPONENTS = 5  # as in GrabCut (SIGGRAPH 2004), section 3.1
_LLOYD_STEPS, _EM_STEPS = 3, 3
_MIN_VARIANCE = 4.0  # gray levels squared: a flat color is no singular Gaussian
_LEAST_ERROR = 1.0  # squared gray levels times pixels: less than this is worth no cluster of its own
_BITS = 5  # of a channel that tell bins apart
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of channels, in the order of the last six moments

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BinnedColors:
    """The colors of a picture, put into bins.

    Attributes:
        bins: (H, W) int, number of each pixel's bin.
        colors: (K, 3) float64, mean color of each bin in use.
    """

    bins: npt.NDArray[np.intp]
    colors: Floats

    def count(self, pixels: npt.NDArray[np.bool_]) -> Floats:
        """How many of some pixels, (H, W) bool, lie in each bin: (K,) float64."""
        return np.bincount(self.bins[pixels], minlength=len(self.colors)).astype(np.float64)


def binned_colors(image: npt.NDArray[np.uint8]) -> BinnedColors:
    """Put the colors of a picture, (H, W, 3) uint8, into bins."""
    red, green, blue = (image[..., channel].astype(np.intp) >> (8 - _BITS) for channel in range(3))
    key = (red << 2 * _BITS | green << _BITS | blue).ravel()
    size = np.bincount(key, minlength=1 << 3 * _BITS)
    used = np.flatnonzero(size)
    sums = [np.bincount(key, weights=image[..., channel].ravel(), minlength=len(size))[used] for channel in range(3)]
    number = np.zeros(len(size), np.intp)
    number[used] = np.arange(len(used))
    return BinnedColors(number[key].reshape(image.shape[:2]), np.stack(sums, axis=1) / size[used, None])


def moments(colors: Floats) -> Floats:
    """1, the channels and their products, (K, 10): a Gaussian's log density is a sum of these, weighted."""
    centered = colors - 128  # smaller numbers, smaller rounding errors
    products = [centered[:, first] * centered[:, second] for first, second in _PAIRS]
    return np.column_stack([np.ones(len(colors)), centered, *products])


@dataclass(frozen=True, slots=True)
class ColorMixture:
    """A mixture of J Gaussians in the space of colors.

    Attributes:
        weights: (J, 10) float64, of a color's moments; the sum is the logarithm of what a Gaussian adds to the density.
    """

    weights: Floats

    def log_density(self, moments: Floats) -> Floats:
        """Logarithm of the density of colors given by their moments (K, 10): (K,) float64."""
        return _log_sum(self.weights @ moments.T)

    def shares(self, moments: Floats) -> Floats:
        """How probably each color comes from each Gaussian: (J, K) float64."""
        terms = self.weights @ moments.T
        return np.exp(terms - _log_sum(terms))


def fitted_mixture(moments: Floats, counts: Floats, start: ColorMixture | None = None) -> ColorMixture:
    """The mixture that EM finds for colors.

    Args:
        moments: (K, 10) float64, of colors, K at least 1.
        counts: (K,) float64, how often each occurs, above 0.
        start: a mixture of similar colors, which takes a step only; None starts from clusters.
    """
    if start is not None:
        return _mixture_of(moments, counts * start.shares(moments))
    mixture = _mixture_of(moments, counts * _clusters(moments[:, 1:4], counts))
    for _ in range(_EM_STEPS - 1):
        mixture = _mixture_of(moments, counts * mixture.shares(moments))
    return mixture


def _mixture_of(moments: Floats, parts: Floats) -> ColorMixture:
    """The Gaussians of which each takes its part (J, K) of each color."""
    sums = parts @ moments
    sums = sums[sums[:, 0] > 1e-6]
    mass, mean = sums[:, 0], sums[:, 1:4] / sums[:, :1]
    covariance = np.empty((len(sums), 3, 3))
    for (first, second), products in zip(_PAIRS, (sums[:, 4:] / sums[:, :1]).T, strict=True):
        covariance[:, first, second] = covariance[:, second, first] = products - mean[:, first] * mean[:, second]
    covariance += _MIN_VARIANCE * np.eye(3)
    inverse = np.linalg.inv(covariance)
    linear = (inverse @ mean[..., None])[..., 0]
    constant = np.log(mass / mass.sum()) - 0.5 * np.log(np.linalg.det(covariance)) - 1.5 * math.log(2 * math.pi)
    constant -= 0.5 * (linear * mean).sum(axis=1)
    squares = [-(0.5 if first == second else 1.0) * inverse[:, first, second] for first, second in _PAIRS]
    return ColorMixture(np.column_stack([constant, linear, *squares]))


def _clusters(colors: Floats, counts: Floats) -> Floats:
    """The cluster of each color by weighted k-means, as shares (J, K) of 0 and 1."""
    centers = _first_centers(colors, counts)
    for _ in range(_LLOYD_STEPS):
        members = _nearest(colors, centers) * counts
        mass = members.sum(axis=1)
        centers = (members @ colors)[mass > 0] / mass[mass > 0, None]
    return _nearest(colors, centers)


def _first_centers(colors: Floats, counts: Floats) -> Floats:
    """The mean, then always the color that adds most to the error: the same whenever it is asked."""
    centers = [counts @ colors / counts.sum()]
    error = np.full(len(colors), math.inf)
    while len(centers) < NUM_COMPONENTS:
        difference = colors - centers[-1]
        error = np.minimum(error, counts * np.einsum("kc,kc->k", difference, difference))
        farthest = int(error.argmax())
        if error[farthest] <= _LEAST_ERROR:
            break
        centers.append(colors[farthest])
    return np.stack(centers)


def _nearest(colors: Floats, centers: Floats) -> Floats:
    squares = np.einsum("jc,jc->j", centers, centers)
    nearest = (squares[:, None] - 2 * centers @ colors.T).argmin(axis=0)  # the same with the squares of colors added
    return (np.arange(len(centers))[:, None] == nearest).astype(np.float64)


def _log_sum(terms: Floats) -> Floats:
    """Logarithm of the sum over the first axis of numbers given by their logarithms."""
    highest: Floats = terms.max(axis=0)
    return highest + np.log(np.exp(terms - highest).sum(axis=0))

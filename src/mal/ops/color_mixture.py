"""How likely colors are: a mixture of Gaussians, fitted to the colors of some pixels by EM.

Colors are put into bins of 8 levels a channel first. A mixture is fitted to the mean colors of the bins and asked
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


@dataclass(frozen=True, slots=True)
class ColorMixture:
    """A mixture of J Gaussians in the space of colors.

    Attributes:
        log_factor: (J,) float64, logarithm of each one's share and of the constant of its density.
        mean: (J, 3) float64.
        inverse: (J, 3, 3) float64, inverse of each one's covariance.
    """

    log_factor: Floats
    mean: Floats
    inverse: Floats

    def log_terms(self, colors: Floats) -> Floats:
        """Logarithm of what each Gaussian adds to the density of colors (K, 3): (J, K) float64."""
        difference = colors - self.mean[:, None]
        return self.log_factor[:, None] - 0.5 * np.einsum("jkc,jkc->jk", difference @ self.inverse, difference)

    def log_density(self, colors: Floats) -> Floats:
        """Logarithm of the density of colors (K, 3): (K,) float64."""
        return _log_sum(self.log_terms(colors))


def fitted_mixture(colors: Floats, weights: Floats) -> ColorMixture:
    """The mixture that EM finds for colors.

    Args:
        colors: (K, 3) float64, 0..255, K at least 1.
        weights: (K,) float64, how often each occurs, above 0.
    """
    shares = _clusters(colors, weights)
    mixture = _mixture_of(colors, weights, shares)
    for _ in range(_EM_STEPS - 1):
        terms = mixture.log_terms(colors)
        mixture = _mixture_of(colors, weights, np.exp(terms - _log_sum(terms)))
    return mixture


def _mixture_of(colors: Floats, weights: Floats, shares: Floats) -> ColorMixture:
    """The Gaussians that belong to the share (J, K) that each takes of each color."""
    parts = shares * weights
    mass = parts.sum(axis=1)
    parts, mass = parts[mass > 1e-6], mass[mass > 1e-6]
    mean = parts @ colors / mass[:, None]
    difference = colors - mean[:, None]
    covariance = (difference * parts[..., None]).transpose(0, 2, 1) @ difference / mass[:, None, None]
    covariance += _MIN_VARIANCE * np.eye(3)
    log_factor = np.log(mass / mass.sum()) - 0.5 * np.log(np.linalg.det(covariance)) - 1.5 * math.log(2 * math.pi)
    return ColorMixture(log_factor, mean, np.linalg.inv(covariance))


def _clusters(colors: Floats, weights: Floats) -> Floats:
    """The cluster of each color by weighted k-means, as shares (J, K) of 0 and 1."""
    centers = _first_centers(colors, weights)
    for _ in range(_LLOYD_STEPS):
        members = _nearest(colors, centers)
        mass = members @ weights
        centers = (members * weights @ colors)[mass > 0] / mass[mass > 0, None]
    return _nearest(colors, centers)


def _first_centers(colors: Floats, weights: Floats) -> Floats:
    """The mean, then always the color that adds most to the error: the same whenever it is asked."""
    centers = [np.average(colors, axis=0, weights=weights)]
    error = np.full(len(colors), math.inf)
    while len(centers) < NUM_COMPONENTS:
        difference = colors - centers[-1]
        error = np.minimum(error, weights * np.einsum("kc,kc->k", difference, difference))
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

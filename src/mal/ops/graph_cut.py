"""Graph-cut refinement: pulls a mask to what colors and edges of its picture say.

It knows what the mean field does not: which colors the object as a whole has, and its surroundings. Two color
mixtures say of each pixel which of the two it looks like, edges between neighbors say where the picture lets a mask
end, and a minimum cut finds the best mask for both together.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mal.ops.color_mixture import ColorMixture, binned_colors, fitted_mixture, moments
from mal.ops.min_cut import STEPS, between, min_cut

Mask = npt.NDArray[np.bool_]

MIN_PIXELS = 10  # of object and of surroundings each: fewer say nothing of its colors
SMOOTHNESS = 16.0  # nats; see below
_MAX_COST = 40.0  # a color that one mixture does not know counts no more than e**40 against it
_MAX_LOGIT = 2.0  # nats: networks are surer of themselves than they should be
_MIN_PROBABILITY = 0.001  # logits stay finite
_SMOOTH_SIDE = 100.0  # of the box that `smoothness` is meant for
_UNIT = 10.0  # capacities are integers of so many to 1


def graph_cut(
    image: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.floating],
    inside: Mask,
    *,
    threshold: float = 0.5,
    sure: float = 0.03,
    smoothness: float = SMOOTHNESS,
    prior: float = 0.5,
    rounds: int = 2,
) -> Mask:
    """Refine the mask of one object by the colors of a window of its picture.

    The seed is where the probability exceeds the threshold. Its most probable pixels stay in the mask, nothing
    outside ``inside`` comes into it, and all else is decided by the cut. Which pixels are sure follows from the
    probabilities of this object, not from a fixed limit, since networks differ in how sure they are of anything.

    The window is cut at the resolution that it is given in. Give small objects in the pixels of the photo, not
    enlarged: enlarged pixels have soft edges and no more colors; shrink large ones to a side of 128 to 256, for
    speed. Leave out what is not in the photo, such as a border that was filled up: it would count as surroundings.

    Sources: Rother et al., GrabCut (SIGGRAPH 2004), for mixtures and edges; Boykov and Kolmogorov (PAMI 2004), for
    the cut.

    Args:
        image: (H, W, 3) uint8, the object with some of its surroundings.
        probability: (H, W) float, of the object, 0..1; what is not a number counts as 0.
        inside: (H, W) bool, where the mask may be: the box.
        threshold: in 0..1.
        sure: share of the seed, in 0..1, that stays for certain. Pixels as probable as the last of these stay too;
            none do where the whole seed is equally probable.
        smoothness: what an edge between two pixels of one color costs, in nats, where the box has 100 x 100 pixels: 0
            or more. It grows with the root of the box's area, since colors count by the pixel and edges by the length
            of the outline: so the balance of both is that of the same picture at another resolution.
        prior: how much the probability of a pixel counts beside its color: 1 adds its logit, relative to the
            threshold's and 2 nats at most, to the color's log-likelihood ratio; 0 or more.
        rounds: how often mixtures are fitted and the cut is made, each time from the mask before; 1 or more.

    Returns:
        (H, W) bool, the same for the same arguments. The seed itself where there is nothing to go by: object or
        surroundings have fewer than ``MIN_PIXELS`` pixels (no seed, all seed, a box of a pixel), the picture has one
        color, or the cut would leave nothing. So it is empty only where the seed is.

    Raises:
        ValueError: arrays do not fit each other, or a number is out of range.
    """
    _check_shapes(image, probability, inside)
    _check_numbers(threshold=threshold, sure=sure, smoothness=smoothness, prior=prior, rounds=rounds)
    prob = np.nan_to_num(np.asarray(probability, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    seed: Mask = inside & (prob > threshold)
    if min(seed.sum(), seed.size - seed.sum()) < MIN_PIXELS:
        return seed
    part = _window(inside)
    smoothness *= math.sqrt(inside.sum()) / _SMOOTH_SIDE
    edges = _edges(image[part], smoothness)
    if edges is None:
        return seed
    held = 9 * smoothness + _MAX_COST  # more than all edges of a pixel together
    fixed = np.where(_most_probable(prob, seed, sure), held, 0.0) - np.where(inside, 0.0, held)
    confidence = prior * np.clip(_logit(prob) - _logit(threshold), -_MAX_LOGIT, _MAX_LOGIT)
    colors, mask = _ColorModels(image), seed
    for _ in range(rounds):
        if min(mask.sum(), mask.size - mask.sum()) < MIN_PIXELS:
            break
        colors.fit(mask)
        cost = np.where(fixed[part] != 0, fixed[part], colors.evidence(part) + confidence[part])
        mask = np.zeros_like(seed)
        mask[part] = min_cut(_as_capacities(cost), edges)
    return mask if mask.any() else seed


class _ColorModels:
    """The mixtures of an object's colors and of its surroundings' in a picture."""

    def __init__(self, image: npt.NDArray[np.uint8]) -> None:
        self._colors = binned_colors(image)
        self._moments = moments(self._colors.colors)
        self._object: ColorMixture | None = None
        self._ground: ColorMixture | None = None

    def fit(self, mask: Mask) -> None:
        """Fit both to a mask, from the second time on starting from what they were."""
        self._object = self._fitted(mask, self._object)
        self._ground = self._fitted(~mask, self._ground)

    def evidence(self, part: tuple[slice, slice]) -> npt.NDArray[np.float64]:
        """How much more each pixel of a part looks like the object than like its surroundings, in nats."""
        assert self._object is not None
        assert self._ground is not None
        ratio = self._object.log_density(self._moments) - self._ground.log_density(self._moments)
        return np.clip(ratio, -_MAX_COST, _MAX_COST)[self._colors.bins[part]]

    def _fitted(self, pixels: Mask, start: ColorMixture | None) -> ColorMixture:
        counts = self._colors.count(pixels)
        return fitted_mixture(self._moments[counts > 0], counts[counts > 0], start)


def _check_shapes(image: npt.NDArray, probability: npt.NDArray, inside: npt.NDArray) -> None:
    if probability.ndim != 2 or image.shape != (*probability.shape, 3) or inside.shape != probability.shape:
        raise ValueError(
            "image, probability and inside must be (H, W, 3), (H, W) and (H, W), not"
            f" {image.shape}, {probability.shape} and {inside.shape}"
        )
    if image.dtype != np.uint8 or inside.dtype != np.bool_:
        raise ValueError(f"image and inside must be uint8 and bool, not {image.dtype} and {inside.dtype}")


def _check_numbers(*, threshold: float, sure: float, smoothness: float, prior: float, rounds: int) -> None:
    for name, value, most in (
        ("threshold", threshold, 1.0),
        ("sure", sure, 1.0),
        ("smoothness", smoothness, 1e4),
        ("prior", prior, 1e4),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} must be in 0..{most:g}, not {value}")
    if rounds < 1:
        raise ValueError(f"rounds must be 1 or more, not {rounds}")


def _window(inside: Mask) -> tuple[slice, slice]:
    """The smallest window with all pixels of a mask that has some, and one more on each side where there is one."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)


def _most_probable(probability: npt.NDArray[np.float64], seed: Mask, share: float) -> Mask:
    """About this share of the seed, the most probable part of it."""
    ranked = np.sort(probability[seed])
    count = round(share * len(ranked))
    if count == 0 or ranked[0] == ranked[-1]:
        return np.zeros_like(seed)
    return seed & (probability >= ranked[-count])


def _logit(probability: npt.NDArray[np.float64] | float) -> npt.NDArray[np.float64]:
    clipped = np.clip(probability, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return np.log(clipped / (1 - clipped))


def _edges(image: npt.NDArray[np.uint8], smoothness: float) -> npt.NDArray[np.int32] | None:
    """What it costs to end a mask between neighbors: much where colors are alike. None where there is one color."""
    pixels = image.astype(np.float32)
    squares = np.zeros((len(STEPS), *image.shape[:2]), np.float32)
    links = 0
    for square, step in zip(squares, STEPS, strict=True):
        near, far = between(step)
        difference = pixels[near] - pixels[far]
        square[near] = np.einsum("yxc,yxc->yx", difference, difference)
        links += square[near].size
    total = float(squares.sum(dtype=np.float64))
    if total == 0:
        return None
    contrast = np.float32(links / (2 * total))  # GrabCut, equation 5
    lengths = np.array([math.hypot(*step) for step in STEPS], np.float32)
    return _as_capacities(np.float32(smoothness) * np.exp(-contrast * squares) / lengths[:, None, None])


def _as_capacities(costs: npt.NDArray[np.floating]) -> npt.NDArray[np.int32]:
    return np.rint(_UNIT * costs).astype(np.int32)

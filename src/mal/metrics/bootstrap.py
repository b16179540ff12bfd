"""Bootstrap confidence intervals, resampled by image.

Boxes of one image are not independent (same light, sharpness, annotator), so whole images are resampled, with
replacement, and every metric is computed again for each resample. All metrics share the resamples, so that differences
are paired.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
SEED = 0
LEVEL = 0.95

Values = npt.NDArray[np.float64]


def resampled_means(
    values: Values, images: npt.NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Values:
    """Means over boxes, once for each draw of images.

    Args:
        values: (N, K), K figures of each box.
        images: (N,), a number for the image of each box.
        resamples: B, how many draws.
        seed: of the draws; the same seed and the same number of images draw the same.

    Returns:
        (B, K) float64.
    """
    rows, num_images = _numbered(images)
    sums = _sums(rows, values, num_images)
    table = np.column_stack([sums, np.bincount(rows, minlength=num_images)])
    # Not a product of matrices: its last digits would depend on the number of threads.
    totals = np.array([(weight[:, None] * table).sum(0) for weight in _draws(num_images, resamples, seed)])
    return totals[:, :-1] / totals[:, -1:]


def resampled_class_means(
    values: Values,
    images: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Values:
    """Means over the classes that occur in a draw of the means within each; otherwise as :func:`resampled_means`.

    Args:
        values: (N, K).
        images: (N,).
        classes: (N,), a number for the class of each box.
        resamples: B.
        seed: of the draws.
    """
    rows, num_images = _numbered(images)
    class_rows, num_classes = _numbered(classes)
    # Boxes of one class in one image always come together, so they are added up once.
    keys, pairs, counts = np.unique(rows * num_classes + class_rows, return_inverse=True, return_counts=True)
    pair_images, pair_classes = np.divmod(keys, num_classes)
    sums = _sums(pairs, values, len(keys))
    found = []
    for weight in _draws(num_images, resamples, seed):
        weight = weight[pair_images]
        totals = _sums(pair_classes, weight[:, None] * sums, num_classes)
        sizes = np.bincount(pair_classes, weight * counts, num_classes)
        occurs = sizes > 0
        found.append((totals[occurs] / sizes[occurs, None]).mean(0))
    return np.array(found)


def percentile_interval(samples: Values) -> tuple[float, float]:
    """Percentile interval of resampled values (B,): ends of their middle :data:`LEVEL`."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return low, high


def _draws(num_images: int, resamples: int, seed: int) -> Iterator[Values]:
    """Yield for each resample how often each image is drawn, (num_images,)."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = generator.integers(0, num_images, num_images)
        yield np.bincount(drawn, minlength=num_images).astype(np.float64)


def _numbered(keys: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], int]:
    found, rows = np.unique(keys, return_inverse=True)
    return rows, len(found)


def _sums(rows: npt.NDArray[np.intp], values: Values, size: int) -> Values:
    return np.stack([np.bincount(rows, column, size) for column in values.T], axis=1)

"""How long does refinement by graph cut take beside OpenCV's GrabCut?"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.graph_cut_study import Mask, Window, grab_cut, has_opencv, refined
from benchmarks.report import Row
from benchmarks.timing import Comparison
from mal.ops import min_cut

QUESTION = (
    "Refinement by graph cut of one crop: one iteration of OpenCV's GrabCut from the same seed (baseline) against"
    " mal.ops.graph_cut; processor time of one thread. Without OpenCV the baseline is the way without numba"
)
SIDES = (64, 128, 256)
MARGIN = 0.3  # of half the box, as labelling cuts crops out


def measure(device: torch.device, *, repeats: int) -> list[Row]:
    """One row a size, and none but on a CPU. Raises AssertionError where a mask is not that of the object."""
    if device.type != "cpu":
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_measure_side(side, repeats) for side in SIDES]
    finally:
        torch.set_num_threads(threads)


def _measure_side(side: int, repeats: int) -> Row:
    scene = make_scene(side)
    baseline: Callable[[], Mask] = partial(grab_cut, scene) if has_opencv() else partial(refined_without_numba, scene)
    product = partial(refined, scene)
    for way in (baseline, product):
        assert scene.iou(way()) > 0.9, f"{side}²: a mask is not that of the object"
    seconds = [(_processor_seconds(baseline), _processor_seconds(product)) for _ in range(repeats)]
    slow, fast = zip(*seconds, strict=True)
    return Row(f"{side}²", Comparison(slow, fast))


def refined_without_numba(window: Window) -> Mask:
    """By the product's graph cut, where numba is missing."""
    with patch.object(min_cut, "fast_module", lambda name: None):
        return refined(window)


def _processor_seconds(function: Callable[[], Mask]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def make_scene(side: int, seed: int = 0, noise: float = 6.0) -> Window:
    """A blotchy blob on blotchy ground with noise (gray levels), seeded by an ellipse."""
    generator = torch.Generator().manual_seed(seed)
    blotches = 50 * torch.randn(2, 3, 6, 6, generator=generator)
    ground, figure = F.interpolate(blotches, size=(side, side), mode="bicubic", align_corners=False)
    axis = (torch.arange(side) + 0.5) / side * 2 - 1
    y, x = (1 + MARGIN) * axis[:, None], (1 + MARGIN) * axis[None, :]
    angle, radius = torch.atan2(y, x), torch.hypot(x, y)
    truth = radius < 0.8 + 0.15 * torch.sin(5 * angle)
    colors = torch.where(truth, figure + 150, ground + 90) + noise * torch.randn(3, side, side, generator=generator)
    inside = (x.abs() < 1) & (y.abs() < 1)
    mask = truth.numpy()
    return Window(
        image=np.ascontiguousarray(colors.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()),
        probability=(torch.sigmoid(4 * (0.9 - radius)) * inside).numpy(),
        inside=inside.numpy(),
        truth=mask,
        truth_area=int(mask.sum()),
    )

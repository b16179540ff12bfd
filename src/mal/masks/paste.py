"""From probabilities in a crop to a mask in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

from mal.masks.rle import Rle, rle_from_window
from mal.size_bins import size_bin


@dataclass(frozen=True, slots=True)
class PastedMask:
    """A mask as a window of its image.

    Attributes:
        window: (h, w) bool, the part of the crop's frame inside the image.
        x0: column of the image where the window starts.
        y0: row of the image where the window starts.
        image_width: width of the image in pixels.
        image_height: height of the image in pixels.
        score: mean foreground probability of the mask's pixels, 0..1; 0 for an empty mask.
    """

    window: npt.NDArray[np.bool_]
    x0: int
    y0: int
    image_width: int
    image_height: int
    score: float

    def rle(self) -> Rle:
        """The mask at full image size as compressed COCO RLE."""
        return rle_from_window(
            self.window, x0=self.x0, y0=self.y0, image_width=self.image_width, image_height=self.image_height
        )

    def full(self) -> npt.NDArray[np.bool_]:
        """The mask as an (H, W) bool array of the image's size."""
        mask = np.zeros((self.image_height, self.image_width), dtype=np.bool_)
        height, width = self.window.shape
        mask[self.y0 : self.y0 + height, self.x0 : self.x0 + width] = self.window
        return mask


def paste_mask(prob: Tensor, frame: Sequence[int], image_size: tuple[int, int], threshold: float) -> PastedMask:
    """Resize a crop's probabilities to its frame, drop what falls outside the image, and threshold.

    Args:
        prob: (S, S) float32 in 0..1, 0 outside the box.
        frame: x0, y0, x1, y1 of the crop in pixels of the full image, end exclusive.
        image_size: width and height of the full image.
        threshold: a pixel is in the mask where its probability exceeds this.
    """
    x0, y0, x1, y1 = frame
    width, height = image_size
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    resized = F.interpolate(prob[None, None], size=(y1 - y0, x1 - x0), mode="bilinear", align_corners=False)
    visible = resized[0, 0, top - y0 : bottom - y0, left - x0 : right - x0].cpu().numpy()
    window = visible > threshold
    return PastedMask(
        window=window,
        x0=left,
        y0=top,
        image_width=width,
        image_height=height,
        score=float(visible[window].mean()) if window.any() else 0.0,
    )


def threshold_for(box_area: float, thresholds: Sequence[float]) -> float:
    """The threshold of a box's size.

    Args:
        box_area: in pixels of the full image.
        thresholds: one for all boxes, or one each for small, medium and large ones.
    """
    if len(thresholds) == 1:
        return thresholds[0]
    return thresholds[size_bin(box_area)]

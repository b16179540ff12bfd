"""The pixels that a training target is cut on, and where the crop of its box shows them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from mal.data.crops import FloatBox, IntBox, crop_frame

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

WINDOW_MARGINS = (1.2, 1.2, 1.2, 1.2)  # 0.6 of the box on each side: no training crop of the defaults shows more
WINDOW_SIDE = 128  # of the longer side, in pixels
ELLIPSE_STEEPNESS = 4.0  # logit of the ellipse's probability at the center


@dataclass(frozen=True, slots=True)
class CutGrid:
    """The pixels that a target is cut on, and where a crop of the same box shows them.

    They cover the box and its surroundings as far as these lie in the photo, at the photo's own resolution or, where
    that is more, with :data:`WINDOW_SIDE` pixels on the longer side. They do not depend on the crop.

    Attributes:
        extent: x0, y0, x1, y1 of the grid in pixels of the photo, end exclusive.
        size: its columns and rows.
        box: x0, y0, x1, y1 in pixels of the photo.
        crop: x0, y0, x1, y1 of the crop in pixels of the photo; x0 and x1 are swapped if it is mirrored.
    """

    extent: IntBox
    size: tuple[int, int]
    box: FloatBox
    crop: IntBox

    @classmethod
    def around(cls, box: FloatBox, image_size: tuple[int, int], crop: IntBox, *, mirrored: bool = False) -> CutGrid:
        """The grid of a box.

        Args:
            box: x0, y0, x1, y1 in pixels of the photo.
            image_size: width and height of the photo.
            crop: frame of the crop, see :func:`mal.data.crops.crop_frame`.
            mirrored: left and right of the crop are swapped.
        """
        x0, y0, x1, y1 = crop_frame(box, WINDOW_MARGINS)
        extent = max(x0, 0), max(y0, 0), min(x1, image_size[0]), min(y1, image_size[1])
        width, height = extent[2] - extent[0], extent[3] - extent[1]
        shrunk = min(1.0, WINDOW_SIDE / max(width, height))
        size = max(round(width * shrunk), 1), max(round(height * shrunk), 1)
        return cls(extent, size, box, (crop[2], crop[1], crop[0], crop[3]) if mirrored else crop)

    @property
    def inside(self) -> Mask:
        """(h, w) bool: the box, at least one pixel."""
        columns, rows = (self._covered(axis) for axis in (0, 1))
        inside = np.zeros(self.size[::-1], np.bool_)
        inside[rows, columns] = True
        return inside

    def ellipse(self) -> Floats:
        """(h, w) float32 in 0..1: 1/2 on the ellipse that touches the sides of the box, more inside, 0 off the box."""
        across, down = (self._from_center(axis) for axis in (0, 1))
        radius = np.sqrt(across[None] ** 2 + down[:, None] ** 2)
        probability: Floats = (1 / (1 + np.exp(-ELLIPSE_STEEPNESS * (1 - radius)))).astype(np.float32)
        return probability * self.inside

    def pixels(self, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(h, w, 3) uint8: the photo (H, W, 3) at this grid."""
        x0, y0, x1, y1 = self.extent
        return _resized(photo[y0:y1, x0:x1], self.size)

    def to_crop(self, values: Floats, side: int) -> Floats:
        """Values of the grid, (h, w) float32, in the pixels of the crop, (side, side); 0 off the grid."""
        return _sampled(values, (self.extent, self.size), (self.crop, (side, side)))

    def from_crop(self, values: Floats) -> Floats:
        """Values of the crop, (n, n) float32 at any resolution, in the pixels of the grid, (h, w); 0 off the crop."""
        return _sampled(values, (self.crop, values.shape[::-1]), (self.extent, self.size))

    def _covered(self, axis: int) -> slice:
        start, end = self.extent[axis], self.extent[axis + 2]
        scale = self.size[axis] / (end - start)
        first = min(round((self.box[axis] - start) * scale), self.size[axis] - 1)
        return slice(first, max(round((self.box[axis + 2] - start) * scale), first + 1))

    def _from_center(self, axis: int) -> npt.NDArray[np.float64]:
        """Distance of each column or row from the center of the box, 1 at its sides."""
        start, end, count = self.extent[axis], self.extent[axis + 2], self.size[axis]
        place = start + (np.arange(count) + 0.5) * (end - start) / count
        low, high = self.box[axis], self.box[axis + 2]
        return 2 * (place - low) / (high - low) - 1


def _resized(part: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    if part.shape[1::-1] == size:
        return np.ascontiguousarray(part)
    return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BILINEAR))


Frame = tuple[IntBox, tuple[int, ...]]  # corners in pixels of the photo, columns and rows


def _sampled(values: Floats, source: Frame, target: Frame) -> Floats:
    """Values over one frame at the pixel centers of another, bilinear; 0 outside of the first."""
    steps: list[float] = []
    for axis in (0, 1):
        (start, end), (first, last) = ((corners[axis], corners[axis + 2]) for corners, _ in (source, target))
        scale = source[1][axis] / (end - start)
        steps += [(last - first) / target[1][axis] * scale, (first - start) * scale]
    affine = (steps[0], 0, steps[1], 0, steps[2], steps[3])
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    size = (target[1][0], target[1][1])
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))

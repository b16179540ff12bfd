"""Gray pictures of crowded, soft-edged blobs with true masks: what a color model cannot tell apart.

Drawn for the study of when a graph cut helps, whose photos hold colored, single objects. Bright blobs on dark ground
stand for fluorescence, dark ones for stained tissue, and blobs of the ground's own gray, with a dark rim, for electron
microscopy.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from mal.masks.rle import rle_from_mask
from mal.sample.scene import tight_box
from mal.sample.textures import smooth_noise

Kind = Literal["bright", "dark", "rim"]
KINDS: tuple[Kind, ...] = ("bright", "dark", "rim")
SIDE = 256
MIN_AREA = 60  # pixels that are left of a blob behind others
Levels = npt.NDArray[np.float32]


def write_gray_scenes(folder: Path, count: int, seed: int) -> tuple[Path, Path]:
    """Write ``count`` pictures and their COCO file; returns the file and the folder of its images.

    The picture i depends on the seed and i alone.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    document: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    document["categories"].append({"id": 1, "name": "blob"})
    for index in range(count):
        picture, masks = gray_scene(np.random.default_rng([seed, index]), KINDS[index % len(KINDS)])
        name = f"gray_{index:03d}.png"
        Image.fromarray(picture).save(images / name)
        document["images"].append({"id": index + 1, "file_name": name, "width": SIDE, "height": SIDE})
        for mask in masks:
            document["annotations"].append(_annotation(mask, index + 1, len(document["annotations"]) + 1))
    path = folder / "instances.json"
    path.write_text(json.dumps(document))
    return path, images


def gray_scene(rng: np.random.Generator, kind: Kind) -> tuple[npt.NDArray[np.uint8], list[npt.NDArray[np.bool_]]]:
    """Draw a picture (SIDE, SIDE, 3) uint8 of equal channels, and the visible masks of its blobs."""
    ground, contrast = rng.uniform(15, 60), rng.uniform(40, 150)
    if kind != "bright":
        ground, contrast = 255 - ground, -contrast
    canvas = ground + rng.uniform(2, 12) * smooth_noise(rng, SIDE, SIDE, cell=int(rng.integers(24, 64)))
    masks: list[npt.NDArray[np.bool_]] = []
    for center in _crowded_centers(rng):
        blob = _blob(rng, center)
        soft = ndimage.gaussian_filter(blob.astype(np.float32), rng.uniform(0.6, 1.6))
        if kind == "rim":
            rim = np.clip(4 * soft * (1 - soft), 0, 1)
            inner = ground + rng.uniform(-0.15, 0.15) * abs(contrast)
            canvas += soft * (inner - canvas) + rim * (ground + contrast - canvas)
        else:
            canvas += soft * (ground + contrast * rng.uniform(0.5, 1.2) - canvas)
            canvas += soft * rng.uniform(2, 14) * smooth_noise(rng, SIDE, SIDE, cell=6)
        masks = [*(earlier & ~blob for earlier in masks), blob]
    canvas += rng.uniform(2, 10) * rng.standard_normal((SIDE, SIDE), dtype=np.float32)
    gray = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2), [mask for mask in masks if mask.sum() >= MIN_AREA]


def _crowded_centers(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Places of 12 to 36 blobs, in a few clusters."""
    clusters = rng.uniform(30, SIDE - 30, (int(rng.integers(2, 6)), 2))
    count = int(rng.integers(12, 37))
    return clusters[rng.integers(0, len(clusters), count)] + rng.normal(0, rng.uniform(18, 45), (count, 2))


def _blob(rng: np.random.Generator, center: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """A lumpy ellipse, as (SIDE, SIDE) bool."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    turn, radius, stretch = rng.uniform(0, np.pi), rng.uniform(7, 18), rng.uniform(1, 1.8)
    x, y = columns - center[0], rows - center[1]
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    angle = np.arctan2(across, along)
    lumps = 1 + rng.uniform(0, 0.15) * np.sin(int(rng.integers(2, 6)) * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.hypot(along / stretch, across) < radius * lumps)


def _annotation(mask: npt.NDArray[np.bool_], image_id: int, annotation_id: int) -> dict[str, Any]:
    x0, y0, x1, y1 = tight_box(mask)
    record = {"id": annotation_id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "area": int(mask.sum())}
    return record | {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": rle_from_mask(mask)}

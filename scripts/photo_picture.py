"""Draw the photos that come with the package with boxes, and with masks of the starter, for the README.

`python scripts/photo_picture.py docs/images/photos.jpg`
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from mal import MaskAutoLabeler
from mal.data.images import read_image
from mal.report.demo_page import LabelledPhoto, photo_panels
from mal.report.overlay import Pixels
from mal.sample.photos import PhotoPaths, write_photos

SHOWN = ("000000358083.jpg", "000000311303.jpg", "000000565778.jpg", "000000516008.jpg")  # chosen for their width
HEIGHT, GAP = 250, 6
PAPER = 255


def main(out: Path) -> None:
    """Write the picture: boxes above, masks below."""
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder))
        pairs = [photo_panels(each) for each in _labelled(photos)]
    rows = [_row([_scaled(pair[kind]) for pair in pairs]) for kind in (0, 1)]
    gap = np.full((GAP, rows[0].shape[1], 3), PAPER, np.uint8)
    Image.fromarray(np.vstack([rows[0], gap, rows[1]])).save(out, quality=85, optimize=True)


def _labelled(photos: PhotoPaths) -> list[LabelledPhoto]:
    labeler = MaskAutoLabeler()
    document = json.loads(photos.boxes.read_text(encoding="utf-8"))
    images = {image["file_name"]: image for image in document["images"]}
    found = []
    for name in SHOWN:
        corners = np.array([each["bbox"] for each in document["annotations"] if each["image_id"] == images[name]["id"]])
        corners[:, 2:] += corners[:, :2]
        pixels = read_image(photos.images / name)
        masks = [mask.rle() for mask in labeler.label_instances(pixels, corners) if mask is not None]
        found.append(LabelledPhoto(images[name]["credit"], pixels, corners, masks))
    return found


def _scaled(picture: Pixels) -> Pixels:
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.LANCZOS))


def _row(pictures: list[Pixels]) -> Pixels:
    gap = np.full((HEIGHT, GAP, 3), PAPER, np.uint8)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))

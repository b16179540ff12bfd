"""Write the real photos that come with the package: eight under CC BY 2.0, with boxes of COCO and their credits."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PhotoPaths:
    """Where they lie.

    Attributes:
        boxes: COCO file; ``credit`` of an image's record names the photo and its license.
        images: folder of the photos.
    """

    boxes: Path
    images: Path


def write_photos(folder: Path) -> PhotoPaths:
    """Write photos, boxes and credits into a folder; files of an earlier call are overwritten.

    No network of this project is trained on them.
    """
    with resources.as_file(resources.files("mal") / "sample" / "photo_files") as kept:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    return PhotoPaths(boxes=folder / "boxes.json", images=folder / "images")

"""Make the real photos of the sample from photos of COCO under CC BY 2.0: `python scripts/sample_photos.py DATA`.

DATA is a folder with `annotations/boxes_val.json` and `images/val`, the part of coco-mini that no network of this
project is trained on. Photos are scaled down; boxes go with them. Their credits are written beside them.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

OUT = Path(__file__).parents[1] / "src" / "mal" / "sample" / "photo_files"
PHOTOS = (127, 121647, 208901, 311303, 358083, 516008, 525891, 565778)
LONGER_SIDE = 480
CC_BY = 4  # its number among COCO's licenses
HEAD = """# Credits of the photos

The boxes are of [COCO 2017](https://cocodataset.org) (T.-Y. Lin and others, COCO Consortium), under
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/); those of crowds are left out, coordinates are scaled.

The photos were published on Flickr under [CC BY 2.0](https://creativecommons.org/licenses/by/2.0/), as COCO records it;
the page of each names its author. They were scaled down to a longer side of 480 pixels.

| photo | page | file |
| --- | --- | --- |
"""


def main(data: Path) -> None:
    """Write photos, boxes and credits."""
    source = json.loads((data / "annotations" / "boxes_val.json").read_text(encoding="utf-8"))
    records = {image["id"]: image for image in source["images"]}
    images, annotations = [], []
    (OUT / "images").mkdir(parents=True, exist_ok=True)
    lines = [HEAD]
    for image in (records[number] for number in PHOTOS):
        assert image["license"] == CC_BY
        photo = Image.open(data / "images" / "val" / image["file_name"]).convert("RGB")
        factor = LONGER_SIDE / max(photo.size)
        photo = photo.resize([round(side * factor) for side in photo.size], Image.Resampling.LANCZOS)
        photo.save(OUT / "images" / image["file_name"], quality=88, optimize=True)
        number = re.search(r"/(\d+)_", image["flickr_url"])
        assert number
        page = f"https://www.flickr.com/photo.gne?id={number[1]}"
        images.append(
            {
                "id": image["id"],
                "file_name": image["file_name"],
                "width": photo.width,
                "height": photo.height,
                "license": CC_BY,
                "flickr_url": page,
                "credit": f"Flickr photo {number[1]}, CC BY 2.0",
            }
        )
        lines.append(f"| `{image['file_name']}` | {page} | {image['flickr_url']} |\n")
        for box in source["annotations"]:
            if box["image_id"] == image["id"] and not box["iscrowd"]:
                annotations.append(_scaled(box, factor, photo.size))
    used = {box["category_id"] for box in annotations}
    document = {
        "info": {"description": "Photos under CC BY 2.0 with boxes of COCO 2017 (CC BY 4.0); see CREDITS.md"},
        "licenses": [each for each in source["licenses"] if each["id"] == CC_BY],
        "images": images,
        "annotations": annotations,
        "categories": [each for each in source["categories"] if each["id"] in used],
    }
    (OUT / "boxes.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (OUT / "CREDITS.md").write_text("".join(lines), encoding="utf-8")


def _scaled(box: dict[str, Any], factor: float, size: tuple[int, int]) -> dict[str, Any]:
    x, y, width, height = (side * factor for side in box["bbox"])
    x1, y1 = min(x + width, size[0]), min(y + height, size[1])
    sides = [round(side, 2) for side in (x, y, x1 - x, y1 - y)]
    return {
        "id": box["id"],
        "image_id": box["image_id"],
        "category_id": box["category_id"],
        "bbox": sides,
        "iscrowd": 0,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))

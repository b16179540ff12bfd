"""Gather the pictures and boxes that the starter learns from into one COCO file: `python -m starter.gather`.

`pictures.csv` lists every picture with its digest, license, credit and source; a picture that differs is refused.
Some sets show one thing a hundred times: of each set at most so many boxes are taken, drawn by the digest of their
image's name and their id, so that anybody gets the same ones.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from mal.sample.generate import make_sample

PICTURES = Path(__file__).with_name("pictures.csv")
MOST_BOXES = {"tomato": 300, "nuclei": 500}
NUM_SCENES = 120
SCENES = "scenes"


def gather(data: Path, out: Path, without: set[str]) -> Path:
    """Copy the pictures and write their boxes.

    Args:
        data: folder of the sets, each with `images/train` and `annotations/boxes_train.json`.
        out: new folder; gets `images/<set>/` and `boxes.json`.
        without: sets that are left out.

    Raises:
        SystemExit: a picture is missing or differs from the list.
    """
    wanted: dict[str, dict[str, str]] = {}
    for row in csv.DictReader(PICTURES.open(encoding="utf-8", newline="")):
        if row["set"] not in without:
            wanted.setdefault(row["set"], {})[row["file_name"]] = row["sha256"]
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "object"}]}
    for name, digests in wanted.items():
        source = json.loads((data / name / "annotations" / "boxes_train.json").read_text(encoding="utf-8"))
        _copy(data / name / "images" / "train", out / "images" / name, digests)
        _add(document, name, source, set(digests))
    if SCENES not in without:
        sample = make_sample(out / "sample", num_train_images=NUM_SCENES, num_val_images=0)
        shutil.copytree(sample.train_images, out / "images" / SCENES, dirs_exist_ok=True)
        source = json.loads(sample.boxes_train.read_text(encoding="utf-8"))
        _add(document, SCENES, source, {image["file_name"] for image in source["images"]})
    path = out / "boxes.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    names = {image["id"]: image["file_name"].partition("/")[0] for image in document["images"]}
    for name, count in Counter(names[box["image_id"]] for box in document["annotations"]).items():
        print(f"{name}: {count} boxes")
    print(f"{len(document['annotations'])} boxes in {len(document['images'])} pictures: {path}")
    return path


def _copy(source: Path, target: Path, digests: dict[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file_name, digest in digests.items():
        picture = source / file_name
        if not picture.is_file() or hashlib.sha256(picture.read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{picture}: is missing or is not the picture that {PICTURES.name} lists")
        shutil.copyfile(picture, target / file_name)


def _add(document: dict[str, Any], name: str, source: dict[str, Any], file_names: set[str]) -> None:
    """Append the images of a set and the boxes that are taken of it, with ids of their own."""
    images = {image["id"]: image for image in source["images"] if image["file_name"] in file_names}
    boxes = [box for box in source["annotations"] if box["image_id"] in images and not box.get("iscrowd")]
    boxes = sorted(boxes, key=lambda box: _rank(images[box["image_id"]]["file_name"], box["id"]))
    number_of = {}
    for image in images.values():
        number_of[image["id"]] = len(document["images"]) + 1
        document["images"].append(
            {
                "id": number_of[image["id"]],
                "file_name": f"{name}/{image['file_name']}",
                "width": image["width"],
                "height": image["height"],
            }
        )
    for box in boxes[: MOST_BOXES.get(name)]:
        document["annotations"].append(
            {
                "id": len(document["annotations"]) + 1,
                "image_id": number_of[box["image_id"]],
                "category_id": 1,
                "bbox": box["bbox"],
                "iscrowd": 0,
            }
        )


def _rank(file_name: str, annotation_id: int) -> str:
    return hashlib.sha256(f"{file_name}:{annotation_id}".encode()).hexdigest()


def _arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the sets")
    parser.add_argument("out", type=Path, help="new folder for pictures and boxes")
    parser.add_argument(
        "--without", action="append", default=[], metavar="SET", help="leave a set out; may be repeated"
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Gather as the command line says."""
    given = _arguments()
    gather(given.data, given.out, set(given.without))


if __name__ == "__main__":
    main()

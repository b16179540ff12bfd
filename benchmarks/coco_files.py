"""Writes annotation files of any size in the shape of COCO's train2017: polygons, a few group regions, two decimals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TRAIN2017 = 860_000  # annotations, on 118,000 images

_WIDTH, _HEIGHT = 640, 480
_NUM_CATEGORIES = 80
_GROUP_EVERY = 86  # train2017 has some 10,000 group regions
_SHAPES = 1000  # drawn once and used again and again: what is measured is reading, not drawing


def write_coco_file(path: Path, *, num_annotations: int, seed: int = 0) -> None:
    """Write a file of so many annotations, about 525 bytes each, on a seventh as many images."""
    rng = np.random.default_rng(seed)
    shapes = [_shape(rng) for _ in range(_SHAPES)]
    image_ids = rng.permutation(5 * max(1, num_annotations // 7))[: max(1, num_annotations * 118 // 860)]
    with path.open("w", encoding="ascii") as file:
        file.write('{"info": {"description": "made for a benchmark", "year": 2017},"licenses": [{"id": 1}],')
        file.write('"images": [')
        file.writelines(_joined(_image(int(image_id)) for image_id in image_ids))
        file.write('],"annotations": [')
        file.writelines(_joined(_annotations(rng, num_annotations, shapes, image_ids)))
        categories = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, _NUM_CATEGORIES + 1)]
        file.write(f'],"categories": {json.dumps(categories)}}}')


def _image(image_id: int) -> str:
    name = f"{image_id:012}.jpg"
    return (
        f'{{"license": 3,"file_name": "{name}","coco_url": "http://images.cocodataset.org/train2017/{name}",'
        f'"height": {_HEIGHT},"width": {_WIDTH},"date_captured": "2013-11-14 11:18:45",'
        f'"flickr_url": "http://farm9.staticflickr.com/8186/{image_id:010}_be9cfe6ec2_z.jpg","id": {image_id}}}'
    )


def _annotations(rng: np.random.Generator, number: int, shapes: list[str], image_ids: np.ndarray) -> Iterator[str]:
    choices = rng.integers(len(shapes), size=number)
    places = rng.integers(len(image_ids), size=number)
    categories = rng.integers(1, _NUM_CATEGORIES + 1, size=number)
    group = '{"segmentation": {"counts": [1000,200,306000],"size": [480,640]},"area": 200,"bbox": [2,40,1,200]'
    for index, (choice, place, category) in enumerate(zip(choices, places, categories, strict=True)):
        is_group = index % _GROUP_EVERY == _GROUP_EVERY - 1
        yield (
            f'{group if is_group else shapes[choice]},"iscrowd": {int(is_group)},"image_id": {image_ids[place]},'
            f'"category_id": {category},"id": {index + 1}}}'
        )


def _shape(rng: np.random.Generator) -> str:
    """The first keys of an annotation: a star-shaped outline of 8 to 45 corners, with its area and its box."""
    size = np.exp(rng.uniform(np.log(16), np.log(400), 2)).clip(max=[_WIDTH / 1.5, _HEIGHT / 1.5])
    center = rng.uniform(size / 2, np.array([_WIDTH, _HEIGHT]) - size / 2)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(8, 46)))
    radii = rng.uniform(0.6, 1, len(angles))[:, None] / 2
    corners = (center + size * radii * np.stack([np.cos(angles), np.sin(angles)], 1)).round(2)
    low, high = corners.min(0), corners.max(0)
    outline = json.dumps([corners.ravel().tolist()], separators=(",", ":"))
    box = json.dumps([*low.tolist(), *(high - low).round(2).tolist()], separators=(",", ":"))
    return f'{{"segmentation": {outline},"area": {size.prod() / 2},"bbox": {box}'


def _joined(records: Iterator[str]) -> Iterator[str]:
    for index, record in enumerate(records):
        yield record if index == 0 else f",{record}"

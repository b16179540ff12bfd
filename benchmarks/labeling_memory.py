"""How much memory does labelling one very large photo take?

Each side runs in processes of its own: ``python -m benchmarks.labeling_memory SIDE NUM_BOXES FOLDER``.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.labeling import NO_NETWORK, baseline_labels, labeler_with, network_of, product_labels
from benchmarks.report import MemoryRow
from mal.data.loaders import AnnotatedImages

QUESTION = "Labelling a photo of 8000 × 6000 pixels, without a network: a plain pipeline (baseline) against ours"
WIDTH, HEIGHT = 8000, 6000
NUM_BOXES = 8  # every fourth of them fills half the photo or more; the baseline decodes the photo for each
BATCH_SIZE = 4
MOST_REPEATS = 2  # a peak hardly varies
SIDES = {"baseline": baseline_labels, "product": product_labels}


def measure(device: torch.device, *, repeats: int) -> list[MemoryRow]:
    """One row, of the memory beside a GPU's."""
    if device.type != "cpu":
        return []
    found: dict[str, list[int]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        large_photo(Path(folder), NUM_BOXES)  # here, since making it takes memory too
        for _ in range(min(repeats, MOST_REPEATS)):
            for side in SIDES:
                command = [sys.executable, "-m", "benchmarks.labeling_memory", side, str(NUM_BOXES), folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[side].append(int(done.stdout.splitlines()[-1]))
    name = f"{NUM_BOXES} boxes, batches of {BATCH_SIZE}"
    return [MemoryRow(name, tuple(found["baseline"]), tuple(found["product"]))]


def large_photo(folder: Path, num_boxes: int) -> AnnotatedImages:
    """A photo with boxes of all sizes."""
    if not (folder / "large.jpg").exists():
        coarse = np.random.default_rng(0).integers(0, 256, (HEIGHT // 100, WIDTH // 100, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / "large.jpg")
    sizes = [(20, 30), (90, 70), (900, 700), (6000, 5000)]
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 1,
            "bbox": [13 * number % 2000, 7 * number % 900, *sizes[number % 4]],
        }
        for number in range(num_boxes)
    ]
    document = {
        "images": [{"id": 1, "file_name": "large.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": annotations,
    }
    path = folder / f"{num_boxes}_boxes.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return AnnotatedImages(path, folder)


def main() -> None:
    """Label once and print the peak memory of this process in bytes."""
    side, num_boxes, folder = sys.argv[1:]
    labeler = labeler_with(network_of(NO_NETWORK), torch.device("cpu"))
    source = large_photo(Path(folder), int(num_boxes))
    labels = SIDES[side](source, labeler, BATCH_SIZE, 0)
    assert len(labels) == int(num_boxes)
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()

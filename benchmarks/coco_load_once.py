"""One side of `benchmarks.coco_loading` in a process of its own: ``python -m benchmarks.coco_load_once SIDE FILE``.

Nothing is imported that a side does not need itself: it would count for its memory.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from mal.runtime.devices import peak_bytes_of_process


def load_with_pycocotools(path: Path) -> int:
    """Parsed and indexed; the number of annotations."""
    from pycocotools.coco import COCO

    return len(COCO(str(path)).anns)


def load_with_mal(path: Path) -> int:
    """Checked, indexed, and each annotation made a box or named in a note; the number of annotations."""
    from mal.coco.boxes import select_boxes
    from mal.coco.coco_file import read_coco

    boxes, notes = select_boxes(read_coco(path))
    return len(boxes) + sum(note.action in ("skipped", "passed") for note in notes)


SIDES = {"baseline": load_with_pycocotools, "product": load_with_mal}


def _main(side: str, path: Path) -> None:
    start = time.perf_counter()
    count = SIDES[side](path)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_bytes": peak_bytes_of_process(), "annotations": count}))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))

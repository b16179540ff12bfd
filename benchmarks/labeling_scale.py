"""How do time and memory of all but the network grow with the number of boxes?

Each case runs in a process of its own: ``python -m benchmarks.labeling_scale NUM_BOXES FOLDER``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from mal.console import console
from mal.data.label_dataset import BoxChunks
from mal.data.loaders import AnnotatedImages
from mal.files import dumps
from mal.labeling.job import LabelJob, LabelWork, run_job
from mal.labeling.shards import BoxResult, MaskLabel, ShardWriter
from mal.masks.rle import Rle, rle_from_window
from mal.runtime.devices import peak_bytes_of_process
from mal.runtime.process_group import ProcessGroup

QUESTION = "Labelling by the number of boxes: reading the annotation file alone, all of a run, and its report"
NUM_BOXES = (10_000, 100_000, 1_000_000)
BOXES_OF_AN_IMAGE = 10
WIDTH, HEIGHT = 640, 480
BATCH_SIZE = 32
MASKS = 50  # that take turns
REPORT = """
import sys
from pathlib import Path
from mal.cli import main
assert main(sys.argv[1:]) == 0
status = Path("/proc/self/status").read_text()  # without PyTorch, which mal.runtime would load
print(1024 * int(status.partition("VmHWM:")[2].split()[0]))
"""


@dataclass(frozen=True)
class ScaleRow:
    """Bytes that one process had at most, and its processor time."""

    num_boxes: int
    after_reading: int
    at_the_end: int
    file_bytes: int
    seconds: float
    report_bytes: int
    report_seconds: float

    note: ClassVar[str] = (
        "Peak and processor time of one process. Masks are made up and no image is read; the run is stopped half-way"
        " and gone on with, and shards, index, label file and report are written as ever. Then `mal report`."
    )
    columns: ClassVar[tuple[str, ...]] = (
        "boxes",
        "label file, MiB",
        "annotation file read, MiB",
        "label file written, MiB",
        "more, MiB",
        "index, MiB",
        "seconds",
        "report, MiB",
        "seconds",
    )

    def as_markdown(self) -> str:
        """One line of the table."""
        index = 12 * self.num_boxes
        sizes = (self.file_bytes, self.after_reading, self.at_the_end, self.at_the_end - self.after_reading, index)
        figures = [*(f"{size / 2**20:.1f}" for size in sizes), f"{self.seconds:.1f}"]
        figures += [f"{self.report_bytes / 2**20:.1f}", f"{self.report_seconds:.1f}"]
        return f"| {self.num_boxes:,} | {' | '.join(figures)} |"

    def as_json(self) -> dict[str, Any]:
        """Every figure, sizes in bytes."""
        return {
            "boxes": self.num_boxes,
            "after_reading_bytes": self.after_reading,
            "at_the_end_bytes": self.at_the_end,
            "label_file_bytes": self.file_bytes,
            "seconds": self.seconds,
            "report_bytes": self.report_bytes,
            "report_seconds": self.report_seconds,
        }


class StoppedError(Exception):
    """Takes the place of a kill."""


def measure(device: torch.device, *, repeats: int) -> list[ScaleRow]:
    """One row for each number of boxes; a GPU has no part in it, and a peak hardly varies."""
    return [_measured(count) for count in NUM_BOXES] if device.type == "cpu" else []


def _measured(num_boxes: int) -> ScaleRow:
    with tempfile.TemporaryDirectory() as name:
        folder, masks = Path(name), Path(name) / "masks.json"
        write_boxes(folder / "boxes.json", num_boxes)
        write_pictures(folder / "images", num_boxes)
        text, seconds = _run("-m", "benchmarks.labeling_scale", str(num_boxes), name)
        reading, end = map(int, text.split()[-2:])
        text, report_seconds = _run("-c", REPORT, "report", "--ann", str(masks), "--images", str(folder / "images"))
        return ScaleRow(num_boxes, reading, end, masks.stat().st_size, seconds, int(text.split()[-1]), report_seconds)


def _run(*arguments: str) -> tuple[str, float]:
    """What a Python of its own prints, and its processor time in seconds."""
    with tempfile.TemporaryFile("w+") as file:
        process = subprocess.Popen([sys.executable, *arguments], stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"python {' '.join(arguments)} failed")
        file.seek(0)
        return file.read(), usage.ru_utime + usage.ru_stime


def write_pictures(folder: Path, num_boxes: int) -> None:
    """The pictures of the file, a thousand of which are links to one, as file systems allow."""
    folder.mkdir()
    first = folder / "0000000.jpg"
    for number, image in enumerate(_images(num_boxes)):
        path = folder / image["file_name"]
        if number % 1000:
            path.hardlink_to(first)
        else:
            first = path
            Image.new("RGB", (WIDTH, HEIGHT), (number // 1000 % 256, 90, 60)).save(first)


def write_boxes(path: Path, num_boxes: int) -> None:
    """A COCO file, written as it is made."""
    with path.open("wb") as file:
        file.write(b'{"images": [')
        _write_list(file.write, _images(num_boxes))
        file.write(b'], "categories": [{"id": 1, "name": "thing"}], "annotations": [')
        _write_list(file.write, _annotations(num_boxes))
        file.write(b"]}")


def _write_list(write: Callable[[bytes], object], records: Iterator[dict[str, Any]]) -> None:
    for number, record in enumerate(records):
        write((b",\n" if number else b"") + dumps(record))


def _images(num_boxes: int) -> Iterator[dict[str, Any]]:
    for number in range(-(-num_boxes // BOXES_OF_AN_IMAGE)):
        yield {"id": number, "file_name": f"{number:07}.jpg", "width": WIDTH, "height": HEIGHT}


def _annotations(num_boxes: int) -> Iterator[dict[str, Any]]:
    for number in range(num_boxes):
        bbox = [13.5 * number % 400, 7.25 * number % 300, 20 + number % 150, 15 + number % 160]
        yield {"id": number, "image_id": number // BOXES_OF_AN_IMAGE, "category_id": 1, "bbox": bbox}


def made_up_masks() -> list[Rle]:
    """Ragged discs, a few hundred bytes each."""
    y, x = np.mgrid[-40:40, -60:60]
    random = np.random.default_rng(0)
    return [
        rle_from_window(
            (x / 55) ** 2 + (y / 35) ** 2 < random.uniform(0.7, 1, x.shape),
            x0=int(random.integers(WIDTH - 120)),
            y0=int(random.integers(HEIGHT - 80)),
            image_width=WIDTH,
            image_height=HEIGHT,
        )
        for _ in range(MASKS)
    ]


def label_with_made_up_masks(job: LabelJob, work: LabelWork) -> None:
    """An engine without a network, which is stopped half-way in its first attempt."""
    masks = made_up_masks()
    chunks = BoxChunks(work.boxes, job.batch_size)
    todo = chunks.unfinished(work.done)
    with ShardWriter(work.run.new_shard("0000")) as shard:
        for chunk in todo if work.run.attempt > 1 else todo[: len(todo) // 2]:
            rows = chunks.rows(chunk)
            for start in range(rows.start, rows.stop, job.batch_size):
                positions = work.boxes.positions[start : min(start + job.batch_size, rows.stop)].tolist()
                shard.write([BoxResult(position, MaskLabel(masks[position % MASKS])) for position in positions])
    if work.run.attempt == 1:
        raise StoppedError


def main() -> None:
    """Label once and print the peak memory of this process in bytes, after reading and at the end."""
    num_boxes, folder = int(sys.argv[1]), Path(sys.argv[2])
    source = AnnotatedImages(folder / "boxes.json", folder)
    assert len(source.boxes_to_label) == num_boxes
    reading = peak_bytes_of_process()
    job = LabelJob(
        source=source,
        output=folder / "masks.json",
        report=folder / "report.json",
        skipped=folder / "skipped.csv",
        shards=folder / "shards",
        identity=dict,
        batch_size=BATCH_SIZE,
        num_workers=0,
    )
    console.quiet = True
    alone = ProcessGroup(rank=0, world_size=1, device="cpu", autocast_dtype=None)
    try:
        run_job(job, alone, label_with_made_up_masks)
    except StoppedError:
        assert run_job(job, alone, label_with_made_up_masks) == 0
    print(reading, peak_bytes_of_process())


if __name__ == "__main__":
    main()

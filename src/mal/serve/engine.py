"""The engine of the server: one model in one thread, which joins the crops of concurrent requests into batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt

from mal.data.label_dataset import CropBatch, join_crops
from mal.files import sha256
from mal.labeler import MaskAutoLabeler
from mal.masks.rle import Rle
from mal.reading import AS_STORED, Reading
from mal.serve.fetch import StoppedEarly

OUTSIDE = "the box lies outside the image"
NOT_FINITE = "the network's output for this box is not finite"


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model.

    Attributes:
        labeler: the networks with their settings.
        version: the name that answers carry; it changes with the file's content.
        reading: how pictures are decoded for it; the orientation is that of the request.
    """

    labeler: MaskAutoLabeler
    version: str
    reading: Reading = AS_STORED


@dataclass(frozen=True, slots=True)
class FoundMask:
    """The mask of one box, at full image size; without one the reason."""

    rle: Rle | None
    score: float | None = None
    reason: str | None = None


def file_version(path: Path) -> str:
    """The version of a model: the name of its file, and 12 digits of the SHA-256 of its content."""
    return f"mal-{path.stem}-{sha256(path)[:12]}"


@dataclass(frozen=True, slots=True)
class _Job:
    labeler: MaskAutoLabeler
    crops: CropBatch
    answer: Future[list[FoundMask]] = field(default_factory=Future)


class Engine:
    """Runs the model in a thread of its own; close it at the end.

    A request hands in one batch at a time and waits for its masks. So the crops that wait take at most a batch for each
    request that is worked on, and a request with many boxes does not hold up those with few.

    Args:
        model: the model to begin with.
        batch_size: boxes that the network sees at once.
    """

    def __init__(self, model: Model, batch_size: int) -> None:
        self.model = model
        self.batch_size = batch_size
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._put_back: _Job | None = None
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after the jobs that wait."""
        self._jobs.put(None)
        self._thread.join()

    def masks(
        self,
        pixels: npt.NDArray[np.uint8],
        boxes_xyxy: npt.NDArray[np.float64],
        is_wanted: Callable[[], bool] = lambda: True,
        model: Model | None = None,
    ) -> list[FoundMask]:
        """The masks of the boxes of an image; blocks the calling thread.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            boxes_xyxy: (N, 4) in pixels, as `mal.data.array_inputs.checked_boxes` returns them.
            is_wanted: asked before each batch.
            model: None takes the one in use.

        Returns:
            N masks, in the order of the boxes.

        Raises:
            StoppedEarly: they are no longer wanted.
        """
        found = [FoundMask(None, reason=OUTSIDE) for _ in boxes_xyxy]
        labeler = (model or self.model).labeler
        for crops in labeler.crops(pixels, boxes_xyxy, batch_size=self.batch_size):
            if not is_wanted():
                raise StoppedEarly
            job = _Job(labeler, crops)
            self._jobs.put(job)
            for box, mask in zip(crops.boxes, job.answer.result(), strict=True):
                found[box.position] = mask
        return found

    def _work(self) -> None:
        while jobs := self._next_jobs():
            try:
                masks = iter(_label(jobs))
                for job in jobs:
                    job.answer.set_result([next(masks) for _ in job.crops.boxes])
            except Exception as error:  # noqa: BLE001 -- belongs to the requests, and the thread must go on
                for job in jobs:
                    if not job.answer.done():
                        job.answer.set_exception(error)

    def _next_jobs(self) -> list[_Job]:
        """Jobs that fit into one batch of one model, waiting only for the first; none at the end."""
        first = self._put_back or self._jobs.get()
        self._put_back = None
        if first is None:
            return []
        jobs, total = [first], len(first.crops)
        while total < self.batch_size:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None or job.labeler is not first.labeler or total + len(job.crops) > self.batch_size:
                self._return(job)
                break
            jobs.append(job)
            total += len(job.crops)
        return jobs

    def _return(self, job: _Job | None) -> None:
        if job is None:
            self._jobs.put(None)
        else:
            self._put_back = job


def _label(jobs: list[_Job]) -> list[FoundMask]:
    batch = jobs[0].crops if len(jobs) == 1 else join_crops([job.crops for job in jobs])
    return [
        FoundMask(None, reason=NOT_FINITE) if mask is None else FoundMask(mask.rle(), mask.score)
        for mask in jobs[0].labeler.masks(batch)
    ]

"""Where does the time of a training step of the small network go, targets included?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.step_parts import PartRow
from mal.checkpoint.load import load_checkpoint
from mal.coco.boxes import Boxes
from mal.data.targets import TargetSettings
from mal.data.train_dataset import BoxCropDataset, TrainBatch, collate
from mal.load_model import build_networks
from mal.models.ema import update_teacher
from mal.models.inputs import normalize
from mal.runtime.allocator import keep_freed_memory
from mal.starter.files import starter_path
from mal.training.batch_targets import complete_targets

QUESTION = "The parts of a training step by the recipe small-data: 16 crops of 160, in processor time of one thread"
BATCH_SIZE = 16
CROP_SIZE = 160
ELLIPSE_EPOCH, TEACHER_EPOCH = 0, 2
NOT_OF_THE_STEP = "crops and colors without numba"


def measure(device: torch.device, *, repeats: int) -> list[PartRow]:
    """A row for each part, and one for crops without numba; none on a GPU."""
    if device.type != "cpu":
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        with tempfile.TemporaryDirectory() as folder:
            photos = photos_with_boxes(Path(folder), BATCH_SIZE)
            step = _Step(photos.boxes_to_label, photos.img_dir)
            found = [step.run() for _ in range(repeats + 1)][1:]
    finally:
        torch.set_num_threads(threads)
    whole = tuple(sum(value for name, value in seconds.items() if name != NOT_OF_THE_STEP) for seconds in found)
    rows = [PartRow(name, tuple(seconds[name] for seconds in found), whole) for name in found[0]]
    return [*rows, PartRow("whole step", whole, whole, f"{BATCH_SIZE / min(whole):.1f} samples a second at best")]


class _Step:
    """A step that stops after each of its parts and looks at the clock."""

    def __init__(self, boxes: Boxes, img_dir: Path) -> None:
        held = load_checkpoint(starter_path(trainable=True), None)
        self._student, self._teacher = build_networks(held.network_spec(), held)
        self._student.train()
        self._optimizer = torch.optim.AdamW(self._student.parameters(), lr=1e-5)
        self._options: dict[str, Any] = {
            "crop_size": CROP_SIZE,
            "margin_rate": (0.0, 1.2),
            "border": "reflect",
            "seed": 0,
        }
        self._boxes, self._img_dir = boxes, img_dir
        self._seconds: dict[str, float] = {}

    def run(self) -> dict[str, float]:
        """Seconds of each part."""
        self._seconds = {}
        batch = self._timed("crops and colors", lambda: self._batch(None, ELLIPSE_EPOCH))
        with patch("mal.data.crops.fast_module", _nothing), patch("mal.data.augment.fast_module", _nothing):
            self._timed(NOT_OF_THE_STEP, lambda: self._batch(None, ELLIPSE_EPOCH))
        settings = TargetSettings(ellipse_epochs=1.0, ellipse_share=0.0)
        windows = self._batch(settings, TEACHER_EPOCH)
        images = normalize(batch.student_images)
        logits = self._timed("student forward", lambda: self._student(images, batch.box_area, batch.box_mask))
        with torch.no_grad():
            prob = self._timed(
                "teacher forward", lambda: self._teacher(images, batch.box_area, batch.box_mask).sigmoid()
            )
        assert windows.targets is not None
        loaded = windows.targets
        targets = self._timed("targets", lambda: complete_targets(loaded, windows.box_mask, prob, softness=0.0))
        wanted = torch.nn.functional.interpolate(targets.masks, logits.shape[-2:], mode="area")
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        self._timed("backward", loss.backward)
        self._timed("optimizer and teacher's update", self._update)
        return self._seconds

    def _batch(self, targets: TargetSettings | None, epoch: int) -> TrainBatch:
        dataset = BoxCropDataset(self._boxes, self._img_dir, targets=targets, **self._options)
        batch = collate([dataset[epoch, index] for index in range(len(self._boxes))])
        assert isinstance(batch, TrainBatch)
        return batch

    def _update(self) -> None:
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        update_teacher(self._teacher, self._student, 0.98)

    def _timed(self, name: str, function: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = function()
        self._seconds[name] = time.process_time() - start
        return found


def _nothing(name: str) -> None:
    """In the place of `mal.ops.compiled.fast_module`: no compiler."""

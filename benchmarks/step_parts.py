"""Where does the time of a training step go?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

import numpy as np
import torch
from torch.optim import Optimizer

from benchmarks.peak import count_flops
from benchmarks.photos_with_boxes import photos_with_boxes
from benchmarks.training_step import CROP_SIZE, SEED, sized
from mal.coco.boxes import Box
from mal.config.schema import ExperimentSpec
from mal.data.augment import change_colors
from mal.data.crops import crop_box_mask, crop_frame, crop_planes, random_margins
from mal.data.images import read_record_image
from mal.data.train_dataset import TrainBatch, collate
from mal.losses import crf_loss, mil_loss, refined_mask
from mal.models.ema import make_teacher, update_teacher
from mal.models.from_spec import build_mal_network, mean_field_settings
from mal.models.inputs import normalize
from mal.runtime.devices import choose_precision
from mal.training.callbacks import total_grad_norm
from mal.training.module import MalModule, RunSize

QUESTION = "The parts of a training step, one after the other, without the trainer around them"
BATCH = {"cpu": 2, "cuda": 16}
ARCH = {"cpu": "vit-deit-tiny/16", "cuda": "vit-mae-base/16"}
PEAK_FLOPS = 989e12  # of an H100 (SXM) in bfloat16, as its maker gives it without sparsity
PASSES_OF_TRAINING = 4  # in forward passes: the student's, the way back through it (two), the teacher's


@dataclass(frozen=True)
class PartRow:
    """Seconds of one part in each step, and of whole steps."""

    name: str
    seconds: tuple[float, ...]
    whole: tuple[float, ...]
    remark: str = ""

    note: ClassVar[str] = "Medians (ranges); shares step by step."
    columns: ClassVar[tuple[str, ...]] = ("part", "ms", "share of the step", "")

    def as_markdown(self) -> str:
        """One line of the table."""
        middle, low, high = (1000 * value for value in (median(self.seconds), min(self.seconds), max(self.seconds)))
        share = median(part / whole for part, whole in zip(self.seconds, self.whole, strict=True))
        return f"| {self.name} | {middle:.1f} ({low:.1f} to {high:.1f}) | {share:.1%} | {self.remark} |"

    def as_json(self) -> dict[str, Any]:
        """Every single time."""
        return {"name": self.name, "seconds": self.seconds, "whole_seconds": self.whole, "remark": self.remark}


def measure(device: torch.device, *, repeats: int) -> list[PartRow]:
    """A row for each part, in float32 on a CPU and in half precision on a GPU; one for the whole step."""
    step = SteppedApart(device)
    with tempfile.TemporaryDirectory() as folder:
        photos = photos_with_boxes(Path(folder), step.batch_size * (repeats + 1))
        boxes = list(photos.boxes_to_label)
        found = [
            step.run(boxes[number * step.batch_size : (number + 1) * step.batch_size], photos.img_dir, number)
            for number in range(repeats + 1)
        ][1:]
    whole = tuple(sum(seconds.values()) for seconds in found)
    rows = [PartRow(name, tuple(seconds[name] for seconds in found), whole) for name in found[0]]
    return [*rows, PartRow("whole step", whole, whole, step.remark(median(whole)))]


class SteppedApart:
    """A step of training that stops after each of its parts and looks at the clock."""

    def __init__(self, device: torch.device) -> None:
        self.batch_size = BATCH[device.type]
        self._device = device
        self._spec = ExperimentSpec.model_validate({"model": {"arch": ARCH[device.type]}})
        self._student = build_mal_network(self._spec, "patch").to(device).train()
        self._teacher = make_teacher(self._student)
        module = MalModule(self._student, self._teacher, self._spec, RunSize(1, 1))
        optimizers: Any = module.configure_optimizers()
        self._optimizer: Optimizer = optimizers["optimizer"]
        self._autocast = torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
        self._seconds: dict[str, float] = {}

    def run(self, boxes: list[Box], img_dir: Path, number: int) -> dict[str, float]:
        """Seconds of each part of one step on some boxes."""
        self._seconds = {}
        batch = self._read(boxes, img_dir, number).to(self._device)
        self._learn(batch)
        return self._seconds

    def remark(self, seconds: float) -> str:
        """On a GPU: how much of its arithmetic a step uses."""
        if self._device.type != "cuda":
            return f"{ARCH['cpu']}, {self.batch_size} × {CROP_SIZE}², float32"
        images = torch.zeros(self.batch_size, 3, CROP_SIZE, CROP_SIZE, device=self._device)
        flops = count_flops(self._teacher, images, self._areas()) * PASSES_OF_TRAINING
        return f"{choose_precision('gpu')}, {flops / seconds / PEAK_FLOPS:.0%} of {PEAK_FLOPS / 1e12:.0f} TFLOP/s"

    def _areas(self) -> torch.Tensor:
        return torch.tensor([50.0**2, 150.0**2], device=self._device).repeat(self.batch_size // 2)

    def _read(self, boxes: list[Box], img_dir: Path, number: int) -> TrainBatch:
        samples = []
        for place, box in enumerate(boxes):
            rng = np.random.default_rng([SEED, number, place])
            with self._part("read"):
                photo = read_record_image(img_dir, box.image)
            with self._part("crop"):
                frame = crop_frame(box.xyxy, random_margins(rng, self._spec.train.margin_rate))
                crop = crop_planes(photo, frame, CROP_SIZE)
                box_mask = crop_box_mask(box.xyxy, frame, (photo.shape[1], photo.shape[0]), CROP_SIZE)
            with self._part("augment"):
                colored = change_colors(crop, rng)
            sample = TrainBatch(
                student_images=torch.from_numpy(colored)[None],
                teacher_images=torch.from_numpy(crop)[None],
                box_mask=torch.from_numpy(box_mask)[None, None],
                box_area=torch.empty(1),
                positions=torch.tensor([box.position]),
            )
            samples.append(sized(sample, place))
        batch = collate(samples)
        assert isinstance(batch, TrainBatch)
        return batch

    def _learn(self, batch: TrainBatch) -> None:
        with self._part("student forward"), self._autocast:
            images = normalize(batch.student_images)
            logits = self._student(images, batch.box_area)
        with self._part("teacher forward"), torch.no_grad(), self._autocast:
            teacher_prob = self._teacher(normalize(batch.teacher_images), batch.box_area).float().sigmoid()[:, 0]
        with self._part("losses"):
            prob = logits.float().sigmoid()[:, 0]
            small, box_mask = (
                torch.nn.functional.interpolate(each.float(), prob.shape[-2:], mode="bilinear", align_corners=False)
                for each in (images, batch.box_mask)
            )
            mil = mil_loss(prob, box_mask[:, 0]).mean()
        with self._part("mean field"):
            mean_prob = (prob.detach() + teacher_prob) / 2
            refined = refined_mask(small, mean_prob, box_mask[:, 0], mean_field_settings(self._spec))
        with self._part("losses"):
            loss = mil + crf_loss(prob, refined).mean()
        with self._part("backward"):
            loss.backward()
        with self._part("gradient norm"):
            bool(total_grad_norm(list(self._student.parameters())).isfinite())
        with self._part("optimiser"):
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        with self._part("teacher update"):
            update_teacher(self._teacher, self._student, self._spec.model.teacher_momentum)

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        self._seconds[name] = self._seconds.get(name, 0.0) + self._now() - start

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

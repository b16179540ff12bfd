"""What does each part of labeling cost beside the network, in milliseconds of one core for each box?"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.photos_with_boxes import SHARED, photos_with_boxes
from mal.data.label_dataset import ENOUGH_TO_COMPILE, BoxCropIterable, CropBatch
from mal.data.loaders import AnnotatedImages
from mal.labeler import MaskAutoLabeler
from mal.labeling.label_file import write_label_file
from mal.labeling.shards import BoxResult, MaskLabel, Positions, ShardLabels, ShardWriter
from mal.models.torch_networks import TorchNetworks
from mal.starter.files import starter_path

QUESTION = "The parts of labeling by the starter, in processor time of one thread"
BATCH_SIZE = 4  # of `mal label`
PARTS = ("decode", "crop", "to and from the network", "network", "mask", "score", "RLE", "shard", "merge")
NOT_COUNTED = ("decode", "network")
BOXES = 160


@dataclass
class PartClock:
    """Processor time of each part, in seconds."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time that a block takes to a part."""
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which adds what it takes to a part."""

        def called(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return called


@dataclass(frozen=True)
class PartsRow:
    """Milliseconds of each part for each box: of several runs the fastest, part by part."""

    name: str
    boxes_of_a_picture: float
    milliseconds: dict[str, float]

    note: ClassVar[str] = "Milliseconds of processor time for each box, of several runs the fastest, part by part."
    columns: ClassVar[tuple[str, ...]] = ("case", "boxes a picture", *PARTS, "all but decode and network")

    @property
    def counted(self) -> float:
        """Milliseconds of all but decoding and network."""
        return sum(value for name, value in self.milliseconds.items() if name not in NOT_COUNTED)

    def as_markdown(self) -> str:
        """One line of the table."""
        cells = [f"{self.milliseconds[name]:.2f}" for name in PARTS]
        return f"| {self.name} | {self.boxes_of_a_picture:.1f} | {' | '.join(cells)} | **{self.counted:.2f}** |"

    def as_json(self) -> dict[str, Any]:
        """Every part."""
        return {"name": self.name, "boxes_of_a_picture": self.boxes_of_a_picture, "milliseconds": self.milliseconds}


def measure(device: torch.device, *, repeats: int, boxes: int = BOXES) -> list[PartsRow]:
    """A row for each set and way of computing; none on a GPU, where the parts run beside each other."""
    if device.type != "cpu":
        return []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _rows(Path(folder), repeats, boxes)
    finally:
        torch.set_num_threads(threads)


def _rows(folder: Path, repeats: int, boxes: int) -> list[PartsRow]:
    exported, trained = (str(starter_path(trainable=trainable)) for trainable in (False, True))
    plain, crowded, single = photo_sets(folder, boxes)
    cases: list[tuple[str, str, AnnotatedImages | None, dict[str, Any]]] = [
        ("coco-mini, onnxruntime", exported, plain, {}),
        ("coco-mini, PyTorch", trained, plain, {}),
        ("coco-mini, onnxruntime, graph cut", exported, plain, {"refine": "graph_cut"}),
        ("nuclei, onnxruntime", exported, crowded, {}),
        ("one box a picture, onnxruntime", exported, single, {}),
    ]
    rows = [
        _measured(name, MaskAutoLabeler.from_checkpoint(path, device="cpu", **options), photos, repeats)
        for name, path, photos, options in cases
        if photos is not None
    ]
    with patch("mal.data.label_dataset.ENOUGH_TO_COMPILE", 0):
        name = f"coco-mini, onnxruntime, as of {ENOUGH_TO_COMPILE} boxes"
        return [*rows, _measured(name, MaskAutoLabeler.from_checkpoint(exported, device="cpu"), plain, repeats)]


def photo_sets(folder: Path, num_boxes: int) -> tuple[AnnotatedImages, AnnotatedImages | None, AnnotatedImages]:
    """Photos with some boxes each, a crowded set if it is there, and photos with one box each."""
    plain = photos_with_boxes(folder, num_boxes)
    nuclei = SHARED / "data" / "nuclei"
    crowded = None
    if nuclei.is_dir():
        crowded = _kept(
            nuclei / "annotations" / "instances_val.json", nuclei / "images" / "val", folder / "c.json", num_boxes
        )
    per_image: dict[int, int] = {}
    document = json.loads((folder / "some_boxes.json").read_bytes())
    for record in document["annotations"]:
        per_image.setdefault(record["image_id"], record["id"])
    document["annotations"] = [each for each in document["annotations"] if each["id"] in set(per_image.values())]
    (folder / "single.json").write_text(json.dumps(document), encoding="utf-8")
    return plain, crowded, AnnotatedImages(folder / "single.json", plain.img_dir)


def _kept(ann: Path, img_dir: Path, path: Path, num_boxes: int) -> AnnotatedImages:
    document = json.loads(ann.read_bytes())
    document["annotations"] = sorted(document["annotations"], key=lambda record: record["image_id"])[:num_boxes]
    used = {record["image_id"] for record in document["annotations"]}
    document["images"] = [image for image in document["images"] if image["id"] in used]
    path.write_text(json.dumps(document), encoding="utf-8")
    return AnnotatedImages(path, img_dir)


def _measured(name: str, labeler: MaskAutoLabeler, photos: AnnotatedImages, repeats: int) -> PartsRow:
    with labeler.on_one_thread():
        runs = [label_by_parts(labeler, photos) for _ in range(repeats + 1)][1:]  # the first fills caches
    count = len(photos.boxes_to_label)
    fastest = {part: 1000 * min(run[part] for run in runs) / count for part in PARTS}
    pictures = len({box.image.position for box in photos.boxes_to_label})
    return PartsRow(name, count / pictures, fastest)


def label_by_parts(labeler: MaskAutoLabeler, photos: AnnotatedImages) -> dict[str, float]:
    """Label photos in this thread as `mal label` does; seconds of each part."""
    clock = PartClock()
    stream = iter(BoxCropIterable(photos.boxes_to_label, photos.img_dir, labeler.crop, batch_size=BATCH_SIZE))
    with tempfile.TemporaryDirectory() as name, _watched(clock, labeler):
        folder = Path(name)
        with ShardWriter(folder / "shard.jsonl") as shard:
            while (batch := _next(stream, clock)) is not None:
                results = _results(labeler, batch, clock)
                with clock.part("shard"):
                    shard.write(results)
        with clock.part("merge"):
            done = np.zeros(len(photos.coco.annotations), np.bool_)
            done[photos.boxes_to_label.positions] = True
            with ShardLabels(done, [folder / "shard.jsonl"]) as labels:
                kept = Positions(np.zeros_like(done))
                write_label_file(photos.coco, labels, photos.notes, folder / "masks.json", kept=kept, min_score=None)
    return _apart(clock.seconds)


def _next(stream: Iterator[CropBatch], clock: PartClock) -> CropBatch | None:
    with clock.part("crop"):
        return next(stream, None)


def _results(labeler: MaskAutoLabeler, batch: CropBatch, clock: PartClock) -> list[BoxResult]:
    with clock.part("to and from the network"):
        probs = labeler.probabilities(batch)
    with clock.part("mask"):
        masks = list(labeler.pasted(batch, probs))
    with clock.part("RLE"):
        return [
            BoxResult(box.position, MaskLabel(mask.rle(), score=mask.score))
            for box, mask in zip(batch.boxes, masks, strict=True)
            if mask is not None
        ]


@contextmanager
def _watched(clock: PartClock, labeler: MaskAutoLabeler) -> Iterator[None]:
    """Watch what lies within other parts."""
    networks: Any = labeler._networks
    with ExitStack() as stack:
        for module, function, part in (
            ("mal.data.label_dataset", "read_record_image", "decode"),
            ("mal.labeler", "score_mask", "score"),
        ):
            found = getattr(import_module(module), function)
            stack.enter_context(patch(f"{module}.{function}", clock.timed(part, found)))
        if isinstance(networks, TorchNetworks):
            teacher = networks.teacher
            stack.enter_context(patch.object(teacher, "forward", clock.timed("network", teacher.forward)))
        else:
            stack.enter_context(patch.object(networks, "_run", clock.timed("network", networks._run)))
        yield


def _apart(seconds: dict[str, float]) -> dict[str, float]:
    """Seconds of each part without those within it."""
    within = {"crop": "decode", "to and from the network": "network", "mask": "score"}
    return {name: value - seconds.get(within.get(name, ""), 0.0) for name, value in seconds.items()}

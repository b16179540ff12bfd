"""Run a labeler over an annotation file, on one device or several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy

from mal.config.fields import DeviceSection
from mal.config.schema import ExperimentSpec
from mal.console import console, task_progress
from mal.data.box import Boxes
from mal.data.crop_stream import CropBatch
from mal.data.datamodule import AnnotatedImages, crop_loader
from mal.labeler import MaskAutoLabeler
from mal.training.devices import choose_precision, plan_devices

Agreed = TypeVar("Agreed")

# Processes that label wait for the slowest one at the end; whoever started them ends them all when one is lost.
LONGEST_WAIT = timedelta(days=30)

AUTOCAST_DTYPES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that share a task.

    Attributes:
        rank: number of this one.
        world_size: how many there are.
        device: where this one computes.
        autocast_dtype: half precision to compute in; None for float32.
    """

    rank: int
    world_size: int
    device: torch.device
    autocast_dtype: torch.dtype | None

    def agree(self, decide: Callable[[], Agreed]) -> Agreed:
        """What the first process decides, in all processes."""
        values: list[Any] = [None if self.rank else decide()]
        if self.world_size > 1:
            torch.distributed.broadcast_object_list(values, src=0)
        result: Agreed = values[0]
        return result

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank; nothing in all processes but the first."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size if not self.rank else []
        torch.distributed.gather_object(value, values or None)
        return values


def alone() -> Processes:
    """One process, which shares its work with nobody and computes elsewhere, if at all."""
    return Processes(rank=0, world_size=1, device=torch.device("cpu"), autocast_dtype=None)


def alone_on(device: str, *, use_amp: bool) -> Processes:
    """One process that computes on a device, on a GPU in half precision where that is asked for."""
    on_gpu = torch.device(device).type == "cuda"
    precision = choose_precision("gpu") if on_gpu and use_amp else "32-true"
    return Processes(0, 1, torch.device(device), AUTOCAST_DTYPES.get(precision))


def start_processes(spec: ExperimentSpec, task: Literal["evaluate", "inference"]) -> Processes:
    """Start what a task's ``gpu_ids`` and ``num_nodes`` ask for; each process has a whole network.

    On a CPU masks are always computed in float32, so that they are the same on every machine.
    """
    wanted: DeviceSection = getattr(spec, task)
    use_amp = spec.train.use_amp and torch.cuda.is_available()
    plan = plan_devices(gpu_ids=wanted.gpu_ids, num_nodes=wanted.num_nodes, strategy="ddp", use_amp=use_amp, task=task)
    arguments = plan.trainer_arguments()
    if plan.world_size > 1:
        arguments["strategy"] = DDPStrategy(timeout=LONGEST_WAIT)
    fabric = Fabric(**arguments)
    fabric.launch()
    console.print(f"running on {plan.summary}")
    return Processes(fabric.global_rank, fabric.world_size, fabric.device, AUTOCAST_DTYPES.get(plan.precision))


def crop_batches(
    source: AnnotatedImages,
    labeler: MaskAutoLabeler,
    processes: Processes,
    *,
    name: str,
    batch_size: int,
    num_workers: int,
    boxes: Boxes | None = None,
    done: npt.NDArray[np.bool_] | None = None,
) -> Iterator[CropBatch]:
    """All crops of this process's share of the work, with a progress bar.

    Args:
        source: annotation file and images.
        labeler: says how to cut.
        processes: who shares the work.
        name: of the work, for the bar.
        batch_size: boxes that the network sees at once.
        num_workers: processes that read images.
        boxes: what to crop; None takes all boxes of the file.
        done: which of the boxes need no crop, see `mal.data.crop_stream.CropStream`.
    """
    boxes = source.boxes_to_label if boxes is None else boxes
    loader = crop_loader(
        boxes,
        source.img_dir,
        labeler.crop,
        batch_size=batch_size,
        num_workers=num_workers,
        rank=processes.rank,
        world_size=processes.world_size,
        pin_memory=labeler.device.type == "cuda",
        done=done,
    )
    with _progress_of_first(name, len(boxes) if done is None else int((~done).sum()), processes) as advance:
        for batch in loader:
            yield batch
            advance((len(batch) + len(batch.failures)) * processes.world_size)


@contextmanager
def _progress_of_first(name: str, total: int, processes: Processes) -> Iterator[Any]:
    if processes.rank:
        yield lambda count: None
        return
    with task_progress(name, total) as progress:
        yield lambda count: progress.advance(min(count, total - progress.done))

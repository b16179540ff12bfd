"""The process group of a task: ranks, agreement on rank 0's decisions, gathering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mal.config.fields import DeviceSection
from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.errors import UserError
from mal.extras import in_extra, is_installed
from mal.runtime.launch import cpu_processes, this_launch

if TYPE_CHECKING:
    import torch

Agreed = TypeVar("Agreed")

# Labeling ranks wait for the slowest one at the end; the launcher ends them all when one is lost.
NCCL_TIMEOUT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes that share a task.

    Attributes:
        rank: rank of this process.
        world_size: number of ranks.
        device: device of this process: ``cpu``, ``cuda:<index>`` or ``mps``.
        autocast_dtype: half precision to compute in; None for float32.
    """

    rank: int
    world_size: int
    device: str
    autocast_dtype: torch.dtype | None

    def agree(self, decide: Callable[[], Agreed]) -> Agreed:
        """Broadcast rank 0's decision to all ranks."""
        values: list[Any] = [None if self.rank else decide()]
        if self.world_size > 1:
            import torch

            torch.distributed.broadcast_object_list(values, src=0)
        result: Agreed = values[0]
        return result

    def gather(self, value: Any) -> list[Any]:
        """Gather the values of all ranks on rank 0, in order; empty on the others."""
        if self.world_size == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.world_size if not self.rank else []
        torch.distributed.gather_object(value, values or None)
        return values


def single_process() -> ProcessGroup:
    """A single-process group; used when Ray actors or the caller do the computing."""
    return ProcessGroup(rank=0, world_size=1, device="cpu", autocast_dtype=None)


def single_process_on(device: str, *, use_amp: bool) -> ProcessGroup:
    """A single-process group on a device; on a GPU in half precision if requested."""
    if not device.startswith("cuda") or not use_amp:
        return ProcessGroup(0, 1, device, None)
    from mal.runtime.devices import autocast_dtype, choose_precision

    return ProcessGroup(0, 1, device, autocast_dtype(choose_precision("gpu")))


def start_processes(spec: ExperimentSpec, task: Literal["evaluate", "inference"]) -> ProcessGroup:
    """Start the processes of a task's ``gpu_ids`` and ``num_nodes``; each has a whole network.

    On a CPU masks are always computed in float32, so that they are the same on every machine.
    """
    wanted: DeviceSection = getattr(spec, task)
    if not is_installed("lightning"):
        _require_one_process(wanted, task)
        console.print("running on the CPU")
        return single_process()
    import torch
    from lightning.fabric import Fabric
    from lightning.fabric.strategies.ddp import DDPStrategy

    from mal.runtime.devices import autocast_dtype, plan_devices

    use_amp = spec.train.use_amp and torch.cuda.is_available()
    plan = plan_devices(gpu_ids=wanted.gpu_ids, num_nodes=wanted.num_nodes, strategy="ddp", use_amp=use_amp, task=task)
    arguments = plan.trainer_arguments()
    if plan.world_size > 1:
        arguments["strategy"] = DDPStrategy(timeout=NCCL_TIMEOUT)
    fabric = Fabric(**arguments)
    fabric.launch()
    console.print(f"running on {plan.summary}")
    return ProcessGroup(fabric.global_rank, fabric.world_size, str(fabric.device), autocast_dtype(plan.precision))


def _require_one_process(wanted: DeviceSection, task: Literal["evaluate", "inference"]) -> None:
    launch = this_launch()
    launch.check_nodes(wanted.num_nodes, task)
    if cpu_processes(launch) * wanted.num_nodes > 1:
        raise UserError(f"{task}: {in_extra('more than one process', 'lightning')}")

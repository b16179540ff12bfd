"""Strategy `fsdp`: weights, gradients and optimizer state sharded over the processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


class ShardedStrategy(ModelParallelStrategy):
    """Fully sharded data parallelism (FSDP2) with the same checkpoints as any other strategy.

    :meth:`shard` shards networks block by block. Checkpoints hold whole tensors under the usual names, those of the
    optimizer by index among the trained parameters, so that a run can resume under another strategy or world size.
    During validation every rank holds the whole weights: no forward pass then waits for another rank, however many
    batches each has.

    Args:
        world_size: number of ranks on all machines.
    """

    def __init__(self, world_size: int) -> None:
        super().__init__(data_parallel_size=world_size, tensor_parallel_size=1, save_distributed_checkpoint=False)

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Restore weights before the optimizer, as with the other strategies."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """The trainer restores it through :meth:`load_optimizer_state_dict`."""
        return True

    def shard(self, network: nn.Module) -> None:
        """Shard a network with rank 0's weights over all ranks; ``network.backbone`` by blocks."""
        network.to(self.root_device)
        for tensor in (*network.parameters(), *network.buffers()):
            torch.distributed.broadcast(tensor.detach(), src=0)
        mesh = self.device_mesh["data_parallel"]
        for module in (*list_blocks(network.get_submodule("backbone")), network):
            # Reshard the outermost module too: a teacher has no backward pass that would do it.
            fully_shard(module, mesh=mesh, reshard_after_forward=True)

    def on_validation_start(self) -> None:
        """Gather the whole weights."""
        for module in self._sharded_modules():
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()

    def on_validation_end(self) -> None:
        """Reshard the weights."""
        for module in self._sharded_modules():
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: LightningModule | nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        """Step, then broadcast rank 0's buffers (running means of batch norms), as DDP does."""
        output = super().optimizer_step(optimizer, closure, model, **kwargs)
        buffers = [buffer for buffer in self._module.buffers() if buffer.is_floating_point()]
        if buffers:
            joined = torch.cat([buffer.flatten() for buffer in buffers])
            torch.distributed.broadcast(joined, src=0)
            for buffer, values in zip(buffers, joined.split([buffer.numel() for buffer in buffers]), strict=True):
                buffer.copy_(values.view_as(buffer))
        return output

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Whole tensors on the CPU; empty on all ranks but 0."""
        return self._gathered(self._module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The same for an optimizer, in the form of its own ``state_dict``."""
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        saved = optimizer.state_dict()
        state = {index: self._gathered(values) for index, values in saved["state"].items()}
        return {**saved, "state": state} if self.is_global_zero else {}

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Read the file as every strategy does; the base class would load weights from it by itself."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this rank's shard of whole tensors."""
        targets = self._module.state_dict()
        parts = {name: _part(value, targets.get(name)) for name, value in checkpoint["state_dict"].items()}
        self._module.load_state_dict(parts, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """The same for the optimizers."""
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {
                index: {name: _part(value, parameters[index]) for name, value in values.items()}
                for index, values in saved["state"].items()
            }
            optimizer.load_state_dict({**saved, "state": state})

    @property
    def _module(self) -> LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module

    def _sharded_modules(self) -> list[FSDPModule]:
        return [module for module in self._module.modules() if isinstance(module, FSDPModule)]

    def _gathered(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Gather values one after the other, so that other ranks hold only one whole tensor at a time."""
        whole = {}
        for name, value in values.items():
            tensor = value.full_tensor() if isinstance(value, DTensor) else value
            if self.is_global_zero:
                whole[name] = tensor.cpu() if isinstance(tensor, Tensor) else tensor
        return whole


def list_blocks(backbone: nn.Module) -> list[nn.Module]:
    """List the blocks or stages that hold most of a backbone, in order; empty if it has no such list."""
    lists = [module for module in backbone.modules() if isinstance(module, nn.ModuleList | nn.Sequential)]
    return list(max(lists, key=_num_values, default=nn.ModuleList()))


def _num_values(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _part(value: Any, target: Tensor | None) -> Any:
    """This rank's shard of a whole tensor, if ``target`` is sharded; a collective call."""
    if not isinstance(target, DTensor) or not isinstance(value, Tensor) or value.shape != target.shape:
        return value
    return distribute_tensor(value.to(target.device), target.device_mesh, target.placements)

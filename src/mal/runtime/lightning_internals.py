"""Every private or undocumented name of Lightning, torch, timm and TensorBoard that this package depends on.

No other file uses such names (`tests/test_layout.py`), and each has a test that fails by name when a release drops it
(`tests/runtime/test_lightning_internals.py`). The upper bounds in `pyproject.toml` keep out the releases that may.

This file imports nothing of the package, and Lightning only inside functions: the library reads checkpoints and images
through it, and starts without Lightning.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.process import BaseProcess
from subprocess import Popen
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

if TYPE_CHECKING:
    from lightning import Trainer

_EVENT_WRITER_THREAD = "_AsyncWriterThread"


def is_accumulating(trainer: Trainer) -> bool:
    """Whether the batch that just ended only added to the gradients, and no optimizer step followed."""
    return trainer.fit_loop.epoch_loop._should_accumulate()


def is_last_batch(trainer: Trainer) -> bool:
    """Whether the batch that just ended is the last one of its epoch."""
    return trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def batches_done_in_epoch(trainer: Trainer) -> int:
    """Batches of the epoch in progress that this process has trained on; 0 between two epochs."""
    if trainer.fit_loop.epoch_progress.current.ready <= trainer.current_epoch:
        return 0
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready


def was_interrupted(trainer: Trainer) -> bool:
    """Whether Ctrl-C ended ``trainer.fit``, which turns it into a `SystemExit`."""
    return trainer.interrupted


def epochs_and_batches_done(checkpoint: Mapping[str, Any]) -> tuple[int, int]:
    """The position of a training run in the checkpoint that its trainer wrote.

    A checkpoint from within a validation has all batches of its epoch done, but not the epoch itself.

    Returns:
        Epochs that are done, and batches done of the epoch after them.

    Raises:
        KeyError, TypeError: the checkpoint holds no state of a trainer.
    """
    loop = checkpoint["loops"]["fit_loop"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]["current"]
    return epochs["processed"], batches["ready"] if epochs["processed"] < epochs["ready"] else 0


def restart_validation_on_resume(checkpoint: dict[str, Any]) -> None:
    """Change a checkpoint from within a validation, so that a run that resumes repeats the whole validation."""
    progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
    begun = {"ready": 1, "started": 1, "processed": 0, "completed": 0}  # how the trainer marks a started batch
    progress["total"] = begun
    progress["current"] = dict.fromkeys(begun, 0)


def replace_child_observer(observe: Callable[[Sequence[Popen[bytes]]], None]) -> None:
    """Have a function called with the processes that Lightning starts, in place of Lightning's own observer."""
    import lightning.fabric.strategies.launchers.subprocess_script as fabric_launcher
    import lightning.pytorch.strategies.launchers.subprocess_script as trainer_launcher

    fabric_launcher._launch_process_observer = observe  # type: ignore[assignment]
    trainer_launcher._launch_process_observer = observe  # type: ignore[attr-defined, assignment]


def worker_processes(loader: DataLoader) -> list[BaseProcess]:
    """The persistent workers of a loader by number; none before its first epoch, and none without workers."""
    batches: Any = loader._iterator
    return [] if batches is None else batches._workers


def shut_down_workers(loader: DataLoader) -> None:
    """End the persistent workers of a loader; its next epoch starts new ones."""
    batches: Any = loader._iterator
    batches._shutdown_workers()
    loader._iterator = None


def is_event_writer(thread: threading.Thread | None) -> bool:
    """Whether a thread is the one that writes TensorBoard's event files."""
    return type(thread).__name__ == _EVENT_WRITER_THREAD


def cpu_computes_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 (AVX-512 BF16 or AMX); without them it is emulated."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def lerp_all_(starts: list[Tensor], ends: list[Tensor], weight: float) -> None:
    """Move tensors in place to ``(1 - weight) * start + weight * end``, all in one call."""
    torch._foreach_lerp_(starts, ends, weight)


def is_batch_norm(module: nn.Module) -> bool:
    """Whether a module keeps running statistics of batches, in any number of dimensions."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


_COMPILER_UTILS = "torch._dynamo.utils"


class _LateCompilerUtils(ModuleType):
    """Takes the place of `torch._dynamo.utils`, and makes way where the whole compiler is loaded nevertheless."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "torch._dynamo" not in sys.modules:  # who looks through all modules gets nothing
            raise AttributeError(name)
        if sys.modules.get(_COMPILER_UTILS) is self:
            del sys.modules[_COMPILER_UTILS]
        return getattr(import_module(_COMPILER_UTILS), name)

    def is_compile_supported(self, device_type: Any) -> Any:
        """What torchvision imports of it as it loads."""
        return import_module(_COMPILER_UTILS).is_compile_supported(device_type)


def import_timm() -> None:
    """Import timm, and with it torchvision, without the compiler of PyTorch, which they load but do not use.

    It takes longer than all of PyTorch else. torchvision imports a function of it for later, and timm marks functions
    of one model (NaFlexViT) that it should not compile, which is left out: nothing here is compiled.

    Raises:
        ImportError: one of them is missing or broken.
    """
    if "torch._dynamo" in sys.modules:
        import_module("timm")
        return
    late = _LateCompilerUtils(_COMPILER_UTILS)
    sys.modules[_COMPILER_UTILS] = late
    try:
        with patch.object(torch.compiler, "disable", _unmarked):
            import_module("timm")
    finally:
        if sys.modules.get(_COMPILER_UTILS) is late:
            del sys.modules[_COMPILER_UTILS]


def _unmarked(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    return (lambda function: function) if fn is None else fn

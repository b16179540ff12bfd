"""Run the networks of a checkpoint on crops, by PyTorch on a CPU or a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from mal.data.label_dataset import CropBatch
from mal.models.fpn_network import AnyMaskNetwork
from mal.models.inputs import network_inputs
from mal.models.predict import fast_dtype, fast_network, predict_logits, predict_probs
from mal.models.prediction_mode import Array, PendingArray, PredictionMode, Profile


class TorchNetworks:
    """A trained network and its EMA teacher, see `mal.models.prediction_mode.CropNetworks`.

    Args:
        student: the trained network.
        teacher: its teacher.
        profile: ``fast`` computes less for nearly the same masks.
        device: where to run them.
        autocast_dtype: half precision to compute in; None computes in float32.

    Raises:
        UserError: the profile is ``fast`` and the network is no ViT.
    """

    def __init__(
        self,
        student: AnyMaskNetwork,
        teacher: AnyMaskNetwork,
        *,
        profile: Profile,
        device: torch.device | str,
        autocast_dtype: torch.dtype | None,
    ) -> None:
        self._device = torch.device(device)
        if profile == "fast":
            student, teacher = fast_network(student), fast_network(teacher)
            autocast_dtype = autocast_dtype or fast_dtype(self._device)
        self.student = student.to(self._device).eval()
        self.teacher = teacher.to(self._device).eval()
        self._autocast_dtype = autocast_dtype

    @property
    def device(self) -> str:
        """Where they are run."""
        return str(self._device)

    @contextmanager
    def on_one_thread(self) -> Iterator[None]:
        """Run on one thread within the block; see `mal.models.prediction_mode.CropNetworks`."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def start(self, batch: CropBatch, mode: PredictionMode) -> PendingArray:
        """Begin to compute probabilities, see `mal.models.predict.predict_probs`."""
        crops = network_inputs(batch, self._device)
        with torch.autocast(self._device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None):
            probs = predict_probs(
                self.student,
                self.teacher,
                crops.images,
                crops.box_mask,
                crops.box_area,
                mode,
                box_input=crops.box_input,
            )
        return copy_to_cpu_async(probs)

    @torch.inference_mode()
    def logits(self, batch: CropBatch, mode: PredictionMode) -> Array:
        """Mask logits, (B, 1, h, w) float32, h and w four times the backbone's grid."""
        crops = network_inputs(batch, self._device)
        logits = predict_logits(self.student, self.teacher, crops.images, crops.box_area, mode, crops.box_input)
        return logits.cpu().numpy()

    @torch.inference_mode()
    def instance_vectors(self, batch: CropBatch) -> Array:
        """The student's instance vectors, (B, D) float32."""
        return self.student.instance_vectors(network_inputs(batch, self._device).images).float().cpu().numpy()


def best_device() -> str:
    """A GPU if there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def copy_to_cpu_async(tensor: Tensor) -> PendingArray:
    """Start to copy a float32 tensor to the CPU; the returned function waits for the copy."""
    if tensor.device.type != "cuda":
        array: Array = tensor.cpu().numpy()
        return lambda: array
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(tensor.device))

    def wait() -> Array:
        arrived.synchronize()
        return copy.numpy()

    return wait

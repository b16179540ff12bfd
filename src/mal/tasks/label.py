"""`mal label`: masks without a spec, for a COCO file or for photos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.export.onnx_network import ONNX_SUFFIX
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import load_networks, make_labeler
from mal.runtime.process_group import ProcessGroup, single_process_on
from mal.tasks.inference import LabelPlaces, label_file
from mal.tasks.label_photos import label_photos
from mal.tasks.photo import Photo


def run(
    spec: ExperimentSpec,
    *,
    out: Path | None,
    photos: Sequence[Photo] = (),
    device: str = "auto",
    overwrite: bool = False,
    restart: bool = False,
) -> int:
    """Label the COCO file of a spec, or photos.

    Args:
        spec: made from the command line.
        out: COCO file to write; with photos, None writes only the overlays.
        photos: photos to label instead of a COCO file.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:<index>`` or ``mps``.
        overwrite: whether a finished ``out`` may be replaced.
        restart: whether to discard the results of an unfinished run.

    Returns:
        Exit code: 0 if every box that should have a mask got one, else 1.

    Raises:
        UserError: the input does not allow labeling; one line says what to do.
    """
    if photos:
        return label_photos(photos, spec, partial(load_labeler, spec, device), out=out, overwrite=overwrite)
    assert out
    places = LabelPlaces(
        labels=out,
        report=out.with_name(f"{out.stem}_report.json"),
        skipped=out.with_name(f"{out.stem}_skipped.csv"),
        shards=out.with_name(f"{out.stem}_shards"),
        sources=out.with_name(f"{out.stem}_source"),
    )
    return label_file(
        spec,
        places,
        partial(processes_on, device),
        overwrite=overwrite,
        restart=restart,
        exif_option="--exif upright",
        images_option="--images",
    )


def processes_on(device: str, spec: ExperimentSpec) -> ProcessGroup:
    """This process alone, on a device as of `run`; an exported network runs on the CPU.

    Raises:
        UserError: there is no such device.
    """
    exported = Path(str(spec.inference.checkpoint)).suffix == ONNX_SUFFIX
    return single_process_on("cpu" if exported else _device(device), use_amp=spec.train.use_amp)


def load_labeler(spec: ExperimentSpec, device: str) -> tuple[MaskAutoLabeler, ExperimentSpec]:
    """Load the checkpoint of a spec.

    Args:
        spec: made from the command line.
        device: as of `run`.

    Returns:
        The labeler, and the spec completed from the checkpoint.

    Raises:
        UserError: the checkpoint or the device cannot be used.
    """
    assert spec.inference.checkpoint
    held = load_networks(spec.inference.checkpoint, spec, "inference")
    return make_labeler(held, processes_on(device, held.spec)), held.spec


def _device(name: str) -> str:
    import torch  # which an exported network does without

    from mal.models.torch_networks import best_device

    if name == "auto":
        return best_device()
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {name}: no CUDA device here; use --device cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: not available here; use --device cpu")
    return name

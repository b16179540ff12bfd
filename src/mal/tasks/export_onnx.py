"""`mal export onnx`: write and verify an ONNX file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mal.checkpoint.load import load_checkpoint
from mal.config.schema import KEY_VARIABLE, ExperimentSpec, resolve_encryption_key
from mal.console import console
from mal.errors import UserError
from mal.export.check import ExportCheck, compare_labelers
from mal.export.onnx_network import import_onnx_package
from mal.export.onnx_write import LEAST_OPSET, write_onnx
from mal.labeler import MaskAutoLabeler
from mal.load_model import build_networks
from mal.metrics.iou import mask_iou
from mal.models.prediction_mode import Network, PredictionMode

LEAST_AGREEMENT = 0.9  # of masks in int8 with those in float32: below it the calibration has failed


def run(
    checkpoint: Path,
    out: Path,
    *,
    network: Network = "student",
    opset: int = LEAST_OPSET,
    decrypt: bool = False,
    calibration: tuple[Path, Path] | None = None,
) -> int:
    """Export, compare with PyTorch on generated scenes, and print the comparison.

    An ONNX file cannot be encrypted: if the environment has a key, it is written only with ``decrypt``.

    Args:
        checkpoint: to read.
        out: file to write.
        network: which network of the checkpoint.
        opset: version of the ONNX operators.
        decrypt: as above.
        calibration: COCO file of boxes and folder of its images, whose crops give the ranges of int8; None exports in
            float32.

    Returns:
        Exit code 0.

    Raises:
        UserError: the checkpoint cannot be read or exported, the file cannot be written or would hold encrypted content
            unencrypted, or its output differs.
    """
    import_onnx_package("onnxruntime")
    key = resolve_encryption_key()
    if key and not decrypt:
        raise UserError(
            f"{out}: an ONNX file cannot be encrypted, and {KEY_VARIABLE} is set; --decrypt writes the weights in clear"
        )
    loaded = load_checkpoint(checkpoint, key)
    spec = loaded.network_spec()
    student, teacher = build_networks(spec, loaded)
    labeler = MaskAutoLabeler.from_spec(student, teacher, spec)
    labeler.mode = PredictionMode(network=network)
    networks = {"student": [student], "teacher": [teacher], "mixed": [student, teacher]}[network]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".mal-export-") as folder:
            draft = Path(folder) / out.name
            write_onnx(networks, spec, draft, network=network, opset=opset)
            check = _checked(labeler, draft)
            agreement = _quantized(draft, calibration, labeler) if calibration else None
            files = sorted(Path(folder).iterdir())
            sizes = sum(file.stat().st_size for file in files)
            for file in files:
                file.replace(out.with_name(file.name))
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}") from error
    _say(out, spec, network, opset, sizes, check)
    if calibration and agreement is not None:
        console.print(f"int8: ranges from crops of {calibration[0]}; masks agree with float32 with IoU {agreement:.3f}")
    return 0


def _quantized(draft: Path, calibration: tuple[Path, Path], labeler: MaskAutoLabeler) -> float:
    """Put a network in int8 in the place of a draft; the mean IoU of its masks with those of the draft.

    Raises:
        UserError: the network has no box as an input, there are no crops, or the masks are others.
    """
    if not getattr(labeler.student, "takes_box", False):
        raise UserError("--int8: only for networks with the decoder fpn, for which it was measured")
    from mal.export.quantize import calibration_crops, quantize

    batches = calibration_crops(*calibration, labeler.crop)
    exact = MaskAutoLabeler.from_checkpoint(draft, mode=labeler.mode, scored=False)
    small = draft.with_name(f"int8-{draft.name}")
    quantize(draft, small, batches)
    fast = MaskAutoLabeler.from_checkpoint(small, mode=labeler.mode, scored=False)
    pairs = [pair for batch in batches for pair in zip(exact.masks(batch), fast.masks(batch), strict=True)]
    ious = [mask_iou(first.rle(), second.rle()) for first, second in pairs if first and second and first.window.any()]
    agreement = sum(ious) / len(ious) if ious else 0.0
    if agreement < LEAST_AGREEMENT:
        raise UserError(
            f"--int8: masks agree with those in float32 with IoU {agreement:.3f} only; nothing was written, export"
            " without it or give more boxes"
        )
    small.replace(draft)
    return agreement


def _checked(labeler: MaskAutoLabeler, draft: Path) -> ExportCheck:
    check = compare_labelers(labeler, MaskAutoLabeler.from_checkpoint(draft, mode=labeler.mode))
    if not check.is_passed:
        raise UserError(
            f"the exported network computes something else: logits differ by up to {check.logit_difference:.1e}, masks"
            f" agree with IoU {check.mask_iou:.4f} at least; nothing was written, please report this"
        )
    return check


def _say(out: Path, spec: ExperimentSpec, network: Network, opset: int, size: int, check: ExportCheck) -> None:
    side = spec.dataset.crop_size
    console.print(f"exported the {network} network of {spec.model.arch}, crops of {side} x {side}, opset {opset}")
    console.print(
        f"checked on {check.num_boxes} generated boxes: logits differ by {check.logit_difference:.1e} at most,"
        f" masks agree with IoU {check.mask_iou:.4f} or more"
    )
    console.print(f"onnx: {out} ({size / 1e6:.1f} MB)")

"""Export a network as an ONNX file."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mal.checkpoint.saved_spec import spec_to_share
from mal.config.schema import ExperimentSpec
from mal.data.crops import IMAGENET_MEAN, IMAGENET_STD
from mal.errors import UserError, first_line
from mal.export.onnx_network import METADATA_PREFIX, import_onnx_package
from mal.models.fpn_network import AnyMaskNetwork, FpnNetwork
from mal.models.network import FEATURE_SCALES, MaskNetwork, bin_areas
from mal.models.prediction_mode import Network


class ExportGraph(nn.Module):
    """The module that is exported: crops and box areas (or boxes) to mask logits, averaged over the networks.

    :class:`MaskNetwork` picks the rows of each size bin, so that its shapes depend on the values of its input. Here
    each bin is a branch that computes its scale for the whole batch and keeps its own rows, and that is skipped when
    the batch has no box of the bin. A batch of one bin costs what it costs in PyTorch.
    """

    def __init__(self, networks: Sequence[AnyMaskNetwork]) -> None:
        super().__init__()
        self.networks = networks
        self.parts = nn.ModuleList(networks)  # so that their weights are found
        for module in self.modules():
            if hasattr(module, "fused_attn"):
                # The exporter knows fused attention in one layout only; SAM has another.
                setattr(module, "fused_attn", False)  # noqa: B010 -- not an attribute of every module

    def forward(self, images: Tensor, area_or_box: Tensor) -> Tensor:
        """Logits, as of the networks.

        Args:
            images: (B, 3, S, S), normalized.
            area_or_box: box areas (B,) for :class:`MaskNetwork`, boxes (B, 1, S, S) for :class:`FpnNetwork`.
        """
        logits = [_logits(network, images, area_or_box) for network in self.networks]
        return torch.stack(logits).mean(0) if len(logits) > 1 else logits[0]


def _logits(network: AnyMaskNetwork, images: Tensor, area_or_box: Tensor) -> Tensor:
    if isinstance(network, FpnNetwork):
        return network(images, images.new_zeros(len(images)), area_or_box)
    box_area = area_or_box
    if not network.adjust_scale:
        return network(images, box_area)
    features = network.backbone(images)
    vectors = network.roi_head(features)
    size = (4 * features.shape[-2], 4 * features.shape[-1])
    bins = bin_areas(box_area)
    logits = images.new_zeros(images.shape[0], 1, *size)
    for index, scale in enumerate(FEATURE_SCALES):
        logits = _with_bin(network, features, vectors, logits, bins == index, scale)
    return logits


def _with_bin(
    network: MaskNetwork, features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor, scale: float
) -> Tensor:
    size = (logits.shape[-2], logits.shape[-1])

    def at_scale(features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor) -> Tensor:
        own = network.logits_at_scale(features, vectors, scale=scale, size=size)
        return torch.where(is_in_bin[:, None, None, None], own, logits)

    def unchanged(features: Tensor, vectors: Tensor, logits: Tensor, is_in_bin: Tensor) -> Tensor:
        return logits.clone()

    return torch.cond(is_in_bin.any(), at_scale, unchanged, (features, vectors, logits, is_in_bin))


LEAST_OPSET = 18  # the first whose Resize is that of position embeddings (bicubic, antialiased)
_EXAMPLE_AREAS = (400.0, 4000.0, 40000.0)  # one box of each size


def write_onnx(
    networks: Sequence[AnyMaskNetwork], spec: ExperimentSpec, path: Path, *, network: Network, opset: int = LEAST_OPSET
) -> None:
    """Write networks as one ONNX graph; weights of more than 2 GB lie in ``<path>.data`` beside it.

    Inputs of the graph: ``images`` (batch, 3, S, S) float32, normalized by ImageNet's mean and deviation, and
    ``box_area`` (batch,) float32, pixels of the full image; for the decoder fpn in its place ``box`` (batch, 1, S, S)
    float32, 1 inside the box, 0 outside, 2 where it is not known. Output: ``logits`` (batch, 1, h, w) float32. Batch is
    free.

    Args:
        networks: one, or several whose logits are averaged.
        spec: which crops they take, and what else a user of the file should know; becomes the file's metadata.
        path: where to write; its folder exists.
        network: what the networks are, for the metadata.
        opset: version of the ONNX operators.

    Raises:
        UserError: the extra is not installed, or the network cannot be written as such a graph.
    """
    import_onnx_package("onnx")
    import_onnx_package("onnxscript")
    side, count = spec.dataset.crop_size, len(_EXAMPLE_AREAS)
    second = "box" if networks[0].takes_box else "box_area"
    images = torch.zeros(count, 3, side, side)
    example = (images, torch.zeros(count, 1, side, side) if networks[0].takes_box else torch.tensor(_EXAMPLE_AREAS))
    graph = ExportGraph(networks).cpu().eval().requires_grad_(False)
    try:
        with _quiet_exporter():
            program: Any = torch.onnx.export(
                graph,
                example,
                dynamo=True,
                verbose=False,
                input_names=["images", second],
                output_names=["logits"],
                dynamic_shapes=({0: "batch"}, {0: "batch"}),
                opset_version=opset,
            )
    # The exporter has dozens of error types.
    except Exception as error:
        raise UserError(
            f"{spec.model.arch} cannot be written as ONNX with opset {opset} ({_first_cause(error)})"
        ) from error
    stem = networks[0].backbone.stem
    program.model.metadata_props.update(_metadata(spec, stem, network))
    _forget_sources(program.model)
    program.save(str(path))


def _forget_sources(model: Any) -> None:
    """Remove what the exporter notes of each node: stack traces with the folders of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
    for function in model.functions.values():
        for node in function.all_nodes():
            node.metadata_props.clear()


def _metadata(spec: ExperimentSpec, stem: str | None, network: Network) -> Mapping[str, str]:
    """Metadata that a user of the file needs, each value as JSON."""
    facts = {
        "network": network,
        "crop_size": spec.dataset.crop_size,
        "border": spec.dataset.border,
        "test_margin_rate": spec.train.test_margin_rate,
        "mask_thres": spec.train.mask_thres,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "spec": spec_to_share(spec, stem),
    }
    return {f"{METADATA_PREFIX}{name}": json.dumps(value) for name, value in facts.items()}


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's own messages; failures still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_cause(error: BaseException) -> str:
    """First line of the root cause of an exporter error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)

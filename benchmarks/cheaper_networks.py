"""Ways to compute a trained network's masks with less arithmetic, for the study in less_arithmetic.py.

Each takes a network and gives one that is called alike: normalised crops and box areas in, mask logits out.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mal.config.schema import ExperimentSpec
from mal.data.crops import IntBox
from mal.export.onnx_write import write_onnx
from mal.models.backbones.vit import VitBackbone
from mal.models.network import FEATURE_SCALES, MaskNetwork, bin_areas


class OtherScales(nn.Module):
    """The mask head on features of another scale.

    Args:
        network: the trained one.
        scales: of the features, for small, medium and large boxes.
        crop_size: where crops are smaller than this, enlarge their features, so that the head sees as many cells.
    """

    def __init__(
        self, network: MaskNetwork, scales: Sequence[float] = FEATURE_SCALES, crop_size: int | None = None
    ) -> None:
        super().__init__()
        self.network, self.scales, self.crop_size = network, scales, crop_size

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        features = self.network.backbone(images)
        factor = self.crop_size / images.shape[-1] if self.crop_size else 1.0
        return logits_of(self.network, features, box_area, [factor * scale for scale in self.scales])


def logits_of(network: MaskNetwork, features: Tensor, box_area: Tensor, scales: Sequence[float]) -> Tensor:
    """What a network does with a backbone's features."""
    vectors = network.roi_head(features)
    size = (4 * features.shape[-2], 4 * features.shape[-1])
    logits = features.new_empty(len(features), 1, *size)
    for index, scale in enumerate(scales):
        rows = torch.nonzero(bin_areas(box_area) == index).flatten()
        if len(rows):
            part = network.logits_at_scale(features[rows], vectors[rows], scale=scale, size=size)
            logits[rows] = part.to(logits.dtype)
    return logits


def with_backbone(network: MaskNetwork, kind: type[ChangedVit]) -> MaskNetwork:
    """A copy of a network with a changed backbone."""
    changed = copy.deepcopy(network)
    changed.backbone = kind(cast(VitBackbone, changed.backbone))
    return changed


class ChangedVit(nn.Module):
    """A ViT whose blocks are run in another way."""

    def __init__(self, vit: VitBackbone) -> None:
        super().__init__()
        self.vit = vit
        self.embed_dim, self.stride, self.stem = vit.embed_dim, vit.stride, vit.stem

    def forward(self, images: Tensor) -> Tensor:
        vit = self.vit
        tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
        grid = [side // self.stride for side in images.shape[-2:]]
        return self.after_stem(tokens, grid)

    def after_stem(self, tokens: Tensor, grid: list[int]) -> Tensor:
        """Tokens, the first of them the class token, to features (B, C, h, w)."""
        raise NotImplementedError

    def as_map(self, tokens: Tensor, grid: list[int]) -> Tensor:
        return tokens.transpose(1, 2).unflatten(2, grid)

    def as_tokens(self, features: Tensor) -> Tensor:
        return features.flatten(2).transpose(1, 2)


class WithoutLastBlock(ChangedVit):
    def after_stem(self, tokens: Tensor, grid: list[int]) -> Tensor:
        return self.as_map(self.vit.norm(self.vit.blocks[:-1](tokens))[:, 1:], grid)


class WithoutRing(ChangedVit):
    """The outermost tokens, which lie in the crop's margin, are dropped; the map's edge is repeated in their place."""

    def after_stem(self, tokens: Tensor, grid: list[int]) -> Tensor:
        inner = self.as_map(tokens[:, 1:], grid)[..., 1:-1, 1:-1]
        tokens = self.vit.blocks(torch.cat([tokens[:, :1], self.as_tokens(inner)], dim=1))
        features = self.as_map(self.vit.norm(tokens)[:, 1:], list(inner.shape[-2:]))
        return F.pad(features, (1, 1, 1, 1), mode="replicate")


class Pooled(ChangedVit):
    """Blocks after the first quarter see means of 2 x 2 tokens, and what they add is spread bilinearly."""

    def after_stem(self, tokens: Tensor, grid: list[int]) -> Tensor:
        quarter = max(1, len(self.vit.blocks) // 4)
        tokens = self.vit.blocks[:quarter](tokens)
        features = self.as_map(tokens[:, 1:], grid)
        means = F.avg_pool2d(features, 2)
        changed = self.vit.blocks[quarter:](torch.cat([tokens[:, :1], self.as_tokens(means)], dim=1))[:, 1:]
        change = self.as_map(changed, list(means.shape[-2:])) - means
        features = features + F.interpolate(change, size=grid, mode="bilinear", align_corners=False)
        return self.as_map(self.vit.norm(self.as_tokens(features)), grid)


class OnePass(nn.Module):
    """All boxes of a photo from one feature map of the photo, sampled where the cells of their crops would be.

    Args:
        network: the trained one.
        frames: the crops' frames in pixels of the photo.
        photo_size: its width and height.
        cells: of a crop, along each axis.
        flip: average with the logits of the mirrored photo.
    """

    def __init__(
        self, network: MaskNetwork, frames: Sequence[IntBox], photo_size: tuple[int, int], cells: int, *, flip: bool
    ) -> None:
        super().__init__()
        self.network, self.flip = network, flip
        self.places = torch.stack([_cell_centers(frame, *photo_size, cells) for frame in frames])

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        """The photo (1, 3, H, W) and the areas of all boxes (B,) to logits (B, 1, h, w)."""
        logits = self._logits(images, self.places, box_area)
        if not self.flip:
            return logits
        mirrored_places = torch.cat([-self.places[..., :1], self.places[..., 1:]], dim=-1).flip(2)
        return (logits + self._logits(images.flip(-1), mirrored_places, box_area).flip(-1)) / 2

    def _logits(self, images: Tensor, places: Tensor, box_area: Tensor) -> Tensor:
        features = self.network.backbone(images).expand(len(places), -1, -1, -1)
        sampled = F.grid_sample(features, places, padding_mode="border", align_corners=False)
        return logits_of(self.network, sampled, box_area, FEATURE_SCALES)


def _cell_centers(frame: Sequence[int], width: int, height: int, count: int) -> Tensor:
    """(count, count, 2) x and y in -1..1 of the photo."""
    x0, y0, x1, y1 = frame
    steps = (torch.arange(count) + 0.5) / count
    xs, ys = (x0 + steps * (x1 - x0)) / width * 2 - 1, (y0 + steps * (y1 - y0)) / height * 2 - 1
    return torch.stack([xs.expand(count, -1), ys[:, None].expand(-1, count)], dim=-1)


class InBfloat16(nn.Module):
    """A network in bfloat16, channels last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.network(images, box_area).float()


def with_int8_linears(network: MaskNetwork) -> nn.Module:
    """PyTorch's dynamic quantisation of all linear layers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, in favour of a package that is not installed here
        return torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), {nn.Linear}, dtype=torch.qint8)


class InOnnxruntime(nn.Module):
    """A network as an ONNX graph, each size bin on its own as :class:`mal.export.onnx_network.OnnxNetwork` does it.

    Args:
        network: the trained one.
        spec: the spec that it was trained with.
        is_int8: quantise all matrix products dynamically.
    """

    def __init__(self, network: MaskNetwork, spec: ExperimentSpec, *, is_int8: bool) -> None:
        super().__init__()
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            write_onnx([copy.deepcopy(network)], spec, path, network="student")
            if is_int8:
                quantize_dynamic(path, path, op_types_to_quantize=["MatMul", "Gemm"])
            self.session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(self, images: Tensor, box_area: Tensor) -> Tensor:
        inputs = {"images": images.numpy(), "box_area": box_area.numpy()}
        return torch.from_numpy(self.session.run(None, inputs)[0])

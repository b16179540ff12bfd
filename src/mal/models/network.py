"""The mask network: backbone, RoI head (instance vector) and mask head, to mask logits."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mal.models.backbones.registry import Backbone
from mal.size_bins import BIN_ENDS

UPSAMPLE_BEFORE_CONV = 3  # the public layout: enlarge just before the fourth convolution


class RoiHead(nn.Module):
    """Instance vector from the mean of the features (the paper's K head, MAL section 3.2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mlp1 = nn.Linear(in_channels, out_channels)
        self.mlp2 = nn.Linear(out_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to instance vectors (B, D)."""
        return self.mlp2(F.relu(self.mlp1(features.mean((2, 3)))))


class ConvRelu(nn.Module):
    """3 x 3 convolution with bias, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x), inplace=True)


class MaskHead(nn.Module):
    """Convolutions from features to the map that instance vectors are compared with (the V head, MAL section 3.2)."""

    def __init__(
        self, in_channels: int, *, num_convs: int, hidden_channels: int, out_channels: int, scale_ratio: float
    ) -> None:
        super().__init__()
        widths = [in_channels, *[hidden_channels] * (num_convs - 1), out_channels]
        self.convs = nn.ModuleList(ConvRelu(c_in, c_out) for c_in, c_out in pairwise(widths))
        self.scale_ratio = scale_ratio

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, C, h, w) to maps (B, D, h * ratio, w * ratio)."""
        x = features
        for index, conv in enumerate(self.convs):
            if index == UPSAMPLE_BEFORE_CONV:
                x = self._enlarge(x)
            x = conv(x)
        return x if len(self.convs) > UPSAMPLE_BEFORE_CONV else self._enlarge(x)

    def _enlarge(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.scale_ratio, mode="bilinear", align_corners=False)


FEATURE_SCALES = (0.5, 1.0, 2.0)  # of the feature map, for small, medium and large boxes


class MaskNetwork(nn.Module):
    """Backbone, instance head and mask head (MAL, arXiv 2301.03992, section 3.2); the student, and the teacher too.

    Args:
        backbone: images to features.
        num_convs: convolutions of the mask head.
        hidden_channels: width of all but the last of them.
        out_channels: width of the last one and of the instance vector.
        mask_scale_ratio: enlargement inside the mask head.
        mask_scale_ratio_pre: resize of the features before the mask head, on top of the one by box size.
        adjust_scale: resize the features by box size, so that a small box gets a small map.
    """

    takes_box = False

    def __init__(
        self,
        backbone: Backbone,
        *,
        num_convs: int = 4,
        hidden_channels: int = 256,
        out_channels: int = 256,
        mask_scale_ratio: float = 2.0,
        mask_scale_ratio_pre: float = 1.0,
        adjust_scale: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.roi_head = RoiHead(backbone.embed_dim, out_channels)
        self.mask_head = MaskHead(
            backbone.embed_dim,
            num_convs=num_convs,
            hidden_channels=hidden_channels,
            out_channels=out_channels,
            scale_ratio=mask_scale_ratio,
        )
        self.mask_scale_ratio_pre = mask_scale_ratio_pre
        self.adjust_scale = adjust_scale

    def forward(self, images: Tensor, box_area: Tensor, box: Tensor | None = None) -> Tensor:
        """Mask logits of each crop's object.

        Args:
            images: (B, 3, H, W) float, crops around boxes, normalized by ImageNet's mean and deviation.
            box_area: (B,) float, area of each box in pixels of the full image.
            box: not used; see `mal.models.fpn_network.FpnNetwork`.

        Returns:
            (B, 1, 4h, 4w) float logits, h x w the backbone's grid; (B, 1, 8h, 8w) without scale adjustment.
        """
        features = self.backbone(images)
        vectors = self.roi_head(features)
        height, width = features.shape[-2:]
        if not self.adjust_scale:
            return self.logits_at_scale(features, vectors, scale=1.0, size=(8 * height, 8 * width))

        bins = bin_areas(box_area)
        rows_of_bin = [torch.nonzero(bins == index).flatten() for index in range(len(FEATURE_SCALES))]
        parts = [
            self.logits_at_scale(features[rows], vectors[rows], scale=scale, size=(4 * height, 4 * width))
            for rows, scale in zip(rows_of_bin, FEATURE_SCALES, strict=True)
            if len(rows)
        ]
        return torch.cat(parts)[torch.cat(rows_of_bin).argsort()]

    def instance_vectors(self, images: Tensor) -> Tensor:
        """Instance vectors (B, D) of crops as for :meth:`forward`."""
        return self.roi_head(self.backbone(images))

    def logits_at_scale(self, features: Tensor, vectors: Tensor, *, scale: float, size: tuple[int, int]) -> Tensor:
        """Mask logits with the features resized by ``scale`` first.

        Args:
            features: (B, C, h, w) of the backbone.
            vectors: (B, D) instance vectors.
            scale: one of :data:`FEATURE_SCALES`.
            size: height and width of the result.

        Returns:
            (B, 1, *size) logits.
        """
        scale *= self.mask_scale_ratio_pre
        if scale != 1:
            resized = [max(1, int(side * scale)) for side in features.shape[-2:]]
            features = F.interpolate(features, size=resized, mode="bilinear", align_corners=False)
        maps = self.mask_head(features)
        logits = torch.einsum("bd,bdhw->bhw", vectors, maps)[:, None]
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def bin_areas(box_area: Tensor) -> Tensor:
    """Size bin of each box: 0 small (up to 32 x 32 pixels), 1 medium (up to 96 x 96), 2 large.

    Args:
        box_area: (B,) float, pixels of the full image.

    Returns:
        (B,) int64.
    """
    return torch.bucketize(box_area.float(), box_area.new_tensor(BIN_ENDS, dtype=torch.float32))

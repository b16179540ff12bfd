"""How FAN turns pixels into the first tokens, with a stride of 16 pixels."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HYBRID_WIDTHS = (128, 256)


class FanConvStem(nn.Module):
    """Four stride-2 convolutions with batch norm, GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in pairwise([3, width // 8, width // 4, width // 2, width]):
            convolution = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)
            layers += [nn.Sequential(convolution, nn.BatchNorm2d(c_out)), nn.GELU()]
        self.proj = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps (B, C, H/16, W/16)."""
        return self.proj(images)


class FanHybridStem(nn.Module):
    """The first two stages of a ConvNeXt, and one more convolution of stride 2."""

    def __init__(self, width: int, depths: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = ConvNextStages(depths)
        self.proj = nn.Conv2d(HYBRID_WIDTHS[-1], width, 2, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps (B, C, H/16, W/16)."""
        return self.proj(self.backbone(images))


class ConvNextStages(nn.Module):
    """Two stages of a ConvNeXt (CVPR 2022, arXiv 2201.03545), stride 8."""

    def __init__(self, depths: tuple[int, int]) -> None:
        super().__init__()
        first, second = HYBRID_WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(3, first, 4, stride=4), ChannelNorm(first, unbiased=False))
        downsample = nn.Sequential(ChannelNorm(first, unbiased=True), nn.Conv2d(first, second, 2, stride=2))
        self.stages = nn.Sequential(
            ConvNextStage(first, depths[0], nn.Identity()), ConvNextStage(second, depths[1], downsample)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps (B, 256, H/8, W/8)."""
        return self.stages(self.stem(images))


class ConvNextStage(nn.Module):
    """A change of resolution, then blocks."""

    def __init__(self, width: int, depth: int, downsample: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*[ConvNextBlock(width) for _ in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, c, h, w) to maps of the stage's width and resolution."""
        return self.blocks(self.downsample(x))


class ConvNextBlock(nn.Module):
    """Depthwise 7 x 7 convolution and an MLP on every position, added to the input with a learned scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = ChannelNorm(width, unbiased=True)
        self.mlp = PointwiseMlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C, h, w)."""
        return torch.addcmul(x, self.gamma[:, None, None], self.mlp(self.norm(self.conv_dw(x))))


class PointwiseMlp(nn.Module):
    """An MLP on every position of a map; its weights have the shape of 1 x 1 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, 4 * width, 1)
        self.fc2 = nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C, h, w)."""
        # Measured on a CPU: as matrix products about twice as fast as torch's 1 x 1 convolutions of this layout.
        x = x.permute(0, 2, 3, 1)
        x = F.gelu(F.linear(x, self.fc1.weight.flatten(1), self.fc1.bias))
        return F.linear(x, self.fc2.weight.flatten(1), self.fc2.bias).permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of a map (B, C, h, w).

    Args:
        channels: C.
        unbiased: divide by the variance with C - 1 in its denominator, in place of C. Released FAN weights come from
            code that did so in all of its hybrid stem but the first norm; features would be off by 1e-2 otherwise.
    """

    def __init__(self, channels: int, *, unbiased: bool) -> None:
        super().__init__(channels, eps=1e-6)
        self._variance_ratio = 1 - 1 / channels if unbiased else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C, h, w), in the channels-last layout."""
        # With r = (C - 1) / C and v the biased variance: 1 / sqrt(v / r + eps) = sqrt(r) / sqrt(v + r * eps).
        ratio = self._variance_ratio
        weight, eps = self.weight * math.sqrt(ratio), self.eps * ratio
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, weight, self.bias, eps)
        return normed.permute(0, 3, 1, 2)

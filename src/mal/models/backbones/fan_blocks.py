"""Stems and blocks of fully attentional networks (FAN, ICML 2022, arXiv 2204.12451)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from timm.layers.drop import DropPath
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


MLP_RATIO = 4
NORM_EPS = 1e-6


class FanBlock(nn.Module):
    """Attention over the tokens, then attention over the channels; each behind a norm and scaled per channel."""

    def __init__(self, width: int, num_heads: int, drop_path: float) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.ones(width))
        self.gamma2 = nn.Parameter(torch.ones(width))
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = TokenMixing(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = ChannelProcessing(width, num_heads)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, h * w, C) of a grid of (h, w) to tokens of the same shape."""
        x = torch.addcmul(x, self.gamma1, self.drop_path(self.attn(self.norm1(x))))
        return torch.addcmul(x, self.gamma2, self.drop_path(self.mlp(self.norm2(x), grid)))


class TokenMixing(nn.Module):
    """Multi-head self-attention, with the queries projected apart from keys and values."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) to (B, N, C)."""
        parts = [self.q(x), *self.kv(x).chunk(2, dim=-1)]
        query, key, value = (part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class ChannelProcessing(nn.Module):
    """Channel attention: weights each channel of a convolutional MLP's output (FAN, section 3.2)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.mlp_v = ConvMlp(width)
        self.norm_v = nn.LayerNorm(width)
        self.q = nn.Linear(width, width)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, h * w, C) of a grid of (h, w) to tokens of the same shape."""
        return self.norm_v(self.mlp_v(x, grid)) * self._channel_weights(x)

    def _channel_weights(self, x: Tensor) -> Tensor:
        """(B, 1, C): agreement of each channel's query with the average over its head."""
        heads = (self.num_heads, -1)
        query = self.q(x).softmax(dim=1).unflatten(-1, heads)
        key = x.softmax(dim=1).unflatten(-1, heads).mean(-1, keepdim=True)
        agreement = (query * key).sum(1)
        return (agreement.sigmoid() * self.temperature[..., 0]).flatten(1).unsqueeze(1)


class ConvMlp(nn.Module):
    """An MLP whose only activation sits between two depthwise convolutions on the grid."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = MLP_RATIO * width
        self.gamma = nn.Parameter(torch.ones(hidden))
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = DepthwiseConvs(hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, h * w, C) of a grid of (h, w) to tokens of the same shape."""
        x = self.fc1(x)
        # Tokens are a map in the channels-last layout already: both changes of shape are views.
        local = self.dwconv(x.transpose(1, 2).unflatten(2, grid)).flatten(2).transpose(1, 2)
        return self.fc2(torch.addcmul(x, self.gamma, local))


class DepthwiseConvs(nn.Module):
    """3 x 3 depthwise convolution, GELU, batch norm, and another such convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.bn = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C, h, w)."""
        return self.conv2(self.bn(F.gelu(self.conv1(x))))


class ClassAttentionBlock(nn.Module):
    """A class-attention block, reduced to its effect on the patch tokens.

    The class token reads from the patch tokens and does not change them, and a feature map does not use it. So its
    attention, MLP and scale exist only to match the public weights; they are neither computed nor trained.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.ones(width))
        self.gamma2 = nn.Parameter(torch.ones(width), requires_grad=False)
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("q", "k", "v", "proj")})
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, MLP_RATIO * width), "fc2": nn.Linear(MLP_RATIO * width, width)}
        )
        self.attn.requires_grad_(False)
        self.mlp.requires_grad_(False)

    def forward(self, patches: Tensor) -> Tensor:
        """Patch tokens (B, N, C) to (B, N, C)."""
        patches = self.norm2(torch.addcmul(patches, self.gamma1, self.norm1(patches)))
        return 2 * patches  # the residual adds the normalized tokens to themselves

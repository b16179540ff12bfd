"""The blocks of a fully attentional network (FAN, ICML 2022, arXiv 2204.12451)."""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

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
    """Weighs every channel of a convolutional MLP's result by an attention over the channels (FAN, section 3.2)."""

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
        """(B, 1, C): how well where a channel's query looks agrees with where its head looks on average."""
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
    """What a class-attention block does to the patch tokens.

    The class token collects from the patch tokens and gives nothing back, and a feature map has no use for it. So its
    attention, its MLP and its scale are kept for the sake of the public layout, and neither computed nor trained.
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
        return 2 * patches  # the residual adds the normalised tokens to themselves

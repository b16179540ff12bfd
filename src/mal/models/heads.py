"""The two heads: what the object is like (a vector), and where it is (a map that the vector is compared with)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

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

"""Token merging: a trained ViT whose later blocks process a quarter of the tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mal.models.backbones.vit import Stem, VitBackbone, resize_to_multiple


class MergingVit(nn.Module):
    """A ViT that merges similar tokens after its first blocks; it has the same weights and the same feature map.

    One cell in four stays, every second of every second row, and each other token joins the most similar of those that
    stay, wherever it lies. The remaining blocks process the means, and their update of a mean is added to every token
    that joined it, so that the feature map keeps the detail of the first blocks. After ToMe (arXiv 2210.09461), which
    merges a few tokens in every block and never parts them.

    Args:
        vit: the trained backbone.
        full_blocks: blocks that see all tokens.
    """

    def __init__(self, vit: VitBackbone, full_blocks: int) -> None:
        super().__init__()
        self.vit = vit
        self.full_blocks = full_blocks
        self.embed_dim = vit.embed_dim
        self.stride = vit.stride

    @property
    def stem(self) -> Stem:
        """The stem of the wrapped backbone."""
        return self.vit.stem

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to features (B, C, h, w), as :meth:`VitBackbone.forward`."""
        vit = self.vit
        images = resize_to_multiple(images, self.stride)
        height, width = (side // self.stride for side in images.shape[-2:])
        tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
        tokens = vit.blocks[: self.full_blocks](tokens)
        prefix, cells = tokens.tensor_split([vit.num_prefix_tokens], dim=1)

        stay, join = _every_fourth(height, width, images.device)
        partner = _most_similar(cells[:, join], cells[:, stay])
        means = _means(cells[:, join], cells[:, stay], partner)
        changed = vit.blocks[self.full_blocks :](torch.cat([prefix, means], dim=1))[:, vit.num_prefix_tokens :]
        change = changed - means

        features = torch.empty_like(cells)
        features[:, stay] = cells[:, stay] + change
        features[:, join] = cells[:, join] + change.gather(1, partner)
        return vit.norm(features).transpose(1, 2).unflatten(2, (height, width))


def _every_fourth(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Indices of the cells that stay, among them always the first, and of the cells that join them."""
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    stays = ((rows[:, None] % 2 == 0) & (columns % 2 == 0)).flatten()
    return torch.nonzero(stays).flatten(), torch.nonzero(~stays).flatten()


def _most_similar(tokens: Tensor, candidates: Tensor) -> Tensor:
    """For each of (B, N, C) the index of the candidate with the least angle, (B, N, C) int64, the same along C."""
    similarity = F.normalize(tokens, dim=-1) @ F.normalize(candidates, dim=-1).transpose(1, 2)
    return similarity.argmax(-1, keepdim=True).expand(-1, -1, tokens.shape[-1])


def _means(tokens: Tensor, candidates: Tensor, partner: Tensor) -> Tensor:
    """(B, M, C): each candidate averaged with the tokens that join it."""
    sums = candidates.scatter_add(1, partner, tokens)
    ones = torch.ones_like(candidates[..., :1])
    return sums / ones.scatter_add(1, partner[..., :1], torch.ones_like(tokens[..., :1]))

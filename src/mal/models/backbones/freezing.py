"""Parts of a backbone that stay as they are while the rest learns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mal.errors import UserError


class FreezableBackbone(nn.Module):
    """A backbone in stages, some of which may be kept from training; comes before other base classes.

    Attributes:
        patch_embed: stage 0, images to tokens.
        blocks: stages 1..N.
    """

    patch_embed: Any
    blocks: Any

    _frozen: tuple[nn.Module, ...] = ()

    def freeze(self, stages: Iterable[int]) -> None:
        """Stop training some stages: no gradient, and eval mode for good.

        Args:
            stages: 0 for the patch embedding, 1..N for the blocks; -1 stands for none.

        Raises:
            UserError: there is no such stage.
        """
        all_stages = [self.patch_embed, *self.blocks]
        for stage in stages:
            if stage >= len(all_stages):
                raise UserError(f"model.frozen_stages: there is no stage {stage}; the last block is {len(self.blocks)}")
            if stage >= 0:
                self._frozen += (all_stages[stage].requires_grad_(False).eval(),)

    def train(self, mode: bool = True) -> FreezableBackbone:
        """Switch to training mode, the frozen stages left out."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

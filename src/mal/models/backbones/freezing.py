"""Frozen stages and frozen batch normalization of a backbone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from mal.errors import UserError
from mal.runtime.lightning_internals import is_batch_norm


class FreezableBackbone(nn.Module):
    """A backbone with stages that can be frozen; must come first among base classes.

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
        wanted = [stage for stage in stages if stage >= 0]
        all_stages = self._all_stages() if wanted else []
        for stage in wanted:
            if stage >= len(all_stages):
                last = len(all_stages) - 1
                raise UserError(f"model.frozen_stages: there is no stage {stage}; the last block is {last}")
            self._frozen += (all_stages[stage].requires_grad_(False).eval(),)

    def freeze_batch_norm(self) -> None:
        """Keep the running statistics of batch normalization, and compute with them in training too."""
        self._frozen += tuple(module.eval() for module in self.modules() if is_batch_norm(module))

    def train(self, mode: bool = True) -> FreezableBackbone:
        """Switch to training mode, frozen parts left out."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def _all_stages(self) -> list[nn.Module]:
        return [self.patch_embed, *self.blocks]

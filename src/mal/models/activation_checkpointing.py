"""Activation checkpointing: less memory in training; blocks are computed twice."""

from __future__ import annotations

from typing import Any

from mal.errors import UserError
from mal.runtime.lightning_internals import is_batch_norm


def checkpoint_activations(backbone: Any) -> None:
    """Recompute each block's activations in the backward pass (Chen et al., arXiv 1604.06174); same results.

    Args:
        backbone: a module that `mal.models.backbones.registry.build_backbone` has made.

    Raises:
        UserError: the backbone has batch normalization, which would take every batch into its statistics twice, or timm
            does not offer this for it.
    """
    if any(map(is_batch_norm, backbone.modules())):
        raise UserError(
            "model.activation_checkpoint: this backbone has batch normalisation, whose statistics would take in every"
            " batch twice; leave it at false"
        )
    model = next(module for module in backbone.modules() if hasattr(module, "set_grad_checkpointing"))
    try:
        model.set_grad_checkpointing()
    except AssertionError as error:
        raise UserError(
            "model.activation_checkpoint: timm does not offer it for this backbone; leave it at false"
        ) from error

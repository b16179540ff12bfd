from __future__ import annotations

import pytest
import torch

from mal.models.backbones.merging_vit import MergingVit
from tests.small_networks import small_backbone


def both(images: torch.Tensor, *, full_blocks: int, stem: str = "patch") -> tuple[torch.Tensor, torch.Tensor]:
    """Features of a ViT of two blocks, and of the same one that merges its tokens."""
    vit = small_backbone(num_blocks=2, stem=stem).eval()
    with torch.no_grad():
        return vit(images), MergingVit(vit, full_blocks)(images)


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("side", [5, 16, 48, 64, 70])
def test_the_map_has_the_size_that_the_whole_vit_gives(stem, side):
    whole, merged = both(torch.rand(2, 3, side, side), full_blocks=1, stem=stem)
    assert merged.shape == whole.shape
    assert merged.isfinite().all()


def test_without_a_block_after_the_merging_nothing_changes():
    whole, merged = both(torch.rand(2, 3, 64, 48), full_blocks=2)
    assert torch.equal(merged, whole)


def test_where_nothing_is_merged_nothing_changes():
    """A single cell has nobody to join it."""
    whole, merged = both(torch.rand(2, 3, 16, 16), full_blocks=1)
    torch.testing.assert_close(merged, whole)


def test_later_blocks_see_a_quarter_of_the_tokens():
    vit = small_backbone(num_blocks=2).eval()
    seen = []
    for block in vit.blocks:
        block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    with torch.no_grad():
        MergingVit(vit, full_blocks=1)(torch.rand(1, 3, 128, 128))
    assert seen == [1 + 64, 1 + 16]


def test_the_crops_of_a_batch_do_not_mix():
    images = torch.rand(3, 3, 64, 64)
    vit = MergingVit(small_backbone(num_blocks=2).eval(), full_blocks=1)
    with torch.no_grad():
        together, alone = vit(images), torch.cat([vit(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)

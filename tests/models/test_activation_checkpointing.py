from __future__ import annotations

import pytest
import torch

from mal.errors import UserError
from mal.models.activation_checkpointing import checkpoint_activations
from mal.models.backbones.registry import build_backbone
from mal.models.ema import make_teacher
from mal.training.module import MalModule, RunSize
from tests.small_networks import small_fpn_network, small_network, small_spec

ARCHS = ["vit-deit-tiny/16", "timm/vit_tiny_patch16_224"]


def trained_once(arch: str, recomputes: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Gradients of a backbone with stochastic depth, and the bytes that its forward pass kept for them."""
    torch.manual_seed(0)
    backbone = build_backbone(arch, num_blocks=3, drop_path=0.5).train()
    if recomputes:
        checkpoint_activations(backbone)
    kept = 0

    def keep(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = backbone(torch.randn(2, 3, 64, 64))
    features.square().mean().backward()
    return {name: each.grad for name, each in backbone.named_parameters() if each.grad is not None}, kept


@pytest.mark.parametrize("arch", ARCHS)
def test_gradients_are_the_very_same_and_less_is_kept_for_them(arch):
    (plain, kept), (ours, kept_by_ours) = (trained_once(arch, recomputes) for recomputes in (False, True))
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) for name in plain)
    assert kept_by_ours < kept / 2


def test_a_pyramid_is_recomputed_by_stages_with_the_very_same_gradients():
    gradients = []
    for recomputes in (False, True):
        network = small_fpn_network(arch="timm/test_convnext").train()
        if recomputes:
            checkpoint_activations(network.backbone)
        torch.manual_seed(1)
        network(torch.randn(2, 3, 64, 64), torch.ones(2)).square().mean().backward()
        gradients.append({name: each.grad for name, each in network.named_parameters()})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_a_pyramid_with_batch_normalisation_is_refused_too():
    with pytest.raises(UserError, match=r"model\.activation_checkpoint: .*batch normalisation"):
        checkpoint_activations(small_fpn_network().backbone)


@pytest.mark.parametrize("arch", ["fan_tiny_12_p16_224", "timm/resnet18"])
def test_a_backbone_with_batch_normalisation_is_refused(arch):
    with pytest.raises(UserError, match=r"model\.activation_checkpoint: .*batch normalisation"):
        checkpoint_activations(build_backbone(arch))


@pytest.mark.parametrize("wanted", [False, True])
def test_the_spec_asks_for_it_and_the_teacher_has_no_use_for_it(wanted):
    student = small_network()
    teacher = make_teacher(student)
    MalModule(student, teacher, small_spec(model={"activation_checkpoint": wanted}), RunSize(1, 1))
    assert student.backbone.grad_checkpointing == wanted
    assert not teacher.backbone.grad_checkpointing

"""Released backbones, in the layouts that their authors publish, into a network."""

from __future__ import annotations

import argparse

import pytest
import torch
from safetensors.torch import save_file

from mal.checkpoint.load import load_checkpoint
from mal.checkpoint.matching import load_matching
from mal.errors import UserError
from tests.small_networks import small_backbone, small_network


@pytest.fixture
def released() -> dict[str, torch.Tensor]:
    """A ViT's tensors without a classifier, all ones."""
    tensors = small_backbone().state_dict()
    return {name: torch.ones_like(value) for name, value in tensors.items() if not name.startswith("head.")}


def load(content, folder, network=None):
    torch.save(content, folder / "released.pth")
    checkpoint = load_checkpoint(folder / "released.pth")
    network = network or small_network()
    return network, load_matching(network, checkpoint.student, checkpoint.path)


def assert_all_of_the_backbone(network, report):
    assert {name.split(".")[0] for name in report.missing} == {"roi_head", "mask_head"}
    assert not report.unexpected
    for name, value in network.backbone.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(value, torch.ones_like(value))


def test_mae_with_its_decoder(released, tmp_path):
    decoder = {"mask_token": torch.zeros(1, 1, 512), "decoder_blocks.0.norm1.weight": torch.zeros(512)}
    content = {"model": released | decoder, "args": argparse.Namespace(model="mae_vit_base_patch16"), "epoch": 799}
    assert_all_of_the_backbone(*load(content, tmp_path))


def test_mae_fine_tuned_with_its_norm_behind_the_mean(released, tmp_path):
    tuned = {
        name.replace("norm.", "fc_norm.") if name.startswith("norm.") else name: released[name] for name in released
    }
    assert "fc_norm.weight" in tuned
    assert_all_of_the_backbone(*load({"model": tuned}, tmp_path))


def test_deit_with_its_classifier(released, tmp_path):
    classifier = {"head.weight": torch.ones(1000, 192), "head.bias": torch.ones(1000)}
    assert_all_of_the_backbone(*load({"model": released | classifier}, tmp_path))


def test_deit_distilled_has_a_token_too_many(released, tmp_path):
    content = released | {"dist_token": torch.zeros(1, 1, 192), "head_dist.weight": torch.zeros(1000, 192)}
    content["pos_embed"] = torch.ones(1, 2 + 14 * 14, 192)
    content["pos_embed"][:, 1] = 7.0  # the distillation token's
    network, report = load({"model": content}, tmp_path)
    assert_all_of_the_backbone(network, report)
    assert report.resized == ["backbone.pos_embed"]


def test_dino_with_student_teacher_and_prefixes(released, tmp_path):
    head = {"head.mlp.0.weight": torch.zeros(2, 192), "head.last_layer.weight_g": torch.zeros(9, 1)}
    teacher = {f"backbone.{name}": value for name, value in released.items()} | head
    student = {f"module.{name}": torch.zeros_like(value) for name, value in teacher.items()}
    content = {"student": student, "teacher": teacher, "epoch": 100, "args": argparse.Namespace(arch="vit_small")}
    assert_all_of_the_backbone(*load(content, tmp_path))


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.", "module.backbone.", "model.module."])
def test_any_wrapping_of_names(released, tmp_path, prefix):
    tensors = {prefix + name: value for name, value in released.items()}
    assert_all_of_the_backbone(*load({"state_dict": tensors}, tmp_path))


def test_timm_as_safetensors(released, tmp_path):
    save_file(released | {"head.weight": torch.ones(21843, 192)}, tmp_path / "model.safetensors")
    checkpoint, network = load_checkpoint(tmp_path / "model.safetensors"), small_network()
    assert_all_of_the_backbone(network, load_matching(network, checkpoint.student, checkpoint.path))


def test_a_release_comes_into_the_conv_stem_too_but_for_the_stem(released, tmp_path):
    network, report = load({"model": released}, tmp_path, small_network("conv"))
    assert {name for name in report.missing if name.startswith("backbone.")} == {
        name for name in network.state_dict() if name.startswith("backbone.patch_embed.")
    }
    assert report.unexpected == ["backbone.patch_embed.proj.bias", "backbone.patch_embed.proj.weight"]


def test_a_release_for_larger_images_is_resized_to_our_grid(released, tmp_path):
    network, report = load({"model": released | {"pos_embed": torch.ones(1, 1 + 24 * 24, 192)}}, tmp_path)
    assert_all_of_the_backbone(network, report)
    assert str(report).endswith("1 resized")


def test_a_position_embedding_of_another_width_does_not_fit(released, tmp_path):
    _, report = load({"model": released | {"pos_embed": torch.ones(1, 197, 768)}}, tmp_path)
    assert "backbone.pos_embed" in report.unexpected


def test_a_release_of_another_network_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"released\.pth: none of its weights fits this backbone"):
        load({"state_dict": {"layer1.0.conv1.weight": torch.ones(64, 64, 3, 3)}}, tmp_path)

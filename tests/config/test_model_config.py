from __future__ import annotations

import pytest
from pydantic import ValidationError

from mal.config.model_config import ModelConfig


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_a_stem_given_for_a_fan_is_refused_with_the_reason(stem):
    with pytest.raises(ValidationError, match="fan_tiny_8_p4_hybrid has one stem, so leave this at auto"):
        ModelConfig(arch="fan_tiny_8_p4_hybrid", stem=stem)


def test_a_fan_leaves_the_stem_at_auto():
    assert ModelConfig(arch="fan_tiny_8_p4_hybrid").stem == "auto"


@pytest.mark.parametrize("stem", ["auto", "patch", "conv"])
def test_a_vit_takes_either_stem(stem):
    assert ModelConfig(stem=stem).stem == stem


@pytest.mark.parametrize("arch", ["timm/vit_small_patch14_dinov2", "timm/convnext_tiny.dinov3_lvd1689m"])
def test_any_name_of_timm_may_be_given(arch):
    assert ModelConfig(arch=arch, num_blocks=40, pretrained=True).arch == arch


@pytest.mark.parametrize("arch", ["timm/", "timm", "hub/vit"])
def test_a_name_that_is_neither_public_nor_timms_is_refused(arch):
    with pytest.raises(ValidationError, match=f"'{arch}' is not a known backbone; must be timm/<name> or one of vit-"):
        ModelConfig(arch=arch)


def test_a_stem_given_for_a_timm_model_is_refused():
    with pytest.raises(ValidationError, match="timm/vit_base has one stem, so leave this at auto"):
        ModelConfig(arch="timm/vit_base", stem="conv")


def test_pretrained_weights_of_a_fan_are_refused_with_what_to_do():
    with pytest.raises(ValidationError, match="no weights for fan_tiny_8_p4_hybrid; give a file as train"):
        ModelConfig(arch="fan_tiny_8_p4_hybrid", pretrained=True)


def test_pretrained_weights_with_the_conv_stem_are_refused():
    with pytest.raises(ValidationError, match=r"no weights with the conv stem; set model.stem to auto or patch"):
        ModelConfig(stem="conv", pretrained=True)

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

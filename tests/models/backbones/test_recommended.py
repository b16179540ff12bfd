from __future__ import annotations

import pytest
import timm
import torch

from mal.config.architectures import ARCHITECTURES, TIMM_PREFIX
from mal.models.backbones.recommended import APACHE, DINOV3, MIT, PUBLIC, TIMM, recommended_tables
from mal.models.backbones.registry import build_backbone

LICENSES_IN_TIMM = {APACHE: "apache-2.0", MIT: "mit", DINOV3: "dinov3-license"}


def test_the_page_of_backbones_is_up_to_date(repository):
    page = (repository / "docs" / "backbones.md").read_text(encoding="utf-8")
    assert page.endswith(recommended_tables()), "write its tables anew: python -m mal.models.backbones.recommended"


def test_every_public_name_is_in_the_table():
    assert [backbone.arch for backbone in PUBLIC] == list(ARCHITECTURES)


def test_the_public_names_that_the_hub_has_weights_for_say_so():
    for backbone in PUBLIC:
        assert ("`pretrained`" in backbone.needs) == (ARCHITECTURES[backbone.arch].hub_name is not None)


@pytest.mark.parametrize("backbone", [*PUBLIC, *TIMM], ids=lambda backbone: backbone.arch)
def test_stride_width_and_size_are_those_of_the_network(backbone):
    with torch.device("meta"):
        network = build_backbone(backbone.arch)
    used = [value.numel() for name, value in network.named_parameters() if not name.startswith("head.")]
    assert (network.stride, network.embed_dim) == (backbone.stride, backbone.width)
    assert sum(used) / 1e6 == pytest.approx(backbone.parameters, abs=0.051)


@pytest.mark.parametrize("backbone", TIMM, ids=lambda backbone: backbone.arch)
def test_timm_has_the_weights_under_the_licence_that_the_table_says(backbone):
    config = timm.get_pretrained_cfg(backbone.arch.removeprefix(TIMM_PREFIX))
    assert config.has_weights
    assert config.license == LICENSES_IN_TIMM[backbone.license]

from __future__ import annotations

import pytest
import torch

from mal.config.evaluate_config import EvaluateConfig
from mal.config.inference_config import InferenceConfig
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.models import fast
from mal.models.backbones.merging_vit import MergingVit
from mal.models.backbones.registry import build_backbone
from mal.models.build import prediction_mode
from mal.models.fast import fast_dtype, fast_network
from mal.models.network import MaskNetwork
from tests.small_networks import small_network

IMAGES = torch.rand(3, 3, 64, 64)
AREAS = torch.tensor([100.0, 5000, 50000])  # small, medium, large


@pytest.mark.parametrize(("num_blocks", "full_blocks"), [(1, 1), (3, 1), (4, 1), (12, 3)])
def test_a_quarter_of_the_blocks_but_at_least_one_sees_all_tokens(num_blocks, full_blocks):
    backbone = fast_network(small_network(num_blocks=num_blocks)).backbone
    assert isinstance(backbone, MergingVit)
    assert backbone.full_blocks == full_blocks


def test_the_given_network_stays_as_it_is():
    network = small_network(num_blocks=2).eval()
    with torch.no_grad():
        before = network(IMAGES, AREAS)
        fast_network(network)
        assert torch.equal(network(IMAGES, AREAS), before)


def test_logits_have_the_size_that_the_network_gives():
    network = small_network(num_blocks=2).eval()
    with torch.no_grad():
        assert fast_network(network)(IMAGES, AREAS).shape == network(IMAGES, AREAS).shape


def test_another_backbone_is_refused_in_one_line():
    network = MaskNetwork(build_backbone("fan_tiny_12_p16_224", num_blocks=1), hidden_channels=8, out_channels=8)
    with pytest.raises(UserError, match="profile fast: only for the vit-"):
        fast_network(network)


@pytest.mark.parametrize(
    ("flags", "dtype"), [("fpu avx512_bf16", torch.bfloat16), ("amx_bf16", torch.bfloat16), ("fpu avx2 avx512f", None)]
)
def test_bfloat16_is_for_processors_that_multiply_it(flags, dtype, monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: bf16\n")
    monkeypatch.setattr(fast, "CPUINFO", cpuinfo)
    assert fast_dtype(torch.device("cpu")) == dtype
    assert fast_dtype(torch.device("cuda")) is None


def test_a_system_that_tells_nothing_of_its_processor_computes_in_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(fast, "CPUINFO", tmp_path / "absent")
    assert fast_dtype(torch.device("cpu")) is None


@pytest.mark.parametrize("section", [EvaluateConfig, InferenceConfig])
def test_the_profile_of_a_task_reaches_its_mode_and_is_exact_by_default(section):
    assert prediction_mode(ExperimentSpec(), section()).profile == "exact"
    assert prediction_mode(ExperimentSpec(), section(profile="fast")).profile == "fast"

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from mal.config.schema import ExperimentSpec
from mal.config.sections import EvaluateConfig, InferenceConfig
from mal.errors import UserError
from mal.models import predict as fast
from mal.models.backbones.merging_vit import MergingVit
from mal.models.backbones.registry import build_backbone
from mal.models.from_spec import prediction_mode
from mal.models.network import MaskNetwork
from mal.models.predict import fast_dtype, fast_network, predict_probs
from mal.models.prediction_mode import MeanFieldSettings, PredictionMode
from tests.small_networks import small_network

SIDE = 16


def network(value: float):
    """Logits that depend on the picture, on the column, and on the value."""

    def logits(images: torch.Tensor, box_area: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(images.mean(1, keepdim=True), size=(8, 8), mode="bilinear")
        return small + value + torch.linspace(0, 1, 8)

    return logits


def predict(mode: PredictionMode, student=1.0, teacher=-1.0, image=None, box=None) -> torch.Tensor:
    torch.manual_seed(0)
    image = torch.rand(2, 3, SIDE, SIDE) if image is None else image
    box = torch.ones(2, 1, SIDE, SIDE) if box is None else box
    return predict_probs(network(student), network(teacher), image, box, torch.ones(2), mode)


def test_each_network_is_asked_by_its_name():
    student, teacher = (predict(PredictionMode(network=name)) for name in ("student", "teacher"))
    assert (student > teacher).all()


def test_mixed_is_the_mean_of_both_logits():
    mixed = predict(PredictionMode(network="mixed"), student=1.0, teacher=-3.0)
    torch.testing.assert_close(mixed, predict(PredictionMode(), student=-1.0))


def test_with_flip_a_mirrored_crop_gives_the_mirrored_mask():
    image = torch.rand(2, 3, SIDE, SIDE)
    plain, mirrored = (predict(PredictionMode(flip=True), image=picture) for picture in (image, image.flip(-1)))
    torch.testing.assert_close(mirrored.flip(-1), plain)
    assert not torch.allclose(predict(PredictionMode(), image=image.flip(-1)).flip(-1), plain)


class SeesTheBox:
    """Logits that are the box, and nothing of the crop."""

    takes_box = True

    def __call__(self, images: torch.Tensor, box_area: torch.Tensor, box: torch.Tensor) -> torch.Tensor:
        return box.float()


@pytest.mark.parametrize("flip", [False, True])
def test_a_network_that_takes_the_box_gets_it_mirrored_with_the_crop(flip):
    image, allowed, box = torch.rand(1, 3, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    box[..., :5] = 1
    mode = PredictionMode(flip=flip)
    given = (SeesTheBox(), SeesTheBox(), image, allowed, torch.ones(1), mode)
    torch.testing.assert_close(predict_probs(*given, box_input=box), box.sigmoid())
    torch.testing.assert_close(predict_probs(*given), allowed.sigmoid())


@pytest.mark.parametrize("crf", [None, MeanFieldSettings(num_iter=3)])
def test_nothing_is_found_outside_the_box(crf):
    box = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)
    box[:, :, 4:12, 4:12] = 1
    probs = predict(PredictionMode(crf=crf), student=3.0, box=box)
    assert probs.shape == (2, 1, SIDE, SIDE)
    assert probs.dtype == torch.float32
    assert (probs[box == 0] == 0).all()
    assert (probs[box == 1] > 0).any()


def test_crf_makes_a_mask_of_a_flat_picture_all_or_nothing():
    settings = MeanFieldSettings(num_iter=10)
    flat = torch.zeros(2, 3, SIDE, SIDE)
    assert (predict(PredictionMode(crf=settings), student=2.0, image=flat) == 1).all()
    assert (predict(PredictionMode(crf=settings), student=-4.0, image=flat) == 0).all()


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

from __future__ import annotations

import pytest
import torch

from mal.checkpoint.saved_spec import saved_spec
from mal.checkpoint.summary import checkpoint_summary
from tests.checkpoint.foreign_files import FOREIGN_FILES, tao_5_file, whole
from tests.small_networks import small_fpn_network, small_fpn_spec, small_network, small_spec

LAYOUTS = {
    "nvlabs": ("conv", "NVlabs/mask-auto-labeler"),
    "tao_5": ("conv", "NVIDIA TAO 5.0 to 6.0"),
    "tao_6": ("patch", "NVIDIA TAO 6.25 or later"),
}


@pytest.mark.parametrize(("layout", "found"), LAYOUTS.items())
def test_a_foreign_checkpoint_is_described(tmp_path, layout, found):
    stem, origin = found
    network = small_network(stem)
    summary = checkpoint_summary(FOREIGN_FILES[layout](whole(network), tmp_path / "mal.ckpt"))
    assert (summary["origin"], summary["stem"]) == (origin, stem)
    assert (summary["arch"], summary["num_blocks"], summary["dtype"]) == ("vit-deit-tiny/16", 1, "float32")
    assert summary["holds"] == ["student", "teacher"]
    assert summary["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert summary["file_bytes"] == (tmp_path / "mal.ckpt").stat().st_size
    assert (summary["encrypted"], summary["can_resume"]) == (False, False)
    assert summary["licence"]


def test_the_decoder_is_told(tmp_path):
    spec = small_fpn_spec()
    content = {"state_dict": whole(small_fpn_network()), "hyper_parameters": saved_spec(spec, None)}
    torch.save(content, tmp_path / "fpn.pth")
    torch.save(small_network().state_dict(), tmp_path / "mal.pth")
    decoders = [checkpoint_summary(tmp_path / name)["decoder"] for name in ("fpn.pth", "mal.pth")]
    assert decoders == ["fpn", "mal"]


def test_epoch_step_and_watched_scores_are_told(tmp_path):
    summary = checkpoint_summary(tao_5_file(whole(small_network("conv")), tmp_path / "mal.pth"))
    assert (summary["epoch"], summary["global_step"], summary["metrics"]) == (4, 77, {"val_mIoU": 0.5})


def test_our_own_checkpoint_tells_its_scores(tmp_path):
    content = {
        "state_dict": whole(small_network()),
        "hyper_parameters": saved_spec(small_spec(), "patch"),
        "metrics": {"val/mIoU": 0.7},
    }
    torch.save(content, tmp_path / "mal.pth")
    summary = checkpoint_summary(tmp_path / "mal.pth")
    assert (summary["origin"], summary["metrics"]) == ("mask-auto-labeler", {"val/mIoU": 0.7})


def test_the_settings_that_a_file_labels_with_are_told_where_they_are_not_the_public_ones(tmp_path):
    spec = small_spec(train={"mask_thres": [0.5]}, inference={"refine": "graph_cut"}, masks={"min_part": 0.0})
    torch.save(
        {"state_dict": whole(small_network()), "hyper_parameters": saved_spec(spec, "patch")}, tmp_path / "m.pth"
    )
    settings = checkpoint_summary(tmp_path / "m.pth")["settings"]
    assert (settings["train.mask_thres"], settings["inference.refine"]) == ([0.5], "graph_cut")
    assert "masks.min_part" not in settings
    assert checkpoint_summary(tao_5_file(whole(small_network("conv")), tmp_path / "tao.pth"))["settings"] == {}


@pytest.mark.parametrize(
    ("extra", "origin"),
    [
        ({"mask_token": torch.zeros(1)}, "a MAE release"),
        ({"head.last_layer.weight_g": torch.zeros(1)}, "a DINO release"),
        ({}, "unknown"),
    ],
)
def test_a_released_backbone_is_described(tmp_path, extra, origin):
    torch.save({"model": small_network().backbone.state_dict() | extra}, tmp_path / "vit.pth")
    summary = checkpoint_summary(tmp_path / "vit.pth")
    assert (summary["origin"], summary["holds"], summary["arch"]) == (origin, ["backbone"], "vit-deit-tiny/16")


def test_a_network_alone_without_settings_is_of_either_public_program(tmp_path):
    torch.save(small_network("conv").state_dict(), tmp_path / "net.pth")
    summary = checkpoint_summary(tmp_path / "net.pth")
    assert summary["origin"] == "NVlabs/mask-auto-labeler or NVIDIA TAO 5.0 to 6.0"
    assert summary["holds"] == ["network"]

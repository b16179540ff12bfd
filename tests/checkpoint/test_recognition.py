from __future__ import annotations

import json
import re

import pytest
import torch

from mal.checkpoint.load import Checkpoint, has_heads, load_checkpoint
from mal.checkpoint.model_fields import complete_spec_from_checkpoint, read_model_fields
from mal.checkpoint.recognition import recognized_arch, recognized_model
from mal.checkpoint.saved_spec import saved_spec
from mal.config.architectures import ARCHITECTURES
from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.models.backbones.registry import build_backbone
from mal.models.network import MaskNetwork
from tests.checkpoint.foreign_files import FOREIGN_FILES, nvlabs_file, whole
from tests.conformance.extract import GOLDEN
from tests.small_networks import small_fpn_network, small_network, small_spec


def spec_of(**model):
    return ExperimentSpec.model_validate({"model": model} if model else {})


def fitted(spec: ExperimentSpec, checkpoint: Checkpoint, **options) -> ExperimentSpec:
    return complete_spec_from_checkpoint(spec, checkpoint.spec, checkpoint.path, **options)


@pytest.fixture
def foreign(tmp_path):
    return load_checkpoint(nvlabs_file(whole(small_network("conv")), tmp_path / "mal.ckpt"))


@pytest.mark.parametrize("layout", FOREIGN_FILES)
def test_a_spec_that_names_no_network_takes_that_of_the_checkpoint(tmp_path, layout):
    checkpoint = load_checkpoint(FOREIGN_FILES[layout](whole(small_network("conv")), tmp_path / "mal.ckpt"))
    model = fitted(spec_of(), checkpoint).model
    assert (model.arch, model.stem, model.num_blocks) == ("vit-deit-tiny/16", "conv", 1)
    assert (model.mask_head_num_convs, model.mask_head_hidden_channel, model.mask_head_out_channel) == (4, 8, 8)


def test_the_rest_of_the_spec_stays_and_the_given_spec_is_not_changed(foreign):
    spec = ExperimentSpec.model_validate({"train": {"lr": 0.5}, "model": {"frozen_stages": [0]}})
    found = fitted(spec, foreign)
    assert (found.train.lr, found.model.frozen_stages) == (0.5, [0])
    assert spec.model.arch == "vit-mae-base/16"


@pytest.mark.parametrize(
    ("key", "value", "held"),
    [
        ("arch", "vit-mae-base/16", "vit-deit-tiny/16"),
        ("stem", "patch", "conv"),
        ("num_blocks", 2, 1),
        ("mask_head_num_convs", 3, 4),
        ("mask_head_hidden_channel", 256, 8),
        ("mask_head_out_channel", 256, 8),
    ],
)
def test_a_given_field_that_contradicts_the_checkpoint_is_named_with_both_values(foreign, key, value, held):
    message = f"model.{key}: {value} in the spec, but {foreign.path} holds {held}"
    with pytest.raises(UserError, match=re.escape(message)):
        fitted(spec_of(**{key: value}), foreign)


def test_given_fields_that_agree_are_no_contradiction(foreign):
    given = {"arch": "vit-deit-tiny/16", "stem": "auto", "num_blocks": 1, "mask_head_out_channel": 8}
    assert fitted(spec_of(**given), foreign).model.stem == "conv"


def test_all_blocks_may_be_given_as_their_number_or_as_null(tmp_path):
    with torch.device("cpu"):
        checkpoint = load_checkpoint(nvlabs_file(whole(small_network(num_blocks=12)), tmp_path / "mal.ckpt"))
    for given in (12, None):
        assert fitted(spec_of(num_blocks=given), checkpoint).model.num_blocks == given


def test_only_the_fields_asked_for_must_agree(foreign):
    found = fitted(spec_of(mask_head_out_channel=16), foreign, must_agree=("arch",))
    assert (found.model.mask_head_out_channel, found.model.mask_head_hidden_channel) == (16, 8)


def test_scales_that_a_foreign_run_was_set_to_are_taken(tmp_path):
    path = nvlabs_file(whole(small_network()), tmp_path / "mal.ckpt", not_adjust_scale=True, mask_scale_ratio_pre="two")
    model = fitted(spec_of(), load_checkpoint(path)).model
    assert (model.not_adjust_scale, model.mask_scale_ratio_pre) == (True, 1)


def test_our_own_checkpoint_is_believed_in_what_it_says(tmp_path):
    spec = small_spec(model={"not_adjust_scale": True})
    content = {"state_dict": whole(small_network()), "hyper_parameters": saved_spec(spec, "patch")}
    torch.save(content, tmp_path / "mal.pth")
    checkpoint = load_checkpoint(tmp_path / "mal.pth")
    assert read_model_fields(checkpoint.spec)["not_adjust_scale"]
    assert fitted(spec_of(), checkpoint).model.num_blocks == 1


def test_the_decoder_is_recognized_by_the_tensors_alone(tmp_path):
    torch.save({"state_dict": whole(small_fpn_network())}, tmp_path / "fpn.pth")
    checkpoint = load_checkpoint(tmp_path / "fpn.pth")
    assert has_heads(checkpoint.student)
    assert fitted(spec_of(arch="timm/test_efficientnet"), checkpoint).model.decoder == "fpn"
    with pytest.raises(UserError, match=r"model\.decoder: mal in the spec, but .*fpn\.pth holds fpn; leave it out"):
        fitted(spec_of(decoder="mal"), checkpoint)
    with pytest.raises(UserError, match="not the spec that tells which network they belong to"):
        checkpoint.network_spec()


def test_a_checkpoint_from_before_the_choice_of_decoders_holds_the_paper_s(tmp_path, foreign):
    values = saved_spec(small_spec(), "patch")
    del values["model"]["decoder"]
    torch.save({"state_dict": whole(small_network()), "hyper_parameters": values}, tmp_path / "mal.pth")
    for checkpoint in (load_checkpoint(tmp_path / "mal.pth"), foreign):
        with pytest.raises(UserError, match=r"model\.decoder: fpn in the spec, but .* holds mal"):
            fitted(spec_of(decoder="fpn"), checkpoint)


@pytest.mark.parametrize("arch", ["vit-deit-tiny/16", "timm/deit_tiny_patch16_224"])
def test_a_released_backbone_tells_its_architecture(tmp_path, arch):
    torch.save({"model": small_network().backbone.state_dict()}, tmp_path / "deit.pth")
    checkpoint = load_checkpoint(tmp_path / "deit.pth")
    assert fitted(spec_of(), checkpoint).model.arch == "vit-deit-tiny/16"
    assert fitted(spec_of(arch=arch), checkpoint).model.arch == arch
    with pytest.raises(UserError, match=r"model\.arch: vit-mae-base/16 in the spec, but .* holds vit-deit-tiny/16"):
        fitted(spec_of(arch="vit-mae-base/16"), checkpoint)


def test_an_unknown_backbone_leaves_the_spec_as_it_is(tmp_path):
    torch.save({"state_dict": {"student.a": torch.ones(1)}}, tmp_path / "a.pth")
    assert fitted(spec_of(), load_checkpoint(tmp_path / "a.pth")) == spec_of()


def meta_network(arch: str, stem: str = "patch", **heads) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return MaskNetwork(build_backbone(arch, stem=stem), **heads).state_dict()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_is_told_by_its_shapes(arch):
    recognized = recognized_model(meta_network(arch))
    stem = {"stem": "patch"} if arch.startswith("vit-") else {}
    assert recognized == {
        "arch": arch,
        "num_blocks": None,
        "mask_head_num_convs": 4,
        "mask_head_hidden_channel": 256,
        "mask_head_out_channel": 256,
        **stem,
    }


@pytest.mark.parametrize("arch", [name for name in ARCHITECTURES if name.startswith("vit-")])
def test_the_conv_stem_is_told(arch):
    assert recognized_model(meta_network(arch, "conv")).items() >= {"arch": arch, "stem": "conv"}.items()


def test_every_manifest_of_the_public_programs_is_recognised():
    paths = sorted((GOLDEN / "01_manifests").glob("*.json"))
    assert len(paths) == 18
    for path in paths:
        manifest = json.loads(path.read_text())
        tensors = {
            name.removeprefix("student."): torch.empty(shape, device="meta")
            for name, shape in manifest["state_dict"].items()
        }
        assert recognized_model(tensors)["arch"] == manifest["arch"], path.name


def test_blocks_and_heads_are_counted():
    tensors = small_network(num_blocks=3, mask_head_num_convs=2, mask_head_out_channel=5).state_dict()
    assert recognized_model(tensors) == {
        "arch": "vit-deit-tiny/16",
        "stem": "patch",
        "num_blocks": 3,
        "mask_head_num_convs": 2,
        "mask_head_hidden_channel": 8,
        "mask_head_out_channel": 5,
    }


def test_a_single_convolution_has_no_hidden_width():
    assert "mask_head_hidden_channel" not in recognized_model(small_network(mask_head_num_convs=1).state_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"backbone.cls_token": torch.zeros(1, 1, 100)},
        {"backbone.blocks.12.norm1.weight": torch.zeros(192)},
        {"backbone.patch_embed.proj.weight": torch.zeros(192, 3, 8, 8)},
        {"backbone.blocks.0.ls1.gamma": torch.zeros(192)},
    ],
    ids=["width", "depth", "patch", "scaled branches"],
)
def test_a_backbone_that_has_no_name_is_not_recognised(change):
    assert recognized_model(small_network().state_dict() | change) == {}


def test_a_backbone_alone_tells_its_architecture_only():
    tensors = {name: value for name, value in small_network().state_dict().items() if name.startswith("backbone.")}
    assert recognized_arch(tensors) == "vit-deit-tiny/16"
    assert recognized_model(tensors) == {}


def test_tensors_of_something_else_are_not_recognised():
    assert recognized_arch({"fc.weight": torch.ones(2)}) is None

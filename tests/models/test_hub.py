from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file

from mal.config.schema import ExperimentSpec
from mal.errors import UserError
from mal.models.hub import fetch_weights
from mal.training.initial_weights import resolve_initial_weights
from tests.small_networks import small_spec

TIMM_VIT = {"arch": "timm/test_vit", "num_blocks": 2}


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of the hub, which nothing can be fetched into."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


def put_into_cache(cache: Path, name: str) -> dict[str, torch.Tensor]:
    """Weights of timm's model ``name``, lying where the hub's client would have put them."""
    torch.manual_seed(1)
    model = timm.create_model(name)
    repository, commit = timm.get_pretrained_cfg(name).hf_hub_id, "0" * 40
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    save_file(model.state_dict(), folder / "snapshots" / commit / "model.safetensors")
    return model.state_dict()


def said(capsys) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_timm_backbone_starts_from_the_hubs_weights(hub_cache, tmp_path, capsys):
    released = put_into_cache(hub_cache, "test_vit.r160_in1k")
    start = resolve_initial_weights(small_spec(model={**TIMM_VIT, "pretrained": True}), tmp_path)
    for network in (start.student, start.teacher):
        for name, value in network.backbone.state_dict().items():
            torch.testing.assert_close(value, released[name])
    line = said(capsys)
    assert "starting from test_vit.r160_in1k of the timm hub (licence of the weights: apache-2.0)" in line
    assert "30 matched, 12 missing, 48 unexpected, 0 resized" in line  # missing: the heads


def test_a_public_name_starts_from_the_weights_of_the_same_network_in_timm(hub_cache, tmp_path, capsys):
    released = put_into_cache(hub_cache, "deit_tiny_patch16_224.fb_in1k")
    start = resolve_initial_weights(small_spec(model={"pretrained": True}), tmp_path)
    assert start.spec.model.arch == "vit-deit-tiny/16"
    for name, value in start.student.backbone.state_dict().items():
        if not name.startswith("head."):
            torch.testing.assert_close(value, released[name])
    assert "18 matched, 12 missing" in said(capsys)  # missing: the heads


def test_nothing_is_fetched_unless_asked_for(hub_cache, tmp_path, capsys):
    resolve_initial_weights(small_spec(model=TIMM_VIT), tmp_path)
    assert "starting from test_vit" not in capsys.readouterr().out


def test_a_run_from_random_weights_says_which_weights_could_be_had(hub_cache, tmp_path, capsys):
    resolve_initial_weights(small_spec(model=TIMM_VIT), tmp_path)
    assert said(capsys) == (
        "starting from random weights; model.pretrained=true would start from those of test_vit.r160_in1k"
    )


@pytest.mark.parametrize("model", [{"arch": "timm/test_mambaout"}, {"arch": "vit-deit-tiny/16", "stem": "conv"}])
def test_a_run_whose_weights_cannot_be_had_says_nothing_of_them(hub_cache, tmp_path, capsys, model):
    resolve_initial_weights(small_spec(model={"num_blocks": None} | model), tmp_path)
    assert said(capsys) == ""


def test_weights_that_cannot_be_fetched_are_one_line_that_says_what_to_do(hub_cache):
    with pytest.raises(UserError, match="fetch them once with a network, or give a file") as error:
        fetch_weights("vit-mae-base/16")
    assert str(error.value).startswith("model.pretrained: the weights vit_base_patch16_224.mae could not be fetched")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("arch", ["timm/vit_tiny_patch8_224", "timm/test_mambaout"])
def test_a_model_that_the_hub_has_no_weights_for_is_a_mistake(hub_cache, arch):
    with pytest.raises(UserError, match=f"the hub has no weights for {arch}; give a file"):
        fetch_weights(arch)


def test_two_sources_of_weights_are_a_mistake(hub_cache, tmp_path):
    spec = small_spec(model={"pretrained": True}, train={"pretrained_model_path": str(tmp_path / "weights.pth")})
    with pytest.raises(UserError, match=r"model\.pretrained and train\.pretrained_model_path .* keep one"):
        resolve_initial_weights(spec, tmp_path)


def test_a_run_that_resumes_fetches_nothing():
    """What a run needs to go on is in its checkpoint, so ``pretrained`` may be there or not."""
    from mal.checkpoint.saved_spec import require_same_model, saved_spec

    saved = saved_spec(small_spec(model={"pretrained": True}), "patch")
    require_same_model(saved, saved_spec(ExperimentSpec.model_validate(small_spec().model_dump()), "patch"))


@pytest.mark.parametrize("name", ["vit_small_patch16_224.dino", "test_convnext.r160_in1k"])
def test_a_file_of_a_timm_model_starts_the_same_model(tmp_path, capsys, name):
    released = timm.create_model(name).state_dict()
    save_file(released, tmp_path / "released.safetensors")
    model = {"arch": f"timm/{name}", "num_blocks": None}
    train = {"pretrained_model_path": str(tmp_path / "released.safetensors")}
    backbone = resolve_initial_weights(small_spec(model=model, train=train), tmp_path / "run").student.backbone
    assert all(torch.equal(value, released[key]) for key, value in backbone.state_dict().items())
    assert "12 missing" in said(capsys)  # the heads

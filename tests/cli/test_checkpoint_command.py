from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mal.checkpoint import convert
from mal.checkpoint.summary import checkpoint_summary
from mal.cli import main
from mal.labeler import MaskAutoLabeler
from mal.sample.scene import scene
from tests.checkpoint.foreign_files import nvlabs_file, whole
from tests.cli.small_runs import run_mal
from tests.small_networks import small_network


@pytest.fixture(autouse=True)
def few_boxes(monkeypatch):
    monkeypatch.setattr("mal.tasks.checkpoint_convert.NUM_SCENES", 1)


@pytest.fixture
def checkpoint(tmp_path):
    """A network whose masks are neither empty nor full, in a layout of another program."""
    tensors, random = whole(small_network("conv")), torch.Generator().manual_seed(7)
    for name, value in tensors.items():
        if "_head." in name:
            spread = 5 / value[0].numel() ** 0.5 if name.endswith("weight") else 0.0
            tensors[name] = spread * torch.randn(value.shape, generator=random)
    path = nvlabs_file(tensors, tmp_path / "public.ckpt")
    assert 0.1 < masks(path).sum() / boxes_area() < 0.9
    return path


def boxes_area() -> float:
    x0, y0, x1, y1 = scene(np.random.default_rng(5)).boxes_xyxy.T
    return float(((x1 - x0) * (y1 - y0)).sum())


def masks(path) -> np.ndarray:
    drawn = scene(np.random.default_rng(5))
    return MaskAutoLabeler.from_checkpoint(path, device="cpu").label(drawn.image, drawn.boxes_xyxy)


def test_info_tells_a_person_what_a_file_is(checkpoint, capfd):
    outcome = run_mal(capfd, "checkpoint", "info", checkpoint)
    assert outcome.exit_code == 0
    for text in ("NVlabs", "no commercial use", "vit-deit-tiny/16", "conv", "epoch 9", "1234", "not encrypted"):
        assert text in outcome.out


def test_info_tells_what_a_file_labels_with(checkpoint, capfd, monkeypatch):
    assert "labels with" not in run_mal(capfd, "checkpoint", "info", checkpoint).out
    summary = checkpoint_summary(checkpoint, None) | {"settings": {"inference.refine": "graph_cut"}}
    monkeypatch.setattr("mal.tasks.checkpoint_info.checkpoint_summary", lambda *_: summary)
    assert "labels with  inference.refine 'graph_cut'" in run_mal(capfd, "checkpoint", "info", checkpoint).out


def test_names_of_metrics_cannot_steer_the_terminal(checkpoint, capfd, monkeypatch):
    metrics = {"\x1b[2J\x1b]52;c;ZXZpbA==\x1b\\\n[red]": 1.0}
    summary = checkpoint_summary(checkpoint, None) | {"metrics": metrics}
    monkeypatch.setattr("mal.tasks.checkpoint_info.checkpoint_summary", lambda *_: summary)
    outcome = run_mal(capfd, "checkpoint", "info", checkpoint)
    assert r"\x1b[2J\x1b]52;c;ZXZpbA==\x1b\\n[red]  1" in outcome.out


def test_info_tells_whether_a_file_is_as_it_was_written(checkpoint, tmp_path, capfd):
    assert "the file carries no digest" in run_mal(capfd, "checkpoint", "info", checkpoint).out
    ours = tmp_path / "ours.pth"
    assert run_mal(capfd, "checkpoint", "convert", checkpoint, ours).exit_code == 0
    assert "as it was written (SHA-256)" in run_mal(capfd, "checkpoint", "info", ours).out
    content = bytearray(ours.read_bytes())
    content[len(content) // 2] ^= 1
    ours.write_bytes(content)
    (line,) = run_mal(capfd, "checkpoint", "info", ours).error_lines
    assert "ours.pth: damaged: it was changed since it was written" in line


def test_long_names_of_figures_stand_apart_from_their_values(checkpoint, capfd, monkeypatch):
    facts = checkpoint_summary(checkpoint) | {"metrics": {"val/mIoU_instances": 0.7238}}
    monkeypatch.setattr("mal.tasks.checkpoint_info.checkpoint_summary", lambda *_: facts)
    assert "val/mIoU_instances  0.7238" in run_mal(capfd, "checkpoint", "info", checkpoint).out


def test_info_as_json_is_json(checkpoint, capfd):
    summary = json.loads(run_mal(capfd, "checkpoint", "info", checkpoint, "--json").out)
    assert (summary["arch"], summary["epoch"], summary["encrypted"]) == ("vit-deit-tiny/16", 9, False)


@pytest.mark.parametrize("name", ["out.safetensors", "out.pth"])
def test_a_converted_file_labels_as_before(checkpoint, tmp_path, capfd, name):
    outcome = run_mal(capfd, "checkpoint", "convert", checkpoint, tmp_path / name)
    assert outcome.exit_code == 0
    assert "before and after: identical" in outcome.out
    assert np.array_equal(masks(tmp_path / name), masks(checkpoint))
    assert {path.name for path in tmp_path.iterdir()} == {"public.ckpt", name}


def test_half_precision_says_how_far_the_masks_moved(checkpoint, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("mal.tasks.checkpoint_convert.LOWEST_IOU", 0.9)  # untrained, it is never sure
    outcome = run_mal(capfd, "checkpoint", "convert", checkpoint, tmp_path / "half.safetensors", "--half")
    assert outcome.exit_code == 0
    assert "identical" in outcome.out or "lowest IoU 0.9" in outcome.out


def test_a_conversion_that_changes_the_masks_leaves_no_file(tmp_path, capfd, monkeypatch):
    whole_values = convert.write_converted

    def write_negated(checkpoint, *arguments, **options):
        negated = {name: -value if "roi_head.mlp2" in name else value for name, value in checkpoint.student.items()}
        whole_values(replace(checkpoint, student=negated), *arguments, **options)

    monkeypatch.setattr("mal.tasks.checkpoint_convert.write_converted", write_negated)
    tensors = whole(small_network("conv"))
    for name in ("student.roi_head.mlp2.weight", "student.roi_head.mlp2.bias"):
        tensors[name] = 1e4 * tensors[name]  # logits far from 0
    checkpoint = nvlabs_file(tensors, tmp_path / "public.ckpt")
    outcome = run_mal(capfd, "checkpoint", "convert", checkpoint, tmp_path / "half.pth")
    assert outcome.exit_code == 1
    assert "not converted" in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["public.ckpt"]


def test_weights_too_large_for_16_bits_are_named_and_leave_no_file(tmp_path, capfd):
    tensors = whole(small_network("conv"))
    tensors["student.roi_head.mlp2.bias"] = 1e7 * torch.ones_like(tensors["student.roi_head.mlp2.bias"])
    checkpoint = nvlabs_file(tensors, tmp_path / "public.ckpt")
    outcome = run_mal(capfd, "checkpoint", "convert", checkpoint, tmp_path / "half.pth", "--half")
    assert outcome.exit_code == 1
    assert "roi_head.mlp2.bias: holds values too large for 16 bits" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["public.ckpt"]


def test_a_backbone_alone_is_not_converted(tmp_path, capfd):
    torch.save({"model": small_network().backbone.state_dict()}, tmp_path / "deit.pth")
    outcome = run_mal(capfd, "checkpoint", "convert", tmp_path / "deit.pth", tmp_path / "out.pth")
    assert outcome.exit_code == 1
    assert len(outcome.error_lines) == 1


@pytest.mark.parametrize("action", [["info"], ["convert", "out.pth"]])
def test_a_file_that_is_not_there_is_named(tmp_path, capfd, action):
    outcome = run_mal(capfd, "checkpoint", action[0], tmp_path / "gone.pth", *action[1:])
    assert outcome.error_lines == [f"mal: error: {tmp_path}/gone.pth: no such checkpoint file"]


def test_a_file_is_not_converted_into_itself(checkpoint, capfd):
    target = checkpoint.rename(checkpoint.with_suffix(".pth"))
    assert "same file" in run_mal(capfd, "checkpoint", "convert", target, target).error_lines[0]


@pytest.mark.parametrize("arguments", [[], ["info"], ["convert", "a.pth"], ["convert", "a.pth", "b.onnx"], ["show"]])
def test_wrong_usage_ends_with_code_2(arguments):
    assert main(["checkpoint", *arguments]) == 2


@pytest.mark.parametrize("arguments", [["-h"], ["info", "-h"], ["convert", "-h"]])
def test_help_is_there_for_each_action(arguments, capsys):
    assert main(["checkpoint", *arguments]) == 0
    assert f"usage: mal checkpoint {arguments[0] if len(arguments) > 1 else '[-h]'}" in capsys.readouterr().out


def test_info_keeps_long_names_of_figures_apart_from_their_values(checkpoint, capfd, monkeypatch):
    from mal.checkpoint.summary import checkpoint_summary

    summary = checkpoint_summary(checkpoint) | {"metrics": {"val/mIoU_instances": 0.7238}}
    monkeypatch.setattr("mal.tasks.checkpoint_info.checkpoint_summary", lambda *_: summary)
    assert "val/mIoU_instances  0.7238" in run_mal(capfd, "checkpoint", "info", checkpoint).out

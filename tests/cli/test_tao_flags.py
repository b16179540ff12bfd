"""Lines that were written for TAO's launcher: each flag is taken as its field, or told with what to write instead."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import yaml

from mal.cli import main, tao_main


@pytest.fixture
def specs(tmp_path, monkeypatch):
    """The specs that tasks are run with; in a folder with a spec that suits all three."""
    found = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("boxes.json", "net.pth"):
        (tmp_path / name).write_text("{}")
    ann = {f"{part}_{what}": path for part in ("train", "val") for what, path in (("ann_path", "boxes.json"),)}
    folders = {f"{part}_img_dir": "photos" for part in ("train", "val")}
    spec = {
        "results_dir": "of_the_file",
        "dataset": ann | folders,
        "evaluate": {"checkpoint": "net.pth"},
        "inference": {"checkpoint": "net.pth", "ann_path": "boxes.json", "img_dir": "photos"},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    for task in ("train", "evaluate", "inference"):
        run = SimpleNamespace(run=lambda spec, **_: found.append(spec) or 0)
        monkeypatch.setitem(sys.modules, f"mal.tasks.{task}", run)
    return found


def run(line: str) -> int:
    return main([line.split()[0], "-e", "spec.yaml", *line.split()[1:]])


@pytest.mark.parametrize("task", ["train", "evaluate", "inference"])
@pytest.mark.parametrize("flag", ["-r out", "--results_dir out", "--results_dir=out", "--results-dir out"])
def test_the_results_folder_is_taken_from_taos_flag(specs, task, flag):
    assert run(f"{task} {flag}") == 0
    assert specs[0].results_dir == "out"


@pytest.mark.parametrize("task", ["train", "evaluate", "inference"])
@pytest.mark.parametrize("flag", ["-g 2", "--gpus 2", "--num_gpus 2", "--num_gpus=2"])
def test_the_number_of_gpus_goes_to_the_task_that_runs(specs, task, flag):
    assert run(f"{task} {flag}") == 0
    assert getattr(specs[0], task).num_gpus == 2


@pytest.mark.parametrize("flag", ["-g 1,3", "-g [1,3]", "--gpus 1,3", "--gpu_ids 1,3", "--gpu_index [1,3]"])
def test_gpus_can_be_named_by_their_indices(specs, flag):
    assert run(f"train {flag}") == 0
    assert specs[0].train.gpu_ids == [1, 3]


def test_the_key_and_the_number_of_machines_are_taken(specs):
    assert run("train -k hunter2 --num_nodes 3") == 0
    assert (specs[0].encryption_key, specs[0].train.num_nodes) == ("hunter2", 3)


def test_a_field_given_as_key_and_value_wins_over_the_flag(specs):
    assert run("train results_dir=mine -r out") == 0
    assert specs[0].results_dir == "mine"


def test_a_whole_line_of_the_launcher_runs(specs, monkeypatch):
    line = "tao model mal train --experiment_spec_file spec.yaml -r out -g 1 train.lr=0.5"
    monkeypatch.setattr(sys, "argv", line.split())
    assert tao_main() == 0
    assert (specs[0].results_dir, specs[0].train.num_gpus, specs[0].train.lr) == ("out", 1, 0.5)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("-o specs", "-o of TAO: write results_dir=DIR"),
        ("--output_specs_dir specs", "--output_specs_dir of TAO: write results_dir=DIR"),
        ("-m old.pth", "train.resume_training_checkpoint_path=FILE"),
        ("--use_amp", "write train.use_amp=true"),
        ("--mpirun_arg -x", "--mpirun_arg of TAO: has no place here"),
        ("--launch_cuda_blocking", "CUDA_LAUNCH_BLOCKING=1"),
        ("--log_file log.txt", "leave it out"),
    ],
)
def test_flags_without_a_field_of_their_own_say_what_to_write(specs, capsys, flag, said):
    assert run(f"train {flag}") == 2
    assert said in capsys.readouterr().err
    assert specs == []


def test_a_wrong_value_of_a_flag_is_told_by_its_field(specs, capsys):
    assert run("train --gpus many") == 1
    assert "train.num_gpus=many: must be a whole number" in capsys.readouterr().err


def test_a_key_is_in_no_message(specs, capsys):
    assert run("train -k hunter2 --gpus many") == 1
    assert "hunter2" not in capsys.readouterr().err


def test_the_help_names_the_flags(capsys):
    assert main(["evaluate", "-h"]) == 0
    shown = capsys.readouterr().out
    assert "as results_dir=DIR" in shown
    assert "as evaluate.num_gpus=N" in shown


def test_a_word_that_is_no_override_is_named_where_it_is_a_file(specs, capsys):
    assert run("train boxes.json") == 2
    assert "'boxes.json' is not of the form key=value" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["abc", "0", "1.5"])
def test_a_number_of_boxes_that_is_none_is_told_with_its_option(specs, capsys, count):
    assert run(f"evaluate --box-noise --box-noise-boxes {count}") == 2
    error = capsys.readouterr().err
    assert "--box-noise-boxes" in error
    assert "_at_least_one" not in error
    assert "whole number" in error or "too small" in error

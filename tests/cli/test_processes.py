"""Several processes do what one does: they learn the same, label the same, and speak with one voice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.cli.killable_runs import logged_curves
from tests.cli.launched import Launcher, RankOutcome, run_mal
from tests.cli.small_runs import SmallData, small_data, status_lines, write_spec

pytestmark = pytest.mark.slow

# The gradients of two halves of a batch are summed in another order than those of the whole. From that 1e-8 two things
# follow: a pixel of a refined mask may fall to the other side, and Adam turns the smallest gradients into whole steps.
ONE_PIXEL = 2e-3
TENTH_OF_A_STEP = 4e-5  # the rate is 4e-4
NUM_STEPS = 8
FILE_AFTER_3 = "model_step_000003.pth"
FILE_AFTER_5 = "model_step_000005.pth"
MISSING_IMAGE = 1  # of those to label
FLAGS = {"evaluate": ("--agreement", "--box-noise", "--box-noise-boxes", "6"), "inference": ()}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launched"))


@pytest.fixture(scope="module")
def data(tmp_path_factory, scenes) -> SmallData:
    """16 boxes to train on: both 4 at a time and 2 at a time in each of two processes fill every step."""
    return small_data(tmp_path_factory.mktemp("data"), scenes, num_train=4, num_val=3, boxes_each=4)


class Runs:
    """Training runs of two epochs with a file after every step; each is made once, when it is first asked for."""

    def __init__(self, folder: Path, data: SmallData, launcher: Launcher) -> None:
        self._folder = folder
        self._data = data
        self._launcher = launcher
        self._outcomes: dict[Path, list[RankOutcome]] = {}

    MORE = ("model.frozen_stages=[0]",)  # so that not every parameter of the student has an optimiser state

    def spec(self, name: str, folder: Path, *, go_on_from: Path | None = None) -> Path:
        """Of ``one``, ``ddp`` or ``fsdp``; all boxes of a step are 4, shared out."""
        return write_spec(
            self._data,
            folder,
            strategy="fsdp" if name == "fsdp" else "ddp",
            dataset__load_mask=True,
            train__batch_size=4 // _world(name),
            train__checkpoint_interval=1,
            train__checkpoint_interval_unit="step",
            train__clip_grad_norm=1.0,
            train__resume_training_checkpoint_path=str(go_on_from) if go_on_from else None,
            evaluate__batch_size=1,
        )

    def train(self, name: str, *, go_on_from: Path | None = None) -> Path:
        """The results folder of such a run."""
        folder = self._folder / (f"{name}_from_{go_on_from.parent.parent.name}" if go_on_from else name) / "train"
        if folder not in self._outcomes:
            spec = self.spec(name, folder.parent, go_on_from=go_on_from)
            self._outcomes[folder] = self._launcher.mal("train", "-e", spec, *self.MORE, world=_world(name))
        return folder

    def outcomes(self, name: str) -> list[RankOutcome]:
        """What the processes of a run printed."""
        return self._outcomes[self.train(name)]


def _world(name: str) -> int:
    return 1 if name == "one" else 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data, launcher):
    return Runs(tmp_path_factory.mktemp("runs"), data, launcher)


def checkpoint(folder: Path, name: str = "mal_model_latest.pth") -> dict:
    return torch.load(folder / name, weights_only=True)


def assert_same_training(folder: Path, other: Path, name: str = "mal_model_latest.pth") -> None:
    """Weights of both networks, and the optimiser's state of each parameter."""
    ours, theirs = checkpoint(folder, name), checkpoint(other, name)
    torch.testing.assert_close(ours["state_dict"], theirs["state_dict"], atol=TENTH_OF_A_STEP, rtol=0)
    torch.testing.assert_close(ours["optimizer_states"], theirs["optimizer_states"], atol=1e-5, rtol=0)
    assert ours["lr_schedulers"] == theirs["lr_schedulers"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one_with_the_same_boxes_a_step(runs, strategy):
    alone, shared_out = (logged_curves(runs.train(name) / "tensorboard") for name in ("one", strategy))
    assert alone.keys() == shared_out.keys()
    for curve in ("train/mil", "train/grad_norm", "train/lr"):
        assert shared_out[curve] == pytest.approx(alone[curve], rel=1e-4), curve
    for curve in ("train/loss", "train/crf", "val/mIoU"):
        assert shared_out[curve] == pytest.approx(alone[curve], rel=ONE_PIXEL), curve
    assert len(alone["train/loss"]) == NUM_STEPS


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_end_with_the_weights_of_one(runs, strategy):
    assert_same_training(runs.train("one"), runs.train(strategy))


@pytest.mark.parametrize(
    ("strategy", "before", "name"),
    [("ddp", "one", FILE_AFTER_3), ("fsdp", "ddp", FILE_AFTER_5), ("one", "fsdp", FILE_AFTER_3)],
)
def test_a_run_goes_on_amid_an_epoch_under_another_strategy(runs, strategy, before, name):
    folder = runs.train(strategy, go_on_from=runs.train(before) / name)
    assert_same_training(runs.train("one"), folder)


def test_a_checkpoint_does_not_tell_the_strategy_that_wrote_it(runs):
    alone, shared_out = (checkpoint(runs.train(name)) for name in ("one", "fsdp"))
    assert list(alone["state_dict"]) == list(shared_out["state_dict"])
    assert alone.keys() == shared_out.keys()
    (ours,), (theirs,) = alone["optimizer_states"], shared_out["optimizer_states"]
    assert ours["state"].keys() == theirs["state"].keys()
    assert ours["param_groups"] == theirs["param_groups"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_only_the_first_process_is_heard(runs, strategy):
    first, second = runs.outcomes(strategy)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert f"{strategy} over 2 processes" in first.out
    assert "done: " in first.out
    assert second.out == second.err == first.err == ""
    messages = [entry["message"] for entry in status_lines(runs.train(strategy) / "status.json")]
    for message in ("train started", "epoch 0 done", "epoch 1 done", "train finished"):
        assert messages.count(message) == 1


class Labeling:
    """Annotations to evaluate and label: three images, one of them missing, two images without any box."""

    def __init__(self, folder: Path, data: SmallData, weights: Path) -> None:
        self._folder = folder
        self._data = data
        self._weights = weights
        document = json.loads(data.truth.read_text())
        first, second = document["images"][0], document["images"][MISSING_IMAGE]
        second["file_name"] = "is_not_there.jpg"
        document["images"] += [{**first, "id": 10**7}, {**first, "id": 10**7 + 1}]
        del document["annotations"][-1]["segmentation"]
        data.truth.write_text(json.dumps(document))
        self.num_annotations = len(document["annotations"])

    def spec(self, name: str, **changes: object) -> Path:
        return write_spec(
            self._data,
            self._folder / name,
            strategy="fsdp",
            dataset__load_mask=True,
            evaluate__checkpoint=str(self._weights),
            evaluate__comp_clustering=True,
            inference__checkpoint=str(self._weights),
            inference__load_mask=True,
            **changes,
        )

    def results(self, name: str) -> dict[str, bytes]:
        """All files that do not tell the time or the place of their run, by name."""
        of_evaluation = ("metrics.json", "instances.csv", "classes.csv", "predictions.json", "box_noise.json")
        of_inference = ("masks.json", "inference_report.json")
        names = [*(f"evaluate/{each}" for each in of_evaluation), *(f"inference/{each}" for each in of_inference)]
        folder = self._folder / name
        return {each: (folder / each).read_bytes() for each in names if (folder / each).exists()}


@pytest.fixture(scope="module")
def labeling(tmp_path_factory, scenes, launcher, runs):
    folder = tmp_path_factory.mktemp("labelling")
    data = small_data(folder / "data", scenes, num_val=3, boxes_each=4)
    found = Labeling(folder, data, runs.train("one") / "mal_model_latest.pth")
    for task in ("evaluate", "inference"):
        (alone,) = launcher.mal(task, *FLAGS[task], "-e", found.spec("one"), world=1)
        assert alone.exit_code == 1, alone.err  # for the image that is missing
    return found


@pytest.mark.parametrize(("world", "started_by"), [(2, "torchrun"), (4, "torchrun"), (2, "slurm")])
def test_labels_metrics_and_reports_are_byte_for_byte_those_of_one_process(launcher, labeling, world, started_by):
    name = f"{started_by}_{world}"
    for task in ("evaluate", "inference"):
        outcomes = launcher.mal(task, *FLAGS[task], "-e", labeling.spec(name), world=world, started_by=started_by)
        assert [outcome.exit_code for outcome in outcomes] == [1] + [0] * (world - 1), outcomes
        assert all(outcome.out == outcome.err == "" for outcome in outcomes[1:])
    assert labeling.results(name) == labeling.results("one")
    report = json.loads(labeling.results(name)["inference/inference_report.json"])
    assert report["counts"]["annotations"] == labeling.num_annotations
    assert (report["counts"]["labelled"], report["counts"]["failed"]) == (labeling.num_annotations - 4, 4)


def test_a_failure_of_one_process_ends_all_and_is_told(launcher, data, tmp_path):
    broken = small_data_with_a_damaged_image(data, tmp_path)
    outcomes = launcher.mal("train", "-e", write_spec(broken, tmp_path / "results", train__batch_size=1))
    assert [outcome.exit_code for outcome in outcomes] == [1, 1]
    told = [outcome.err.strip() for outcome in outcomes]
    assert any("cannot be read" in text or "damaged" in text for text in told), told
    assert "Traceback" not in "".join(told)


def test_a_signal_to_one_process_stops_all_and_the_run_goes_on_from_there(launcher, runs, data, tmp_path):
    arguments = ["train", "-e", str(runs.spec("ddp", tmp_path)), *runs.MORE]
    started = launcher.start(run_mal, arguments)
    wait_for(tmp_path / "train/model_step_000002.pth")
    os.kill(started.processes[1].pid, signal.SIGTERM)
    first, second = started.wait()
    assert (first.exit_code, second.exit_code) == (128 + signal.SIGTERM, 128 + signal.SIGTERM)
    assert "the same command goes on from there" in first.err
    assert second.err == ""
    assert [outcome.exit_code for outcome in launcher.mal(*arguments)] == [0, 0]
    assert_same_training(runs.train("ddp"), tmp_path / "train")


def wait_for(path: Path) -> None:
    for _ in range(60_000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def small_data_with_a_damaged_image(data: SmallData, folder: Path) -> SmallData:
    document = json.loads(data.boxes.read_text())
    name = document["images"][0]["file_name"]
    for path in data.images.iterdir():
        target = folder / "images" / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes()[:3000] if path.name == name else path.read_bytes())
    return SmallData(folder, folder / "images", data.boxes, data.truth)


def test_torchrun_starts_the_processes(labeling):
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mal"]
    done = run_command([*launch, "inference", "-e", str(labeling.spec("by_torchrun"))])
    assert done.returncode == 1, done.stderr  # for the image that is missing
    assert done.stdout.count("annotations: ") == 1
    assert labeling.results("by_torchrun")["inference/masks.json"] == labeling.results("one")["inference/masks.json"]


def test_the_trainer_starts_as_many_processes_as_the_environment_says(data, tmp_path):
    spec = write_spec(data, tmp_path, train__batch_size=2, train__num_epochs=1)
    done = run_command([sys.executable, "-m", "mal", "train", "-e", str(spec)], MAL_CPU_PROCESSES="2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ddp over 2 processes") == done.stdout.count("done: ") == 1
    assert (tmp_path / "train/mal_model_latest.pth").is_file()


def run_command(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)

"""A run that is stopped, at any moment and in any way, ends as one that was never stopped."""

from __future__ import annotations

import json
import random
import time
from multiprocessing.context import ForkServerProcess as Process
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.killable_runs import (
    RunStarter,
    assert_equal_states,
    interrupt_group,
    kill,
    kill_worker,
    logged_curves,
    terminate,
    terminate_group,
    training_state,
)
from tests.cli.small_runs import SmallData, small_data, write_spec
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.slow

KILLS = 4  # of each kind
PATIENCE = 600.0  # seconds; only a run that hangs takes them


@pytest.fixture(scope="module")
def starter() -> RunStarter:
    return RunStarter()


@pytest.fixture(scope="module")
def data(scenes, tmp_path_factory) -> SmallData:
    folder = tmp_path_factory.mktemp("data")
    return small_data(folder / "coco", scenes, num_train=6, num_val=3, boxes_each=4)


def run_spec(data: SmallData, results: Path) -> Path:
    """A run of seconds with all that has a state: workers, stochastic depth, summed steps, files in the middle."""
    spec = write_spec(
        data,
        results,
        train__num_epochs=4,
        train__batch_size=1,
        train__accum_grad_batches=2,
        train__checkpoint_every_n_minutes=0.001,
        train__keep_last_n=2,
        dataset__num_workers_per_gpu=1,
    )
    text = spec.read_text()
    spec.write_text(text.replace("model:\n", "model:\n  vit_dpr: 0.3\n"))
    return spec


@pytest.fixture(scope="module")
def whole(starter, data, tmp_path_factory) -> SimpleNamespace:
    """A run that nobody stops, and how long it takes."""
    folders = [tmp_path_factory.mktemp("whole") for _ in range(2)]
    for folder in folders:  # the first one also waits for the imports
        started = time.monotonic()
        process = starter.start(run_spec(data, folder), folder / "log.txt")
        process.join(PATIENCE)
        assert process.exitcode == 0, (folder / "log.txt").read_text()
    return SimpleNamespace(folder=folders[0] / "train", seconds=time.monotonic() - started)


@pytest.mark.parametrize("stop", [kill, terminate, interrupt_group, terminate_group, kill_worker])
def test_a_run_that_is_stopped_at_random_ends_as_one_that_is_not(stop, starter, data, whole, tmp_path):
    moments = random.Random(stop.__name__)
    kills = 0
    for attempt in range(100):
        folder = tmp_path / f"run{attempt}"
        spec = run_spec(data, folder)
        while True:
            process = starter.start(spec, folder / "log.txt")
            if kills < KILLS:
                process.join(moments.uniform(0.1, 0.9) * whole.seconds)
                if process.is_alive():
                    stop(process)
                    kills += 1
            process.join(PATIENCE)
            assert process.exitcode is not None, "the run hangs"
            if process.exitcode == 0:
                break
        assert_same_end(folder / "train", whole.folder)
        if kills >= KILLS:
            return
    pytest.fail("the runs end before they can be stopped")


def test_a_run_on_a_disk_that_was_full_ends_as_one_that_had_room(starter, data, whole, tmp_path):
    with small_disk(tmp_path / "disk", megabytes=200) as folder:
        spec, log = run_spec(data, folder), tmp_path / "log.txt"
        process = starter.start(spec, log)
        wait_for(folder / "train/model_epoch_000.pth")
        filler = fill(folder)
        process.join(PATIENCE)
        assert process.exitcode == 1
        assert "cannot be written" in error_line(log)
        filler.unlink()
        assert finished(starter.start(spec, log), log)
        assert_same_end(folder / "train", whole.folder)


def test_a_run_that_met_a_damaged_photo_ends_as_one_that_did_not(starter, data, whole, tmp_path):
    spec, log = run_spec(data, tmp_path), tmp_path / "log.txt"
    process = starter.start(spec, log)
    wait_for(tmp_path / "train/model_epoch_000.pth")
    terminate(process)
    process.join(PATIENCE)
    photo = data.images / json.loads(data.boxes.read_text())["images"][0]["file_name"]
    content = photo.read_bytes()
    photo.write_bytes(content[: len(content) // 2])
    process = starter.start(spec, log)
    process.join(PATIENCE)
    photo.write_bytes(content)
    assert process.exitcode == 1
    assert photo.name in error_line(log)
    assert finished(starter.start(spec, log), log)
    assert_same_end(tmp_path / "train", whole.folder)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.02)


def finished(process: Process, log: Path) -> bool:
    process.join(PATIENCE)
    return process.exitcode == 0 or pytest.fail(log.read_text())


def error_line(log: Path) -> str:
    lines = log.read_text().splitlines()
    assert not any("Traceback" in line for line in lines), log.read_text()
    (line,) = [line for line in lines if line.startswith("mal: error: ")]
    return line


def assert_same_end(folder: Path, whole: Path) -> None:
    assert_equal_states(training_state(folder / "mal_model_latest.pth"), training_state(whole / "mal_model_latest.pth"))
    assert logged_curves(folder / "tensorboard") == logged_curves(whole / "tensorboard")
    names = [sorted(path.name for path in each.glob("*.pth")) for each in (folder, whole)]
    assert names[0] == names[1]

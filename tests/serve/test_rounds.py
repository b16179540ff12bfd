from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mal.auto.choose import Choice
from mal.config.load import load_spec
from mal.config.recipes import RECIPES
from mal.errors import UserError
from mal.serve.fetch import StoppedEarly
from mal.serve.rounds import Round, TrainingRounds, recipe_spec, train_command

TRAINS = """
import os, signal, sys, time
from pathlib import Path
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
out = folder / "train"
out.mkdir(exist_ok=True)
alone = os.open(out / "alone", os.O_CREAT | os.O_EXCL)  # fails where another trains there
def stop(*_):
    (out / "alone").unlink()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
with (out / "starts").open("a") as starts:
    starts.write("x")
steps = out / "steps"
while (done := int(steps.read_text()) if steps.exists() and steps.read_text() else 0) < 10:
    time.sleep(seconds / 10)
    steps.write_text(str(done + 1))
(out / "priority").write_text(str(os.getpriority(os.PRIO_PROCESS, 0)))
(out / "mal_model_latest.pth").write_text("trained from " + sys.argv[3])
(out / "alone").unlink()
"""


def command(seconds: float, script: str = TRAINS):
    return lambda folder, start: [sys.executable, "-c", script, str(folder), str(seconds), start]


def collect(project: int, folder: Path, is_wanted) -> int:
    (folder / "boxes.json").write_text("{}")
    return 7


class Taken:
    """What was taken into use."""

    def __init__(self) -> None:
        self.checkpoints: list[Path] = []

    def __call__(self, checkpoint: Path) -> None:
        self.checkpoints.append(checkpoint)


@pytest.fixture
def made(tmp_path):
    """Makes rounds in one folder, again and again as servers would."""
    found: list[TrainingRounds] = []

    def make(seconds: float = 0.2, **more) -> TrainingRounds:
        options = {"collect": collect, "version": lambda path: f"v-{path.read_text()}", "use": Taken()} | more
        found.append(TrainingRounds(tmp_path / "runs", options.pop("command", command(seconds)), **options))
        return found[-1]

    yield make
    for rounds in found:
        rounds.close()


def end_of(rounds: TrainingRounds, seconds: float = 120) -> Round:
    limit = time.monotonic() + seconds
    while (last := rounds.rounds()[-1]).state in ("collecting", "training"):
        assert time.monotonic() < limit, last
        time.sleep(0.02)
    return last


def test_a_round_collects_trains_and_offers_a_version(made):
    rounds = made()
    started = rounds.start(5, Path("first.pth"))
    assert (started.name, started.state) == ("round-0001", "collecting")
    found = end_of(rounds)
    assert (found.state, found.project, found.boxes, found.is_better) == ("finished", 5, 7, None)
    assert found.version == "v-trained from first.pth"
    assert rounds.checkpoint(found.version) == rounds.folder / "round-0001/train/mal_model_latest.pth"
    assert rounds.checkpoint("another") is None
    assert (rounds.folder / "round-0001/train/priority").read_text() == "19"


@pytest.mark.parametrize("network", ["trained", "starter"])
def test_a_choice_decides_whether_the_trained_checkpoint_is_taken(made, network, caplog):
    caplog.set_level("INFO", "mal.serve")
    asked, taken = [], Taken()
    rounds = made(choose=lambda *given: asked.append(given) or Choice(network, "for a reason"), use=taken)
    rounds.start(5, Path("first.pth"))
    found = end_of(rounds)
    assert (found.is_better, found.reason) == (network == "trained", "for a reason")
    ((candidate, is_wanted),) = asked
    assert candidate.start == Path("first.pth")
    assert candidate.ann_path.is_file()
    assert is_wanted()
    assert taken.checkpoints == ([candidate.trained] if network == "trained" else [])
    assert "round-0001 is finished: for a reason" in caplog.messages


def test_a_choice_that_fails_leaves_the_checkpoint_to_people(made):
    def fail(*_):
        raise UserError("out of memory")

    taken = Taken()
    rounds = made(choose=fail, use=taken)
    rounds.start(5, Path("first.pth"))
    found = end_of(rounds)
    assert (found.state, found.is_better, taken.checkpoints) == ("finished", None, [])
    assert found.reason == "no choice was made: out of memory"
    assert rounds.checkpoint(found.version)


def test_a_choice_that_was_cut_short_is_made_when_the_server_starts_again(made):
    entered = []

    def choose_for_long(_, is_wanted):
        entered.append(1)
        while is_wanted():
            time.sleep(0.01)
        raise StoppedEarly

    first = made(choose=choose_for_long)
    first.start(5, Path("first.pth"))
    while not entered:
        time.sleep(0.01)
    first.close()
    assert first.rounds()[-1].state == "training"
    assert end_of(made(choose=lambda *_: Choice("trained", "better"))).is_better


def test_one_round_is_trained_at_a_time(made):
    rounds = made(seconds=60)
    rounds.start(5, Path("first.pth"))
    with pytest.raises(UserError, match="round-0001 is under way"):
        rounds.start(6, Path("first.pth"))
    rounds.cancel()
    assert end_of(rounds).state == "cancelled"
    assert rounds.start(6, Path("first.pth")).name == "round-0002"
    rounds.cancel()


def test_a_cancelled_round_ends_its_process(made):
    rounds = made(seconds=60)
    rounds.start(5, Path("first.pth"))
    while (process := rounds.rounds()[-1].process) is None:
        time.sleep(0.02)
    rounds.cancel()
    assert end_of(rounds).state == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(UserError, match="no training round is under way"):
        rounds.cancel()


def test_a_round_may_be_cancelled_while_it_collects(made):
    def collect_for_long(project, folder, is_wanted):
        while is_wanted():
            time.sleep(0.01)
        raise StoppedEarly

    rounds = made(collect=collect_for_long)
    rounds.start(5, Path("first.pth"))
    rounds.cancel()
    assert end_of(rounds).state == "cancelled"


def test_a_training_that_fails_tells_its_last_line(made):
    rounds = made(command=command(0, "print('mal: error: no boxes'); raise SystemExit(1)"))
    rounds.start(5, Path("first.pth"))
    found = end_of(rounds)
    assert (found.state, found.message) == ("failed", "mal: error: no boxes")
    assert rounds.start(5, Path("first.pth")).name == "round-0002"


def test_a_collection_that_fails_tells_why(made):
    def nothing(*_):
        raise UserError("project 5 has no rectangle")

    rounds = made(collect=nothing)
    rounds.start(5, Path("first.pth"))
    assert end_of(rounds).message == "project 5 has no rectangle"


def test_an_unexpected_error_of_a_round_leaves_the_server_alive(made):
    def broken(*_):
        raise KeyError("odd")

    rounds = made(collect=broken)
    rounds.start(5, Path("first.pth"))
    assert (end_of(rounds).state, end_of(rounds).message) == ("failed", "'odd'")


def test_a_round_goes_on_when_the_server_starts_again(made):
    first = made(seconds=3)
    first.start(5, Path("first.pth"))
    steps = first.folder / "round-0001/train/steps"
    while not steps.exists():
        time.sleep(0.02)
    first.close()
    assert first.rounds()[-1].state == "training"
    assert end_of(made()).state == "finished"
    assert (first.folder / "round-0001/train/starts").read_text() == "xx"


def test_a_folder_belongs_to_one_server(made):
    made()
    with pytest.raises(UserError, match="another server trains there"):
        made()


def test_a_damaged_state_is_told(made, tmp_path):
    folder = tmp_path / "runs/round-0001"
    folder.mkdir(parents=True)
    (folder / "round.json").write_text('{"name": 1')
    with pytest.raises(UserError, match=r"round\.json is damaged"):
        made()


SERVES = """
import sys, time
from pathlib import Path
from tests.serve.test_rounds import collect, command
from mal.serve.rounds import TrainingRounds
runs = Path(sys.argv[1])
rounds = TrainingRounds(runs, command(2), collect=collect, version=lambda path: "v", use=print)
if not rounds.rounds():
    rounds.start(5, Path("first.pth"))
print("started", flush=True)
time.sleep(100)
"""


def test_kills_of_the_server_at_any_moment_lose_no_round_and_never_train_twice_at_once(made, tmp_path, repository):
    moments = random.Random(0)
    for _ in range(5):
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src")])}
        arguments = [sys.executable, "-c", textwrap.dedent(SERVES), str(tmp_path / "runs")]
        with subprocess.Popen(arguments, env=env, cwd=repository, stdout=subprocess.PIPE) as server:
            assert server.stdout
            assert server.stdout.readline() == b"started\n"
            time.sleep(moments.random() * 0.5)
            server.send_signal(signal.SIGKILL)
    rounds = made(seconds=2)
    found = end_of(rounds)
    assert (found.state, found.message) == ("finished", None)
    assert [found.name for found in rounds.rounds()] == ["round-0001"]
    json.loads((tmp_path / "runs/round-0001/round.json").read_text())


def test_the_recipe_of_rounds_from_the_starter_is_written_once_and_may_be_changed(tmp_path):
    path = recipe_spec(tmp_path / "runs")
    assert load_spec(path, []) == RECIPES["from-starter"].spec()
    path.write_text("train: {num_epochs: 1}\n")
    assert recipe_spec(tmp_path / "runs").read_text() == "train: {num_epochs: 1}\n"


def test_the_command_trains_from_the_checkpoint_on_the_rectangles_of_the_round(tmp_path):
    line = train_command(Path("/specs/small.yaml"))(tmp_path, "first.pth")
    assert list(line[1:6]) == ["-m", "mal", "train", "-e", "/specs/small.yaml"]
    assert f"dataset.train_ann_path={tmp_path / 'training_boxes.json'}" in line
    assert {"model.pretrained=false", "train.pretrained_model_path=first.pth"} < set(line)

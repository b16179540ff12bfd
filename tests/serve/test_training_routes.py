from __future__ import annotations

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from mal.reading import AS_STORED
from mal.serve.app import app
from mal.serve.engine import Engine, file_version
from mal.serve.intake import Intake
from mal.serve.label_studio import LabelStudioBackend
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.models import Models
from mal.serve.pictures import Pictures
from mal.serve.rounds import TrainingRounds
from mal.serve.security import Security
from mal.serve.training_routes import LabelStudioTraining
from tests.serve.serving import ADDRESS
from tests.serve.test_rounds import collect, command

START = {"action": "START_TRAINING", "project": {"id": 5}}


@pytest.fixture
def client(tmp_path):
    first = tmp_path / "first.pth"
    first.write_bytes(b"first")
    models = Models(lambda path: (path, AS_STORED), first, tmp_path / "runs", "-3f2c")
    models.engine = engine = Engine(models.load(), 1)
    intake = Intake(most_requests=4, threads=1, seconds=30)
    seconds = {"first.pth": 0.2}
    rounds = TrainingRounds(
        tmp_path / "runs",
        lambda folder, start: command(seconds.get(Path(start).name, 60))(folder, start),
        collect=collect,
        version=file_version,
        use=models.use,
    )
    training = LabelStudioTraining(rounds, models, intake)
    backend = LabelStudioBackend(engine, Pictures(), intake, LabelStudioAccount(None, None), training)
    application = app([*training.routes(), *backend.routes()], Security.for_address("127.0.0.1", None))
    yield TestClient(application, base_url=ADDRESS)
    rounds.close()
    intake.close()
    engine.close()


def finished(client):
    limit = time.monotonic() + 120
    while (last := client.get("/v1/training").json()["rounds"][-1])["state"] in ("collecting", "training"):
        assert time.monotonic() < limit, last
        time.sleep(0.05)
    return last


def test_label_studio_starts_a_round_whose_model_can_be_taken_into_use(client):
    own = client.get("/versions").json()["versions"]
    assert client.post("/webhook", json=START).json() == {"status": "started", "round": "round-0001"}
    trained = f"{finished(client)['version']}-3f2c"
    assert client.get("/versions").json()["versions"] == [*own, trained]
    assert client.post("/v1/model", json={"version": trained}).json() == {"version": trained}
    assert client.get("/versions").json()["versions"] == [trained, *own]
    assert client.post("/v1/model", json={"version": own[0]}).json()["version"] == own[0]


def test_a_second_start_waits_for_the_end_of_the_first_and_a_cancel_ends_that(client):
    client.post("/webhook", json=START)
    client.post("/v1/model", json={"version": finished(client)["version"]})  # whose rounds take a minute here
    assert client.post("/webhook", json=START).status_code == 200
    answer = client.post("/webhook", json=START)
    assert (answer.status_code, "round-0002 is under way" in answer.json()["error"]) == (409, True)
    assert client.post("/v1/training/cancel").json() == {"status": "cancelling", "round": "round-0002"}
    assert finished(client)["state"] == "cancelled"
    assert client.post("/v1/training/cancel").status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/model", {"version": "mal-nothing"}, 404),
        ("/v1/model", {}, 400),
        ("/webhook", {"action": "START_TRAINING"}, 400),
        ("/webhook", {"action": "START_TRAINING", "project": {"id": "5"}}, 400),
        ("/webhook", {"action": "START_TRAINING", "project": {}}, 400),
    ],
)
def test_mistakes_get_one_clear_answer(client, path, body, status):
    answer = client.post(path, json=body)
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
    assert client.get("/v1/training").json() == {"rounds": []}

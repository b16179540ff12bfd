from __future__ import annotations

import logging

import numpy as np
import pytest

from mal.formats.label_studio_rle import decode
from mal.serve.label_studio import LabelStudioBackend
from mal.serve.label_studio_account import LabelStudioAccount
from tests.data.turned import as_seen, save_turned
from tests.serve.serving import HEIGHT, VERSION, WIDTH, pixels, png, serving, small_labeler

CONFIG = (
    '<View><Image name="image" value="$image"/><BrushLabels name="mask" toName="image"><Label value="nut"/>'
    '</BrushLabels><RectangleLabels name="box" toName="image" smart="true"><Label value="nut"/></RectangleLabels>'
    "</View>"
)
ADDRESS = "/data/local-files/?d=a.png"
INSIDE = [[5, 5, 40, 45], [7, 20, 35, 50], [28, 10, 70, 49]]


def region(number, box, width=WIDTH, height=HEIGHT):
    x0, y0, x1, y1 = box
    value = {"x": x0 / width * 100, "y": y0 / height * 100, "rotation": 0, "rectanglelabels": ["nut"]}
    value |= {"width": (x1 - x0) / width * 100, "height": (y1 - y0) / height * 100}
    return {"id": f"r{number}", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value}


def task(number=1, boxes=INSIDE, address=ADDRESS):
    regions = [region(place, box) for place, box in enumerate(boxes)]
    return {"id": number, "data": {"image": address}, "annotations": [{"result": regions}], "predictions": []}


class _Later(LabelStudioBackend):
    """The back end of a server that is made after its routes."""

    def __init__(self):
        pass


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "a.png").write_bytes(png())
    save_turned(folder / "turned.png", pixels(), 6)
    backend = _Later()
    with serving(images=[folder], routes=backend.routes()) as server:
        LabelStudioBackend.__init__(
            backend, server.engine, server.pictures, server.intake, LabelStudioAccount(None, None)
        )
        yield server.client


def predict(client, tasks, config=CONFIG, **params):
    return client.post("/predict", json={"tasks": tasks, "label_config": config, "project": "1.2", "params": params})


def brushes(result, shape=(HEIGHT, WIDTH)):
    return {found["id"]: decode(found["value"]["rle"], *shape) for found in result["result"]}


def test_rectangles_of_annotations_become_brush_masks(client):
    (result,) = predict(client, [task()]).json()["results"]
    expected = small_labeler().label(pixels(), np.round(INSIDE, 4), batch_size=4)
    found = brushes(result)
    assert result["model_version"] == VERSION
    for number, mask in enumerate(expected):
        np.testing.assert_array_equal(found.get(f"mal-r{number}", np.zeros_like(mask)), mask)
    first = result["result"][0]
    assert (first["from_name"], first["to_name"], first["type"]) == ("mask", "image", "brushlabels")
    assert first["value"]["brushlabels"] == ["nut"]
    assert result["score"] == min(found["score"] for found in result["result"])


def test_the_config_may_ask_for_polygons(client):
    config = CONFIG.replace("BrushLabels", "PolygonLabels")
    (result,) = predict(client, [task()], config).json()["results"]
    assert {found["type"] for found in result["result"]} == {"polygonlabels"}


def test_a_rectangle_that_is_being_drawn_becomes_a_mask(client):
    context = {"result": [region(9, INSIDE[0])]}
    (result,) = predict(client, [task(boxes=[])], context=context).json()["results"]
    assert brushes(result).keys() == {"mal-r9"}


def test_masks_lie_on_the_picture_as_the_browser_shows_it(client):
    seen = as_seen(pixels(), 6)
    height, width = seen.shape[:2]
    tasks = [task(boxes=[], address="/data/local-files/?d=turned.png")]
    box = [4, 6, 40, 60]
    context = {"result": [region(1, box, width, height)]}
    (result,) = predict(client, tasks, context=context).json()["results"]
    (expected,) = small_labeler().label(seen, [box])
    np.testing.assert_array_equal(brushes(result, (height, width))["mal-r1"], expected)


def test_there_is_one_answer_for_each_task_and_none_is_stored_for_those_that_fail(client, caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    missing = task(2, address="/data/local-files/?d=b.png")
    answer = predict(client, [missing, task(3), task(4, boxes=[])])
    results = answer.json()["results"]
    assert [bool(found) for found in results] == [False, True, False]
    assert results[0] == results[2] == []
    request_id = answer.headers["x-request-id"]
    assert any(line.startswith(f"{request_id} task 2: ") and "b.png" in line for line in caplog.messages)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"label_config": "<View/>"}, 422, "has no BrushLabels"),
        ({"label_config": None}, 400, "label_config must be"),
        ({"tasks": []}, 400, "at least one task"),
        ({"tasks": [1]}, 400, "at least one task"),
        ({"tasks": [task(address="/data/local-files/?d=../a.png")]}, 403, "no such file below"),
        ({"tasks": [task(address="http://127.0.0.1:1/a.png")]}, 403, "below no allowed prefix"),
        ({"tasks": [task() | {"data": {"photo": "a.png"}}]}, 422, "has no 'image'"),
        ({"tasks": [task(boxes=[[5, 5, 5, 9]])]}, 422, "a rectangle is broken"),
        ({"params": {"context": {"result": []}}}, 422, "draw one with a RectangleLabels tag"),
        ({"params": {"context": {"result": [{"type": "keypointlabels", "value": {"x": 1}}]}}}, 422, "draw one"),
    ],
)
def test_each_trap_has_one_clear_answer_and_the_next_request_is_served(client, change, status, said):
    answer = client.post("/predict", json={"tasks": [task()], "label_config": CONFIG} | change)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert predict(client, [task()]).status_code == 200


def test_a_box_outside_the_picture_is_told_in_the_log(client, caplog):
    caplog.set_level(logging.INFO, "mal.serve")
    (result,) = predict(client, [task(boxes=[INSIDE[0], [200, 200, 220, 220]])]).json()["results"]
    assert brushes(result).keys() == {"mal-r0"}
    assert any("region r1: the box lies outside the image" in line for line in caplog.messages)


def test_label_studio_connects_and_learns_the_version(client):
    body = {"project": "1.2", "schema": CONFIG, "hostname": "http://localhost:8080", "access_token": "abc"}
    assert client.post("/setup", json=body).json() == {"model_version": VERSION}
    assert client.get("/health").json()["status"] == "UP"
    assert client.get("/versions").json() == {"versions": [VERSION]}


def test_a_config_without_a_fitting_tag_is_refused_when_label_studio_connects(client):
    answer = client.post("/setup", json={"schema": "<View/>"})
    assert (answer.status_code, "has no BrushLabels" in answer.json()["error"]) == (422, True)


def test_other_events_are_taken_and_training_is_refused_where_the_server_does_not_train(client):
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED"}).json() == {"status": "ignored"}
    answer = client.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 1}})
    assert (answer.status_code, "--train-spec" in answer.json()["error"]) == (409, True)

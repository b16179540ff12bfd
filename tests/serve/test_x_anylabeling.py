from __future__ import annotations

import base64

import numpy as np
import pytest
from starlette.testclient import TestClient

from mal.masks.rle import mask_from_rle, rle_from_segmentation
from mal.serve.app import app
from mal.serve.security import Security
from mal.serve.x_anylabeling import x_anylabeling_routes
from tests.serve.serving import ADDRESS, HEIGHT, VERSION, WIDTH, pixels, png, serving, small_labeler

TOKEN = "a token that is long enough"
BOX = [5, 5, 40, 45]


@pytest.fixture(scope="module")
def labeler():
    return small_labeler()


@pytest.fixture
def client(labeler):
    with serving(labeler=labeler) as server:
        routes = x_anylabeling_routes(server.engine, server.pictures, server.intake)
        yield TestClient(
            app(routes, Security.for_address("127.0.0.1", TOKEN)), base_url=ADDRESS, headers={"Token": TOKEN}
        )


def body(*marks, image=None, model="mal", prefix="data:image/png;base64,"):
    content = base64.b64encode(png()).decode() if image is None else image
    return {"model": model, "image": prefix + content, "params": {"marks": list(marks), "conf_threshold": 0.3}}


def rectangle(*corners, label=1):
    return {"type": "rectangle", "data": list(corners), "label": label}


def test_the_model_is_listed_with_its_version_and_the_tools_for_rectangles(client):
    answer = client.get("/v1/models").json()
    assert answer["success"]
    assert VERSION in answer["data"]["mal"]["display_name"]
    assert {"name": "add_pos_rect", "value": None} in answer["data"]["mal"]["widgets"]


@pytest.mark.parametrize("prefix", ["data:image/png;base64,", ""])
@pytest.mark.parametrize("corners", [BOX, [40, 45, 5, 5]], ids=["down", "up"])
def test_a_rectangle_becomes_the_polygons_of_its_mask(client, labeler, prefix, corners):
    answer = client.post("/v1/predict", json=body(rectangle(*corners), prefix=prefix)).json()
    assert (answer["success"], answer["data"]["replace"]) == (True, False)
    shapes = answer["data"]["shapes"]
    assert {(shape["shape_type"], shape["group_id"]) for shape in shapes} == {("polygon", 1)}
    assert 0 <= shapes[0]["score"] <= 1
    polygons = [[value for point in shape["points"] for value in point] for shape in shapes]
    found = mask_from_rle(rle_from_segmentation(polygons, HEIGHT, WIDTH))
    (expected,) = labeler.label(pixels(), [BOX])
    assert np.logical_and(found, expected).sum() / np.logical_or(found, expected).sum() > 0.9


def test_a_box_outside_has_no_shape(client):
    answer = client.post("/v1/predict", json=body(rectangle(100, 100, 120, 120))).json()
    assert answer["data"]["shapes"] == []


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        (body(), 422, "masks are made of rectangles"),
        (body(rectangle(*BOX, label=0)), 422, "masks are made of rectangles"),
        (body({"type": "point", "data": [3, 4], "label": 1}), 422, "masks are made of rectangles"),
        (body(rectangle(1, 1, 1, 9)), 422, "a rectangle is broken"),
        (body(rectangle(*BOX), image="????"), 400, "image is no base64"),
        (body(rectangle(*BOX), image="bm8="), 422, "the picture"),
        (body(rectangle(*BOX), model="sam"), 404, "there is no model 'sam'"),
        ({"model": "mal"}, 400, "image: Field required"),
    ],
)
def test_mistakes_get_one_clear_answer_and_the_next_is_served(client, given, status, said):
    answer = client.post("/v1/predict", json=given)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.json()
    assert client.get("/v1/models").status_code == 200


@pytest.mark.parametrize("token", ["", "another token that is long", TOKEN[:-1]])
def test_its_token_header_is_checked(client, token):
    assert client.get("/v1/models", headers={"Token": token}).status_code == 401

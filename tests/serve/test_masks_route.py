from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mal.masks.rle import mask_from_rle, rle_from_segmentation
from tests.data.turned import as_seen, save_turned
from tests.serve.serving import BOXES, HEIGHT, VERSION, WIDTH, pixels, png, serving, small_labeler

OUTSIDE = [200, 200, 220, 220]


@pytest.fixture(scope="module")
def expected():
    return small_labeler().label(pixels(), BOXES, batch_size=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    (folder / "a.png").write_bytes(png())
    (folder / "text.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def client(folder):
    with serving(images=[folder]) as server:
        yield server.client


def ask(client, image, boxes=BOXES, **more):
    return client.post("/v1/masks", json={"image": image, "boxes_xyxy": boxes, **more})


@pytest.mark.parametrize("image", [{"path": "a.png"}, {"base64": base64.b64encode(png()).decode()}])
def test_masks_are_those_of_the_library(client, expected, image):
    answer = ask(client, image).json()
    assert (answer["width"], answer["height"], answer["model_version"]) == (WIDTH, HEIGHT, VERSION)
    masks = [mask_from_rle(found["mask"]) for found in answer["masks"]]
    np.testing.assert_array_equal(masks, expected)
    assert sum(mask.sum() for mask in masks) > 0
    assert all(0 <= found["score"] <= 1 for found in answer["masks"])


def test_the_picture_itself_may_be_the_body(client, expected):
    query = [("box", ",".join(map(str, box))) for box in BOXES]
    answer = client.post("/v1/masks", params=query, content=png(), headers={"Content-Type": "image/png"})
    np.testing.assert_array_equal([mask_from_rle(found["mask"]) for found in answer.json()["masks"]], expected)


def test_masks_come_as_polygons_and_as_pictures_too(client, expected):
    polygons = ask(client, {"path": "a.png"}, format="polygons").json()["masks"]
    pictures = ask(client, {"path": "a.png"}, format="png").json()["masks"]
    for mask, outline, picture in zip(expected, polygons, pictures, strict=True):
        if outline["mask"]:
            rle = rle_from_segmentation(outline["mask"], HEIGHT, WIDTH)
            np.testing.assert_array_equal(mask_from_rle(rle), mask)
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["mask"]))))
        np.testing.assert_array_equal(decoded > 0, mask)


def test_a_box_outside_has_no_mask_but_a_reason(client):
    found = ask(client, {"path": "a.png"}, [BOXES[0], OUTSIDE]).json()["masks"]
    assert found[0]["reason"] is None
    assert found[1] == {"mask": None, "score": None, "reason": "the box lies outside the image"}


def test_no_boxes_make_no_masks(client):
    assert ask(client, {"path": "a.png"}, []).json()["masks"] == []


def test_boxes_that_look_like_shares_are_told(client):
    answer = ask(client, {"path": "a.png"}, [[0.1, 0.1, 0.4, 0.5], [0.2, 0.3, 0.9, 0.9]]).json()
    assert "shares of its width and height" in answer["warning"]


def test_boxes_may_lie_on_the_upright_picture(tmp_path):
    save_turned(tmp_path / "turned.png", pixels(), 6)
    seen = as_seen(pixels(), 6)
    with serving(images=[tmp_path]) as server:
        answer = ask(server.client, {"path": "turned.png"}, [[2, 2, 30, 40]], exif="upright").json()
    assert (answer["width"], answer["height"]) == (seen.shape[1], seen.shape[0])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"image": {"path": "a.png"}}, 400, "boxes_xyxy: Field required"),
        ({"image": {}, "boxes_xyxy": []}, 400, "give one of path, base64 and url"),
        ({"image": {"path": "a.png", "url": "x"}, "boxes_xyxy": []}, 400, "give one of"),
        ({"image": {"path": "a.png"}, "boxes_xyxy": [[1, 2, 3]]}, 400, "boxes_xyxy.0"),
        ({"image": {"path": "a.png"}, "boxes_xyxy": [[5, 5, 3, 9]]}, 400, "not a box with x0 < x1"),
        ({"image": {"path": "a.png"}, "boxes_xyxy": [], "format": "bmp"}, 400, "format"),
        ({"image": {"path": "a.png"}, "boxes_xyxy": [], "colour": 1}, 400, "colour"),
        ({"image": {"base64": "?"}, "boxes_xyxy": []}, 400, "no base64"),
        (
            {"image": {"base64": "aGVsbG8="}, "boxes_xyxy": [[1, 2, 3, 4]]},
            422,
            'the picture is a text that begins with "hello"',
        ),
        ({"image": {"path": "text.png"}, "boxes_xyxy": [[1, 2, 3, 4]]}, 422, "text.png is a text that begins"),
        ({"image": {"path": "b.png"}, "boxes_xyxy": []}, 403, "no such file below"),
        ({"image": {"path": "../a.png"}, "boxes_xyxy": []}, 403, "no such file below"),
        ({"image": {"path": "/etc/passwd"}, "boxes_xyxy": []}, 403, "no such file below"),
        ({"image": {"path": "a\0.png"}, "boxes_xyxy": []}, 403, "no such file below"),
        ({"image": {"url": "http://127.0.0.1:1/a.png"}, "boxes_xyxy": []}, 403, "below no allowed prefix"),
    ],
)
def test_each_mistake_gets_one_clear_answer_and_the_next_request_is_served(client, body, status, said):
    answer = client.post("/v1/masks", json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert answer.json()["request"] == answer.headers["x-request-id"]
    assert ask(client, {"path": "a.png"}, []).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"", "image/png", 422),
        (png()[:60], "image/png", 422),
    ],
)
def test_odd_bodies_are_refused(client, content, kind, status):
    answer = client.post("/v1/masks", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_box_in_the_query_must_be_four_numbers(client):
    answer = client.post("/v1/masks?box=1,2,x,4", content=png(), headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.json()["error"]) == (400, "box='1,2,x,4' is not x0,y0,x1,y1")


def test_the_model_says_its_version(client):
    assert client.get("/v1/model").json()["version"] == VERSION


def test_a_route_that_is_not_there_is_told_as_json(client):
    answer = client.get("/v1/nothing")
    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cvat_sdk")

from cvat_sdk.core.client import AccessTokenCredentials, PasswordCredentials
from cvat_sdk.masks import decode_mask

from mal.errors import UserError
from mal.integrations.cvat_server import open_task
from mal.masks.paste import PastedMask
from tests.integrations.cvat_stand_in import PASSWORD, SIZE, TASK, TOKEN, USER, picture, stand_in

BY_TOKEN, BY_PASSWORD = AccessTokenCredentials(TOKEN), PasswordCredentials(USER, PASSWORD)


@pytest.fixture
def server():
    with stand_in() as found:
        yield found


def mask_in(x0, y0, x1, y1):
    return PastedMask(np.ones((y1 - y0, x1 - x0), bool), x0, y0, *SIZE, score=0.75)


@pytest.mark.parametrize("credentials", [BY_TOKEN, BY_PASSWORD], ids=["token", "password"])
def test_a_task_is_read_with_a_token_or_a_password(server, credentials):
    nut = server.add("rectangle", [10, 20, 50, 60])
    server.add("rectangle", [10, 20, 30, 60], frame=1, label=2, rotation=90.0)
    server.add("mask", [0, 4, 5, 6, 6, 7])
    server.add("polygon", [1, 2, 9, 2, 9, 8])
    server.add("points", [1, 2])
    server.num_tracks = 2
    with open_task(server.url, credentials, TASK, None) as task:
        found = task.shapes()
        pixels = task.frame(2)
    assert (task.name, task.num_frames, found.num_tracks) == ("nuts", 3, 2)
    first, second = found.rectangles
    assert (first.id, first.frame, first.label_id, first.xyxy) == (nut, 0, 1, (10, 20, 50, 60))
    np.testing.assert_allclose(second.xyxy, (0, 30, 40, 50))
    assert [outline.xyxy for outline in found.outlines] == [(5, 6, 7, 8), (1, 2, 9, 8)]
    assert pixels.shape == (SIZE[1], SIZE[0], 3)


def test_shapes_on_deleted_frames_are_left_alone(server):
    server.add("rectangle", [10, 20, 50, 60], frame=1)
    server.deleted = [1]
    with open_task(server.url, BY_TOKEN, TASK, None) as task:
        assert task.shapes().rectangles == []


def test_a_mask_is_written_in_cvat_s_form_with_what_its_rectangle_has(server):
    more = {"group": 7, "z_order": 3, "occluded": True, "attributes": [{"spec_id": 5, "value": "red"}]}
    server.add("rectangle", [10, 20, 50, 60], frame=2, label=2, **more)
    before = dict(server.shapes)
    with open_task(server.url, BY_TOKEN, TASK, None) as task:
        (rectangle,) = task.shapes().rectangles
        task.add_masks([(rectangle, mask_in(12, 22, 40, 50))])
    (mask,) = server.of_kind("mask")
    assert {key: mask[key] for key in more} == more
    assert (mask["frame"], mask["label_id"], mask["source"], mask["score"]) == (2, 2, "auto", 0.75)
    found = decode_mask(mask["points"], image_width=SIZE[0], image_height=SIZE[1])
    np.testing.assert_array_equal(found, mask_in(12, 22, 40, 50).full())
    assert before.items() <= server.shapes.items()


def test_removing_nothing_removes_nothing(server):
    kept, gone = server.add("rectangle", [1, 2, 3, 4]), server.add("rectangle", [5, 6, 7, 8])
    with open_task(server.url, BY_TOKEN, TASK, None) as task:
        task.remove(set())
        assert server.shapes.keys() == {kept, gone}
        task.remove({gone})
    assert server.shapes.keys() == {kept}


def test_a_label_that_takes_no_masks_is_told_before_anything_is_written(server):
    server.add("rectangle", [1, 2, 3, 4], label=3)
    with open_task(server.url, BY_TOKEN, TASK, None) as task:
        task.require_labels_for_masks([])
        with pytest.raises(UserError, match="the label 'hole' takes no masks: set its shape to Any"):
            task.require_labels_for_masks(task.shapes().rectangles)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the server has no frame 1"),
        (b"no picture", "frame 1"),
        (picture(0, (90, 120)), "frame 1 has 90 x 120 pixels, CVAT says 120 x 90"),
    ],
    ids=["missing", "no picture", "other size"],
)
def test_a_frame_that_cannot_be_used_is_told(server, content, said):
    server.pictures[1] = content
    with open_task(server.url, BY_TOKEN, TASK, None) as task, pytest.raises(UserError, match=said):
        task.frame(1)


@pytest.mark.parametrize(
    ("credentials", "number", "said"),
    [
        (AccessTokenCredentials("wrong"), TASK, r"refuses the token or password \(401\)"),
        (PasswordCredentials(USER, "wrong"), TASK, "the server answers 400: .*Unable to log in"),
        (BY_TOKEN, 43, "there is no task 43 that these credentials see"),
    ],
)
def test_a_refusal_is_one_clear_line(server, credentials, number, said):
    with pytest.raises(UserError, match=said) as told, open_task(server.url, credentials, number, None):
        pass
    assert "\n" not in str(told.value)
    assert "secret" not in str(told.value)


def test_an_error_of_a_write_is_told_in_one_line(server):
    server.add("rectangle", [10, 20, 50, 60])
    server.failing = 403
    with pytest.raises(UserError, match=r"may not read or change task 42 \(403\): .*the job is") as told:  # noqa: SIM117
        with open_task(server.url, BY_TOKEN, TASK, None) as task:
            task.add_masks([(task.shapes().rectangles[0], mask_in(12, 22, 40, 50))])
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://cvat.example.org"])
def test_a_server_that_is_not_there_is_told(url):
    with pytest.raises(UserError) as told, open_task(url, BY_TOKEN, TASK, None):
        pass
    assert "\n" not in str(told.value)

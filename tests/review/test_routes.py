"""The routes of a review: who may ask, what is shown, and decisions that never overwrite each other."""

from __future__ import annotations

import errno
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from mal.review.journal import journal_path, read_review
from mal.serve.engine import Model
from tests.review.reviewing import HEIGHT, TOKEN, WIDTH, disc, reviewing, write_labels
from tests.serve.serving import VERSION, small_labeler


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path)


@pytest.fixture
def review(labels):
    with reviewing(labels) as review:
        yield review


def test_the_page_opens_by_its_address_once_and_then_by_a_cookie(labels):
    with reviewing(labels, enters=False) as review:
        assert review.client.get("/").status_code == 401
        assert review.client.get("/enter?token=wrong").status_code == 401
        entered = review.client.get(f"/enter?token={TOKEN}", follow_redirects=False)
        assert entered.status_code == 303
        assert "HttpOnly" in entered.headers["set-cookie"]
        page = review.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_pages_of_others_are_refused_although_the_browser_sends_the_cookie(review, labels, headers):
    refused = review.client.post("/api/decide", json={}, headers=headers)
    assert refused.status_code == 403
    assert read_review(labels).decisions == {}


@pytest.mark.parametrize("name", ["../../cli.py", "%2e%2e/demo.yaml", "nothing.js", "review", "..\\demo.yaml"])
def test_only_files_of_the_page_are_sent(review, name):
    assert review.client.get(f"/assets/{name}").status_code == 404


def test_the_queue_has_columns_and_the_states_so_far(review):
    review.decide(4)
    overview = review.client.get("/api/queue").json()
    assert overview["queue"]["at"] == [0, 1, 2, 3, 4, 5]
    assert overview["queue"]["classes"] == ["nut", "bolt"]
    assert [(each["at"], each["state"], each["by"]) for each in overview["changes"]] == [(4, "accepted", "ann")]
    assert not overview["has_model"]


def test_a_mask_is_told_as_it_is_in_the_file_and_as_it_was_drawn(review):
    before = review.client.get("/api/masks/1").json()
    assert (before["state"], before["version"], before["drawn"]) == ("undecided", 0, None)
    assert before["original"] == disc(58, 40, 14)
    drawn = disc(58, 40, 9)
    review.decide(1, "edited", segmentation=drawn, bbox=[50, 31, 18, 18])
    after = review.client.get("/api/masks/1").json()
    assert (after["state"], after["version"], after["drawn"], after["bbox"]) == ("edited", 1, drawn, [50, 31, 18, 18])
    assert after["original"] == before["original"]


def test_a_decision_is_in_the_journal_when_it_is_confirmed(review, labels):
    answer = review.decide(2, "rejected")
    assert answer.json()["version"] == 1
    assert read_review(labels).decisions[2].state == "rejected"


def test_a_second_reviewer_is_told_and_overwrites_nothing(review, labels):
    review.decide(0, "rejected", by="ann")
    late = review.decide(0, "accepted", by="eve", operation="late")
    assert (late.status_code, late.json()["kind"]) == (409, "stale")
    assert "ann has decided on this mask meanwhile (rejected): nothing was overwritten" in late.json()["error"]
    assert read_review(labels).decisions[0].state == "rejected"
    assert review.decide(0, "accepted", base=1, by="eve").status_code == 200


def test_an_answer_that_got_lost_is_given_again(review):
    first = review.decide(0)
    assert review.decide(0).json() == first.json()


def test_a_label_file_that_was_changed_takes_no_decisions_and_the_page_is_told(review, labels):
    review.decide(0)
    labels.write_text(labels.read_text().replace("nut", "net"))
    refused = review.decide(1)
    assert (refused.status_code, refused.json()["kind"]) == (409, "file-changed")
    assert "was changed by another program" in review.client.get("/api/changes?since=0").json()["problem"]
    assert len(journal_path(labels).read_bytes().splitlines()) == 2


def test_a_full_disk_says_that_nothing_was_saved(review, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        refused = review.decide(0)
    assert (refused.status_code, refused.json()["kind"]) == (507, "disk")
    assert "was NOT saved: No space left on device" in refused.json()["error"]
    assert review.decide(0, operation="again").status_code == 200


def test_a_body_of_2_gb_is_refused_before_it_is_read(review):
    refused = review.client.post(
        "/api/decide", content=b"{}", headers={"Content-Length": str(2 * 2**30), "Content-Type": "application/json"}
    )
    assert refused.status_code == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"state": "fine"}, 400),
        ({"state": "edited"}, 422),
        ({"state": "edited", "segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}}, 422),
        ({"state": "edited", "segmentation": {"size": [1, 2], "counts": "00"}}, 422),
        ({"at": 99}, 422),
        ({"bbox": [0, 0, -5, 5]}, 422),
        ({"bbox": [500, 0, 5, 5]}, 422),
        ({"more": 1}, 400),
    ],
)
def test_what_is_no_decision_is_refused(review, labels, body, status):
    whole = {"at": 0, "base": 0, "operation": "x", "state": "accepted"} | body
    assert review.client.post("/api/decide", json=whole).status_code == status
    assert read_review(labels).decisions == {}


def test_changes_of_others_are_told_after_a_number(review):
    review.decide(0)
    number = review.client.get("/api/changes?since=0").json()["number"]
    review.decide(1, "skipped")
    told = review.client.get(f"/api/changes?since={number}").json()
    assert [(each["at"], each["state"]) for each in told["changes"]] == [(1, "skipped")]


def test_pictures_are_sent_whole_and_in_parts(review):
    whole = Image.open(io.BytesIO(review.client.get("/api/pictures/0").content))
    part = Image.open(io.BytesIO(review.client.get("/api/pictures/0/part?x=8&y=28&width=24&height=24").content))
    assert (whole.size, part.size) == ((WIDTH, HEIGHT), (24, 24))
    middle = np.asarray(part)[8:16, 8:16].mean(axis=(0, 1))
    assert np.abs(middle - (200, 160, 60)).max() < 6
    assert review.client.get("/api/pictures/0/part?x=110&y=0&width=24&height=24").status_code == 422


def test_a_missing_picture_is_one_clear_answer_and_its_mask_can_be_decided(review, labels):
    (labels.parent / "images" / "0.png").unlink()
    answer = review.client.get("/api/pictures/0")
    assert answer.status_code == 422
    assert "0.png does not exist" in answer.json()["error"]
    assert review.decide(0).status_code == 200


def test_a_name_that_leads_out_of_the_folder_shows_nothing(tmp_path):
    labels = write_labels(tmp_path)
    document = json.loads(labels.read_text())
    document["images"][1]["file_name"] = "../masks.json"
    labels.write_text(json.dumps(document))
    with reviewing(labels) as review:
        assert review.client.get("/api/pictures/1").status_code == 422


def test_a_mask_of_the_file_that_cannot_be_read_is_told(tmp_path):
    labels = write_labels(tmp_path)
    document = json.loads(labels.read_text())
    document["annotations"][0]["segmentation"] = {"size": [2, 2], "counts": "04"}
    labels.write_text(json.dumps(document))
    with reviewing(labels) as review:
        mask = review.client.get("/api/masks/0").json()
    assert mask["original"] is None
    assert "cannot be read: the RLE has size" in mask["problem"]


def test_a_redrawn_box_gets_a_mask_of_the_model_at_once(labels):
    with reviewing(labels, model=lambda: Model(small_labeler(), VERSION)) as review:
        found = review.client.post("/api/redraw", json={"at": 0, "bbox": [4, 24, 32, 32]}).json()
    assert found["model"] == VERSION
    assert found["segmentation"]["size"] == [HEIGHT, WIDTH]


def test_without_a_model_a_redrawn_box_says_how_to_go_on(review):
    refused = review.client.post("/api/redraw", json={"at": 0, "bbox": [4, 24, 32, 32]})
    assert refused.status_code == 422
    assert "draw it with the brush or a polygon" in refused.json()["error"]

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mal.coco.coco_file import read_coco
from mal.data.images import read_image
from mal.errors import UserError
from mal.reading import Reading
from mal.serve.fetch import StoppedEarly
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.label_studio_project import collect_project
from mal.serve.pictures import Pictures
from tests.data.turned import as_seen, save_turned
from tests.serve.serving import pixels, png
from tests.serve.test_label_studio import CONFIG, INSIDE, region, task

TOKEN = "0123456789abcdef"


class _Studio(BaseHTTPRequestHandler):
    def do_GET(self):
        is_known = self.headers["Authorization"] == f"Token {TOKEN}"
        found = {
            "/api/projects/5/": lambda: json.dumps({"label_config": CONFIG}).encode(),
            "/api/projects/5/export?exportType=JSON": lambda: json.dumps(self.server.tasks).encode(),
            "/data/upload/5/up.png": png,
        }.get(self.path)
        content = found() if found and is_known else b""
        self.send_response(200 if content else 404)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def studio():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Studio) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def collected(studio, tmp_path):
    """Collects tasks of a project; returns the number of boxes, the COCO file and its folder of pictures."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(png())
    save_turned(tmp_path / "photos/turned.jpg", pixels(), 6)

    def collect(*tasks, is_wanted=lambda: True):
        studio.tasks = list(tasks)
        account = LabelStudioAccount(f"http://127.0.0.1:{studio.server_port}", TOKEN)
        pictures = Pictures([tmp_path / "photos"], account.prefixes)
        out = tmp_path / "round"
        out.mkdir(exist_ok=True)
        count = collect_project(5, out, account, pictures, is_wanted)
        return count, json.loads((out / "boxes.json").read_text()), out

    return collect


def test_rectangles_and_pictures_become_a_coco_file_and_a_folder(collected):
    count, document, out = collected(task(1), task(2, INSIDE[:1], "/data/upload/5/up.png"), task(3, []))
    assert count == 4
    assert [image["file_name"] for image in document["images"]] == ["0000001.png", "0000002.png"]
    np.testing.assert_array_equal(read_image(out / "images/0000002.png"), pixels())
    np.testing.assert_allclose(document["annotations"][0]["bbox"], [5, 5, 35, 40], atol=1e-3)
    assert document["categories"] == [{"id": 1, "name": "nut"}]
    assert read_coco(out / "boxes.json").notes == []


def test_sizes_and_boxes_are_those_of_the_upright_picture(collected):
    height, width = as_seen(pixels(), 6).shape[:2]
    turned = task(1, [], "/data/local-files/?d=turned.jpg")
    turned["annotations"] = [{"result": [region(1, [4, 6, 40, 60], width, height)]}]
    _, document, out = collected(turned)
    (image,) = document["images"]
    assert (image["width"], image["height"]) == (width, height)
    assert read_image(out / "images" / image["file_name"], Reading(exif="upright")).shape[:2] == (height, width)


def test_rectangles_of_predictions_are_not_learned_from(collected):
    predicted = task(1, [])
    predicted["predictions"] = task(1)["annotations"]
    with pytest.raises(UserError, match="project 5 has no rectangle"):
        collected(predicted)


def test_a_task_whose_picture_is_missing_is_left_out(collected, caplog):
    caplog.set_level("INFO", "mal.serve")
    count, document, _ = collected(task(1, INSIDE, "/data/local-files/?d=no.png"), task(2))
    assert (count, len(document["images"])) == (3, 1)
    assert any("task 1 is left out" in line for line in caplog.messages)


def test_a_project_that_is_not_there_is_told(studio, tmp_path):
    account = LabelStudioAccount(f"http://127.0.0.1:{studio.server_port}", TOKEN)
    with pytest.raises(UserError, match="the answer is 404"):
        collect_project(6, tmp_path, account, Pictures())
    with pytest.raises(UserError, match="say where it is with --label-studio"):
        collect_project(5, tmp_path, LabelStudioAccount(None, None), Pictures())


def test_a_collection_that_nobody_wants_stops(collected):
    with pytest.raises(StoppedEarly):
        collected(task(1), is_wanted=lambda: False)

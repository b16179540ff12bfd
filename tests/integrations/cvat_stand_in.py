"""A small stand-in of a CVAT server: the endpoints that `mal cvat label` uses, with bodies of cvat-sdk's models."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from cvat_sdk import models
from cvat_sdk.api_client import ApiClient
from PIL import Image

TASK = 42
TOKEN, USER, PASSWORD = "pat-1", "ann", "secret"
SIZE = (120, 90)
LABELS = {1: ("nut", "any"), 2: ("screw", "any"), 3: ("hole", "rectangle")}


def body_of(model: Any) -> Any:
    """A model as JSON values, as the server sends them."""
    return ApiClient.sanitize_for_serialization(model)


def picture(number: int, size: tuple[int, int] = SIZE) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class StandIn(ThreadingHTTPServer):
    """The server, with one task.

    Attributes:
        shapes: of the task, by id.
        deleted: numbers of its deleted frames.
        num_frames: of the task.
        num_tracks: of the task.
        failing: status of the answer to each write; None writes.
        asked: method and path of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.shapes: dict[int, dict[str, Any]] = {}
        self.deleted: list[int] = []
        self.num_frames, self.num_tracks = 3, 0
        self.failing: int | None = None
        self.pictures = {number: picture(number) for number in range(3)}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, kind: str, points: list[float], frame: int = 0, label: int = 1, **more: Any) -> int:
        """Add a shape as a person draws it; returns its id."""
        request = models.LabeledShapeRequest(
            type=kind, points=list(map(float, points)), frame=frame, label_id=label, **more
        )
        return self._keep(body_of(request))

    def _keep(self, shape: dict[str, Any]) -> int:
        number = max(self.shapes, default=100) + 1
        self.shapes[number] = {"group": 0, "attributes": [], "elements": []} | shape | {"id": number}
        return number

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [shape for shape in self.shapes.values() if shape["type"] == kind]


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_GET(self) -> None:
        path, query = self._asked()
        answers = {
            "/api/server/about": self._about,
            f"/api/tasks/{TASK}": self._task,
            f"/api/tasks/{TASK}/data/meta": self._meta,
            "/api/labels": self._labels,
            f"/api/tasks/{TASK}/annotations/": self._annotations,
        }
        if path == "/api/server/about":
            self._send(200, self._about())
        elif not self._is_known():
            self._send(401, {"detail": "Authentication credentials were not provided."})
        elif path == f"/api/tasks/{TASK}/data/" and query["type"] == ["frame"]:
            assert query["quality"] == ["original"]
            content = self.server.pictures.get(int(query["number"][0]))
            self._send(404 if content is None else 200, content or b"", "image/png")
        elif path in answers:
            self._send(200, answers[path]())
        else:
            self._send(404, {"detail": "Not found."})

    def do_POST(self) -> None:
        path, _ = self._asked()
        given = self._json()
        if path != "/api/auth/login":
            self._send(404, {})
        elif (given.get("username"), given.get("password")) != (USER, PASSWORD):
            self._send(400, {"non_field_errors": ["Unable to log in with provided credentials."]})
        else:
            cookies = [("Set-Cookie", "sessionid=s; Path=/"), ("Set-Cookie", "csrftoken=c; Path=/")]
            self._send(200, {"key": "k"}, headers=cookies)

    def do_PATCH(self) -> None:
        path, query = self._asked()
        data = self._json()
        assert path == f"/api/tasks/{TASK}/annotations/"
        for shape in data["shapes"]:
            models.LabeledShapeRequest._from_openapi_data(**shape, _spec_property_naming=True)
        if not self._is_known():
            self._send(401, {})
        elif self.server.failing is not None:
            self._send(self.server.failing, {"detail": "the job is\nlocked"})
        else:
            with self.server.lock:
                for shape in data["shapes"]:
                    if query["action"] == ["create"]:
                        self.server._keep(shape)
                    else:
                        assert query["action"] == ["delete"]
                        del self.server.shapes[shape["id"]]
            self._send(200, self._annotations())

    def _about(self) -> Any:
        return body_of(models.About._from_openapi_data("CVAT", "", "2.80.0", "", ""))

    def _task(self) -> Any:
        summaries = {"jobs": models.JobsSummary(completed=0, validation=0), "labels": models.LabelsSummary()}
        return body_of(
            models.TaskRead._from_openapi_data(
                **summaries, id=TASK, name="nuts", size=self.server.num_frames, organization=None
            )
        )

    def _meta(self) -> Any:
        frames = [
            models.FrameMeta._from_openapi_data(name=f"{number}.png", related_files=0, width=SIZE[0], height=SIZE[1])
            for number in range(self.server.num_frames)
        ]
        now = datetime.now(timezone.utc)
        meta = models.DataMetaRead._from_openapi_data(
            chunks_updated_date=now, frames=frames, deleted_frames=self.server.deleted
        )
        return body_of(meta)

    def _labels(self) -> Any:
        labels = [
            models.Label._from_openapi_data(name, id=number, type=kind) for number, (name, kind) in LABELS.items()
        ]
        return {"count": len(labels), "next": None, "previous": None, "results": body_of(labels)}

    def _annotations(self) -> Any:
        shapes = [models.LabeledShape._from_openapi_data(**shape) for shape in self.server.shapes.values()]
        tracks = [
            models.LabeledTrack._from_openapi_data(label_id=1, frame=0, shapes=[], id=number)
            for number in range(self.server.num_tracks)
        ]
        return body_of(models.LabeledData(version=0, tags=[], shapes=shapes, tracks=tracks))

    def _asked(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        self.server.asked.append(f"{self.command} {parts.path}")
        return parts.path, parse_qs(parts.query)

    def _json(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _is_known(self) -> bool:
        by_token = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        return by_token or "sessionid=s" in self.headers.get("Cookie", "")

    def _send(
        self, status: int, content: Any, kind: str = "application/json", headers: list[tuple[str, str]] | None = None
    ) -> None:
        sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(sent)))
        for name, value in headers or []:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def stand_in() -> Iterator[StandIn]:
    with StandIn() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()

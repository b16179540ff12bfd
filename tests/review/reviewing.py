"""A small label file with pictures, for the tests of the review."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from mal.coco.coco_file import read_coco
from mal.files import sha256
from mal.masks.rle import Rle, rle_from_mask
from mal.reading import AS_STORED
from mal.review.journal import journal_path
from mal.review.journal_writer import Act, open_journal
from mal.review.pictures import ReviewPictures
from mal.review.queue import ReviewQueue
from mal.review.routes import ENTER, review_routes
from mal.review.session import ReviewModel, Session
from mal.serve.app import app
from mal.serve.engine import Model
from mal.serve.intake import Intake
from mal.serve.security import Security

WIDTH, HEIGHT = 120, 80


def disc(x: float, y: float, radius: float, width: int = WIDTH, height: int = HEIGHT) -> Rle:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return rle_from_mask((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def write_labels(folder: Path, *, images: int = 2, of_each: int = 3, with_masks: bool = True) -> Path:
    """`masks.json`, and its pictures in `images/`; scores rise with the position."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT} for number in range(images)
        ],
        "annotations": [],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "bolt"}],
    }
    for number in range(images):
        noise = np.random.default_rng(number).integers(40, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        for index in range(of_each):
            position = number * of_each + index
            x, radius = 20 + 38 * (index % 3), 14
            record = {
                "id": 100 + position,
                "image_id": number,
                "category_id": 1 + position % 2,
                "bbox": [x - radius, 40 - radius, 2 * radius, 2 * radius],
                "iscrowd": 0,
            }
            if with_masks:
                rle = disc(x, 40, radius)
                record |= {"segmentation": rle, "area": 615, "mask_score": (position + 1) / 100}
            document["annotations"].append(record)
            rows, columns = np.mgrid[:HEIGHT, :WIDTH]
            noise[(columns - x) ** 2 + (rows - 40) ** 2 <= radius**2] = (200, 160, 60)
        Image.fromarray(noise).save(folder / "images" / f"{number}.png")
    path = folder / "masks.json"
    path.write_text(json.dumps(document))
    return path


def act(position: int, state: Any = "accepted", *, base: int = 0, operation: str | None = None, **more: Any) -> Act:
    return Act(position, state, "ann", operation or f"{position}-{base}-{state}", base, **more)


def decide_one_of_each(labels: Path, drawn: Any) -> None:
    """Accept the first annotation of a label file, draw the second, reject the third, and begin to draw the fourth."""
    with open_journal(labels, sha256(labels), journal_path(labels)) as writer:
        for each in (
            act(0),
            act(1, "edited", segmentation=drawn),
            act(2, "rejected"),
            act(3, "draft", segmentation=drawn),
        ):
            writer.decide(each, 0)


TOKEN = "a-token-of-the-tests-0123"


@dataclass(frozen=True)
class Review:
    """A server of a review in this process, and a client that has entered."""

    client: TestClient
    session: Session

    def decide(self, position: int, state: str = "accepted", *, base: int = 0, **more: Any) -> Any:
        body = {"at": position, "state": state, "base": base, "operation": f"{position}-{base}-{state}", "by": "ann"}
        return self.client.post("/api/decide", json=body | more)


@contextmanager
def review_app(labels: Path, model: ReviewModel) -> Iterator[tuple[Starlette, Session]]:
    """The application of a review, whose page opens at `ENTER` with `TOKEN`."""
    coco = read_coco(labels)
    queue = ReviewQueue(coco, labels.parent / "images", AS_STORED)
    intake = Intake(most_requests=8, threads=2, seconds=30)
    security = Security(frozenset({"127.0.0.1"}), TOKEN, frozenset({ENTER}), "review")
    with open_journal(labels, sha256(labels), journal_path(labels)) as writer:
        session = Session(coco, queue, ReviewPictures(labels.parent / "images"), writer, model, "bob")
        routes = review_routes(session, security, intake, lambda name: {"path": name, "lines": [f"{name}: done"]})
        try:
            yield app(routes, security), session
        finally:
            intake.close()
            model.close()


@contextmanager
def reviewing(labels: Path, *, model: Callable[[], Model] | None = None, enters: bool = True) -> Iterator[Review]:
    """A review and a client of it."""
    with review_app(labels, ReviewModel(model)) as (application, session):
        client = TestClient(application, base_url="http://127.0.0.1:9090", raise_server_exceptions=False)
        if enters:
            client.get(f"{ENTER}?token={TOKEN}")
        yield Review(client, session)

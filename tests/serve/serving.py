"""A small server for the tests of its routes."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from starlette.routing import BaseRoute
from starlette.testclient import TestClient

from mal.labeler import MaskAutoLabeler
from mal.models.ema import make_teacher
from mal.models.from_spec import crop_settings
from mal.models.prediction_mode import PredictionMode
from mal.serve.app import app
from mal.serve.engine import Engine, Model
from mal.serve.fetch import Prefix
from mal.serve.intake import Intake
from mal.serve.masks_route import masks_routes
from mal.serve.pictures import Pictures
from mal.serve.security import Security
from tests.small_networks import small_network, small_spec

WIDTH, HEIGHT = 70, 50
BOXES = [[5.0, 5, 40, 45], [-10, 20, 30, 80], [30.5, 10.5, 69.5, 49]]
ADDRESS = "http://127.0.0.1:9090"
VERSION = "mal-small-000000000000"


def small_labeler() -> MaskAutoLabeler:
    """A network of random weights, whose threshold is the median of its probabilities in the crops of `pixels`."""
    spec = small_spec(dataset={"crop_size": 64})
    student = small_network()
    labeler = MaskAutoLabeler(
        student, make_teacher(student), crop=crop_settings(spec), thresholds=[0.5], mode=PredictionMode()
    )
    (batch,) = labeler.crops(pixels(), BOXES, batch_size=len(BOXES))
    probs = labeler.probabilities(batch)
    labeler.thresholds = [float(np.median(probs[batch.box_mask > 0]))]
    return labeler


def pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def png(seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(seed)).save(file, "PNG")
    return file.getvalue()


@contextmanager
def listening(folder: Path, *, token: str | None = None, queue: int = 64, batch_size: int = 8) -> Iterator[int]:
    """Serve `/v1` on a port of this machine, with the pictures of a folder; yields the port."""
    engine = Engine(Model(small_labeler(), VERSION), batch_size)
    intake = Intake(most_requests=queue, threads=8, seconds=60)
    routes: list[BaseRoute] = [*masks_routes(engine, Pictures([folder]), intake)]
    config = uvicorn.Config(app(routes, Security.for_address("127.0.0.1", token)), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        intake.close()
        engine.close()


@dataclass(frozen=True)
class Server:
    """A server in this process, and a client of it."""

    client: TestClient
    engine: Engine
    intake: Intake
    pictures: Pictures


@contextmanager
def serving(
    *,
    images: Sequence[Path] = (),
    prefixes: Sequence[Prefix] = (),
    security: Security | None = None,
    most_requests: int = 16,
    seconds: float = 30.0,
    routes: Sequence[BaseRoute] = (),
    labeler: MaskAutoLabeler | None = None,
) -> Iterator[Server]:
    """Serve `/v1` and further routes."""
    engine = Engine(Model(labeler or small_labeler(), VERSION), batch_size=4)
    intake = Intake(most_requests=most_requests, threads=4, seconds=seconds)
    pictures = Pictures(images, prefixes)
    rules = security or Security.for_address("127.0.0.1", None)
    try:
        application = app([*masks_routes(engine, pictures, intake), *routes], rules)
        yield Server(TestClient(application, base_url=ADDRESS), engine, intake, pictures)
    finally:
        intake.close()
        engine.close()

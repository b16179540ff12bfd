"""Two hundred clients at once, on this machine alone and for a bounded time."""

from __future__ import annotations

import http.client
import json
import resource
import sys
import threading
import time
from collections import Counter

import pytest
import uvicorn
from starlette.routing import Route

from mal.serve.app import app
from mal.serve.engine import Engine, Model
from mal.serve.intake import Intake
from mal.serve.masks_route import masks_routes
from mal.serve.pictures import Pictures
from mal.serve.security import Security
from tests.serve.serving import BOXES, VERSION, png, small_labeler

CLIENTS = 200
SECONDS = 15.0
QUEUE = 64
MEGABYTES_AT_MOST = 300


@pytest.fixture
def port(tmp_path):
    for seed in range(8):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    engine = Engine(Model(small_labeler(), VERSION), batch_size=8)
    intake = Intake(most_requests=QUEUE, threads=8, seconds=60)
    routes: list[Route] = masks_routes(engine, Pictures([tmp_path]), intake)
    config = uvicorn.Config(app(routes, Security.for_address("127.0.0.1", None)), port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()
    intake.close()
    engine.close()


def client(port: int, number: int, end: float, found: Counter[int], seconds: list[float], wrong: list[str]) -> None:
    body = json.dumps({"image": {"path": f"{number % 8}.png"}, "boxes_xyxy": BOXES})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    while time.monotonic() < end:
        start = time.monotonic()
        connection.request("POST", "/v1/masks", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
        found[answer.status] += 1
        if answer.status == 200:
            seconds.append(time.monotonic() - start)
            if [bool(mask["mask"]) for mask in content["masks"]] != [True] * len(BOXES):
                wrong.append(str(content))
        elif answer.status == 503 and int(answer.getheader("Retry-After", "0")) >= 1:
            time.sleep(0.2)  # sooner than asked, to keep the server busy
        else:
            wrong.append(f"{answer.status} {content}")
    connection.close()


@pytest.mark.slow
def test_two_hundred_clients_get_masks_or_are_asked_to_come_again(port):
    found: Counter[int] = Counter()
    seconds: list[float] = []
    wrong: list[str] = []
    before = peak_megabytes()
    end = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=client, args=(port, number, end, found, seconds, wrong)) for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert set(found) <= {200, 503}
    assert found[200] > 0
    assert peak_megabytes() - before < MEGABYTES_AT_MOST
    p95 = sorted(seconds)[int(0.95 * len(seconds))]
    print(f"{dict(found)} in {SECONDS:g} s; of the answers with masks p95 {p95:.2f} s", file=sys.stderr)


def peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024**2)

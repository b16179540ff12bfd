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

from tests.serve.serving import BOXES, listening, png

CLIENTS = 200
QUEUE = 64
MEGABYTES_AT_MOST = 300


@pytest.fixture
def port(tmp_path):
    for seed in range(8):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    with listening(tmp_path, queue=QUEUE) as port:
        yield port


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


@pytest.mark.parametrize(
    "duration", [pytest.param(5.0, marks=pytest.mark.slow), pytest.param(60.0, marks=pytest.mark.clients)]
)
def test_two_hundred_clients_get_masks_or_are_asked_to_come_again(port, duration):
    found: Counter[int] = Counter()
    seconds: list[float] = []
    wrong: list[str] = []
    before = peak_megabytes()
    end = time.monotonic() + duration
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
    grown = peak_megabytes() - before
    p95 = sorted(seconds)[int(0.95 * len(seconds))]
    print(f"{dict(found)} in {duration:g} s; p95 of the answers with masks {p95:.2f} s; {grown:.0f} MB more memory")
    assert grown < MEGABYTES_AT_MOST


def peak_megabytes() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform == "linux" else 1024**2)

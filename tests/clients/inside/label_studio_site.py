"""A Label Studio server of its own, and a person who is logged in to it."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import requests

EMAIL, PASSWORD = "a@example.org", "a long enough one"
SECONDS_TO_START = 1800  # a busy machine takes ten minutes to make the database


@contextmanager
def started_site(**settings):
    """Start a server in the current folder, with settings of its environment; ends it with the block."""
    port = _free_port()
    command = [str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser", "--port", str(port)]
    command += ["--data-dir", str(Path.cwd() / "data"), "--username", EMAIL, "--password", PASSWORD]
    env = {**os.environ, **settings}
    with Path("server.log").open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        try:
            site = Site(f"http://127.0.0.1:{port}")
            site.log_in()
            yield site
        finally:
            server.terminate()


class Site:
    """A server, and a person who is logged in to it."""

    def __init__(self, address):
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy

    def get(self, path):
        return self.session.get(self.address + path, timeout=120)

    def send(self, path, body, method="POST"):
        headers = {"X-CSRFToken": self.session.cookies["csrftoken"], "Referer": self.address}
        return self.session.request(method, self.address + path, json=body, headers=headers, timeout=120)

    def post(self, path, body, method="POST"):
        answer = self.send(path, body, method)
        assert answer.ok, (path, answer.status_code, answer.text)
        return answer.json() if answer.text else None

    def log_in(self):
        page = self._first_page().text
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)[1]
        form = {"email": EMAIL, "password": PASSWORD, "csrfmiddlewaretoken": token}
        headers = {"Referer": f"{self.address}/user/login/"}
        answer = self.session.post(f"{self.address}/user/login/", data=form, headers=headers, allow_redirects=False)
        assert answer.status_code == 302, answer.text

    def _first_page(self):
        limit = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                return self.get("/user/login/")
            except requests.ConnectionError:
                assert time.monotonic() < limit, Path("server.log").read_text()
                time.sleep(0.5)


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]

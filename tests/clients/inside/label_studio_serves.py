"""Start a Label Studio server, import tasks, and print the status and the size of each picture that it is asked for.

Arguments: the task file, the labelling settings, the document root of local files, and the folder of the pictures.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import requests

EMAIL, PASSWORD = "a@example.org", "a long enough one"
SECONDS_TO_START = 600
LOCAL_FILES = "LABEL_STUDIO_LOCAL_FILES_"


def main(tasks, label_config, root, images):
    port = _free_port()
    env = {**os.environ, f"{LOCAL_FILES}SERVING_ENABLED": "true", f"{LOCAL_FILES}DOCUMENT_ROOT": root}
    command = [str(Path(sys.executable).with_name("label-studio")), "start", "--no-browser", "--port", str(port)]
    command += ["--data-dir", str(Path.cwd() / "data"), "--username", EMAIL, "--password", PASSWORD]
    with Path("server.log").open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as server:
        try:
            print(json.dumps(_import_and_ask(Site(f"http://127.0.0.1:{port}"), tasks, label_config, images)))
        finally:
            server.terminate()


def _import_and_ask(site, tasks, label_config, images):
    site.log_in()
    settings = {"title": "masks", "label_config": Path(label_config).read_text(encoding="utf-8")}
    project = site.post("/api/projects/", settings)["id"]
    site.post("/api/storages/localfiles/", {"project": project, "path": images, "use_blob_urls": True})
    site.post(f"/api/projects/{project}/import", json.loads(Path(tasks).read_text(encoding="utf-8")))
    found = site.get(f"/api/tasks?project={project}&fields=all").json()["tasks"]
    pictures = [(task, site.get(task["data"]["image"])) for task in found]
    return [
        {
            "address": task["data"]["image"],
            "status": answer.status_code,
            "bytes": len(answer.content),
            "regions": sum(len(prediction["result"]) for prediction in task["predictions"]),
        }
        for task, answer in pictures
    ]


class Site:
    """A server, and a person who is logged in to it."""

    def __init__(self, address):
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy

    def get(self, path):
        return self.session.get(self.address + path, timeout=120)

    def post(self, path, body):
        headers = {"X-CSRFToken": self.session.cookies["csrftoken"], "Referer": self.address}
        answer = self.session.post(self.address + path, json=body, headers=headers, timeout=120)
        assert answer.ok, (path, answer.status_code, answer.text)
        return answer.json()

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


main(*sys.argv[1:])

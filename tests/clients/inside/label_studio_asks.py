"""Start a Label Studio server, connect it to `mal serve`, and print what comes of its rectangles.

Arguments: a JSON file with the tasks, the labelling config, the command of the server, its token, the version of its
model, a picture to upload and its rectangles. The server's command gets the address of Label Studio and prints its own.
"""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from label_studio_site import started_site

SECONDS_TO_TRAIN = 1800  # at the lowest priority


def main(plan_file):
    plan = json.loads(Path(plan_file).read_text())
    local_files = "LABEL_STUDIO_LOCAL_FILES_"
    settings = {f"{local_files}SERVING_ENABLED": "true", f"{local_files}DOCUMENT_ROOT": plan["root"]}
    settings |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    settings |= {"USE_DEFAULT_BANNED_SUBNETS": "false", "USER_ADDITIONAL_BANNED_SUBNETS": plan["banned"]}
    with started_site(**settings) as site, _backend(site, plan) as address:
        print(json.dumps(_work(site, address, plan)))


@contextmanager
def _backend(site, plan):
    """Start the server of masks for a Label Studio; yields its address."""
    command = [*plan["command"], "--label-studio", site.address]
    env = plan["env"] | {"LABEL_STUDIO_API_KEY": site.post("/api/token/", {})["token"]}  # a personal access token
    with (
        Path("mal.log").open("w") as log,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=log, text=True) as backend,
    ):
        try:
            lines = (line for line in backend.stdout if line.startswith("serving on "))
            yield next(lines).split()[2]
        finally:
            backend.terminate()


def _work(site, address, plan):
    config = Path(plan["config"]).read_text(encoding="utf-8")
    project = site.post("/api/projects/", {"title": "boxes", "label_config": config})["id"]
    site.post("/api/storages/localfiles/", {"project": project, "path": plan["images"], "use_blob_urls": True})
    site.post(f"/api/projects/{project}/import", plan["tasks"])
    uploaded = _upload(site, project, plan)
    wrong = _connection(address, project, "a token that is wrong")
    refused = site.send("/api/ml/", wrong)
    model = site.post("/api/ml/", _connection(address, project, plan["token"]))
    tasks = site.get(f"/api/tasks?project={project}&fields=all").json()["tasks"]
    action = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
    said = site.post(action, {"selectedItems": {"all": True, "excluded": []}})
    context = {"result": [plan["drawn"]]}
    drawn = site.post(f"/api/ml/{model['id']}/interactive-annotating", {"task": tasks[0]["id"], "context": context})
    found = {
        "refused": [refused.status_code, refused.text],
        "state": model["state"],
        "model_version": model["model_version"],
        "said": said,
        "drawn": drawn,
        "uploaded": uploaded,
        "predictions": [
            {"image": task["data"]["image"], "predictions": _predictions(site, project, task["id"])} for task in tasks
        ],
    }
    if plan["trains"]:
        found["training"] = _train(site, address, model["id"], plan)
    return found


def _connection(address, project, password):
    return {
        "url": address,
        "project": project,
        "title": "mal",
        "is_interactive": True,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": "mal",
        "basic_auth_pass": password,
    }


def _upload(site, project, plan):
    """Upload a picture, and annotate it with the rectangles of the plan; returns its address."""
    headers = {"X-CSRFToken": site.session.cookies["csrftoken"], "Referer": site.address}
    with Path(plan["upload"]).open("rb") as file:
        answer = site.session.post(
            f"{site.address}/api/projects/{project}/import", files={"file": file}, headers=headers, timeout=120
        )
    assert answer.ok, answer.text
    tasks = site.get(f"/api/tasks?project={project}&fields=all").json()["tasks"]
    (task,) = (task for task in tasks if "/data/upload/" in task["data"]["image"])
    site.post(f"/api/tasks/{task['id']}/annotations/", {"result": plan["upload_regions"]})
    return task["data"]["image"]


def _predictions(site, project, task):
    return site.get(f"/api/predictions?task={task}&project={project}").json()


def _train(site, address, model, plan):
    """Press *Start training*, and wait for the end of the round."""
    site.post(f"/api/ml/{model}/train", {})
    limit = time.monotonic() + SECONDS_TO_TRAIN
    while True:
        answer = site.session.get(f"{address}/v1/training", auth=("mal", plan["token"]), timeout=120)
        rounds = answer.json()["rounds"]
        if rounds and rounds[-1]["state"] not in ("collecting", "training"):
            versions = site.get(f"/api/ml/{model}/versions").json()
            return {"rounds": rounds, "versions": versions}
        assert time.monotonic() < limit, rounds
        time.sleep(1)


main(*sys.argv[1:])

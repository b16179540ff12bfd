"""Start a Label Studio server, import tasks, and print the status and the size of each picture that it is asked for.

Arguments: the task file, the labelling settings, the document root of local files, and the folder of the pictures.
"""

import json
import sys
from pathlib import Path

from label_studio_site import started_site

LOCAL_FILES = "LABEL_STUDIO_LOCAL_FILES_"


def main(tasks, label_config, root, images):
    with started_site(**{f"{LOCAL_FILES}SERVING_ENABLED": "true", f"{LOCAL_FILES}DOCUMENT_ROOT": root}) as site:
        print(json.dumps(_import_and_ask(site, tasks, label_config, images)))


def _import_and_ask(site, tasks, label_config, images):
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


main(*sys.argv[1:])

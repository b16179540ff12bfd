"""The rectangles and pictures of a Label Studio project as a COCO file and a folder, to train on."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from mal.data.orientation import picture_size
from mal.data.picture_file import picture_in
from mal.errors import UserError
from mal.files import atomic_file, write_json
from mal.limits import MAX_EXPORT_BYTES, MAX_IMAGE_PIXELS
from mal.serve.app import LOG
from mal.serve.fetch import Prefix, StoppedEarly
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.label_studio_tasks import Control, Json, Rectangle, find_control, find_rectangles, picture_at
from mal.serve.pictures import Pictures

_SECONDS_FOR_AN_EXPORT = 300.0
_NO_LABEL = "object"


def collect_project(
    project: int,
    folder: Path,
    account: LabelStudioAccount,
    pictures: Pictures,
    is_wanted: Callable[[], bool] = lambda: True,
) -> int:
    """Write the rectangles of a project as ``boxes.json``, and its pictures into ``images/``.

    Boxes and sizes refer to upright pictures. Tasks without rectangles are left out; a task whose picture cannot be
    read, and a rectangle that is broken, are left out with a line in the log.

    Args:
        project: its id.
        folder: where to write; what a collection that was killed has left there is replaced.
        account: at Label Studio.
        pictures: reads them.
        is_wanted: asked before each task.

    Returns:
        The number of boxes.

    Raises:
        UserError: Label Studio does not give the project, or no box is left.
        StoppedEarly: it is no longer wanted.
    """
    control = find_control(str(_object(_ask(f"api/projects/{project}/", account)).get("label_config")))
    tasks = _ask(f"api/projects/{project}/export?exportType=JSON", account)
    document: Json = {"images": [], "annotations": [], "categories": []}
    categories: dict[str, int] = {}
    (folder / "images").mkdir(exist_ok=True)
    for task, rectangles in _labeled_tasks(tasks, control):
        if not is_wanted():
            raise StoppedEarly
        try:
            image = _write_picture(task, len(document["images"]) + 1, folder / "images", control, account, pictures)
        except UserError as error:
            LOG.info("task %s is left out: %s", task.get("id"), error)
            continue
        document["images"].append(image)
        for rectangle in rectangles:
            label = rectangle.labels[0] if rectangle.labels else _NO_LABEL
            category = categories.setdefault(label, len(categories) + 1)
            _add_box(document["annotations"], rectangle, image, category)
    document["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    if not document["annotations"]:
        raise UserError(f"project {project} has no rectangle on a picture that can be read: draw some, and submit them")
    write_json(document, folder / "boxes.json")
    return len(document["annotations"])


def _ask(path: str, account: LabelStudioAccount) -> Any:
    if account.url is None:
        raise UserError("the rectangles of a project are read from Label Studio: say where it is with --label-studio")
    url = account.url + path
    content = account.fetch(url, [Prefix.parse(account.url)], MAX_EXPORT_BYTES, _SECONDS_FOR_AN_EXPORT)
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UserError(f"{url}: the answer is no JSON: {error}") from None


def _object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise UserError("Label Studio's answer is not a project")
    return value


def _labeled_tasks(tasks: Any, control: Control) -> Iterator[tuple[Json, list[Rectangle]]]:
    """Tasks with rectangles of people; those of predictions are not learned from."""
    for task in tasks if isinstance(tasks, list) else []:
        if isinstance(task, dict):
            rectangles = find_rectangles(task | {"predictions": []}, control)
            if rectangles:
                yield task, rectangles


def _write_picture(
    task: Json, number: int, folder: Path, control: Control, account: LabelStudioAccount, pictures: Pictures
) -> Json:
    """Write the picture of a task; returns its COCO record."""
    address = picture_at(task, control)
    content, called = pictures.read(account.find_picture(address, pictures))
    with picture_in(io.BytesIO(content), called, MAX_IMAGE_PIXELS) as picture:
        width, height = picture_size(picture, "upright")
        stable = task["id"] if type(task.get("id")) is int else number  # in every round, so that the same are held out
        name = f"{stable:07}.{str(picture.format).lower()}"
    with atomic_file(folder / name) as file:
        file.write(content)
    return {"id": number, "file_name": name, "width": width, "height": height}


def _add_box(annotations: list[Json], rectangle: Rectangle, image: Json, category: int) -> None:
    try:
        x0, y0, x1, y1 = rectangle.xyxy(image["width"], image["height"])
    except ValueError as error:
        LOG.info("region %s is left out: %s", rectangle.region_id, error)
        return
    box = [x0, y0, x1 - x0, y1 - y0]
    annotations.append(
        {
            "id": len(annotations) + 1,
            "image_id": image["id"],
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
    )

"""The machine-learning back end of Label Studio: its rectangles become masks.

Label Studio asks `/predict` in two ways: for some tasks, with their annotations and predictions (*Retrieve
predictions*); and for one task while a person draws in it, with the new region as context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mal.data.array_inputs import checked_boxes
from mal.errors import UserError
from mal.serve.app import AsciiJson, ascii_json, log
from mal.serve.engine import Engine
from mal.serve.intake import Intake, json_object
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.label_studio_tasks import (
    Control,
    Json,
    Rectangle,
    find_control,
    find_rectangles,
    picture_at,
    rectangles_in,
    regions_of_mask,
    require_labels,
)
from mal.serve.pictures import Pictures

_NO_RECTANGLE = 'masks are made of rectangles: draw one with a RectangleLabels tag that has smart="true"'


class Training(Protocol):
    """Starts what *Start training* asks for, and knows the versions that came of it."""

    def start(self, project: Json) -> Json:
        """Start, and tell how; raises HTTPException where it cannot."""

    def versions(self) -> list[str]:
        """Versions that can be taken into use."""


class LabelStudioBackend:
    """Answers Label Studio's requests.

    Args:
        engine: makes the masks.
        pictures: reads the pictures.
        intake: takes requests in.
        account: at Label Studio.
        training: None where the server does not train.
    """

    def __init__(
        self,
        engine: Engine,
        pictures: Pictures,
        intake: Intake,
        account: LabelStudioAccount,
        training: Training | None = None,
    ) -> None:
        self._engine = engine
        self._pictures = pictures
        self._intake = intake
        self._account = account
        self._training = training

    def routes(self) -> list[Route]:
        """The five routes; `/health` needs no token."""
        return [
            Route("/health", self._health),
            Route("/setup", self._setup, methods=["POST"]),
            Route("/predict", self._predict, methods=["POST"]),
            Route("/webhook", self._webhook, methods=["POST"]),
            Route("/versions", self._versions),
        ]

    async def _health(self, _: Request) -> Response:
        return AsciiJson({"status": "UP", "model_class": "mal"})

    async def _versions(self, _: Request) -> Response:
        own = self._engine.model.version
        offered = [] if self._training is None else await run_in_threadpool(self._training.versions)
        return AsciiJson({"versions": list(dict.fromkeys([own, *offered]))})

    async def _setup(self, request: Request) -> Response:
        async with self._intake.place(request) as content:
            body = json_object(content)
        find_control(_text_at(body, "schema"))
        self._account.take_token(body.get("access_token"))
        return AsciiJson({"model_version": self._engine.model.version})

    async def _predict(self, request: Request) -> Response:
        async with self._intake.place(request) as content:
            body = await run_in_threadpool(json_object, content)
            del content
            request_id: str = request.state.request_id
            answer = await self._intake.run(request, lambda is_wanted: self._answer(body, request_id, is_wanted))
            return Response(answer, media_type="application/json")

    async def _webhook(self, request: Request) -> Response:
        async with self._intake.place(request) as content:
            body = json_object(content)
        if body.get("action") != "START_TRAINING":
            return AsciiJson({"status": "ignored"})
        if self._training is None:
            raise HTTPException(409, "this server does not train: start it with --runs and --train-spec")
        project = body.get("project")
        if not isinstance(project, dict):
            raise HTTPException(400, "START_TRAINING needs a project")
        return AsciiJson(await run_in_threadpool(self._training.start, project))

    def _answer(self, body: Json, request_id: str, is_wanted: Callable[[], bool]) -> bytes:
        """The body of an answer to `/predict`: one list or object for each task, in their order."""
        control = find_control(_text_at(body, "label_config"))
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
            raise HTTPException(400, "tasks must be a list of at least one task")
        params = body.get("params")
        context = params.get("context") if isinstance(params, dict) else None
        if isinstance(context, dict):
            rectangles = rectangles_in(context.get("result"), control)
            if not rectangles:
                raise UserError(_NO_RECTANGLE)
            results: list[Any] = [self._prediction(tasks[0], rectangles, control, request_id, is_wanted)]
        else:
            results = self._predictions(tasks, control, request_id, is_wanted)
        return ascii_json({"results": results, "model_version": self._engine.model.version})

    def _predictions(
        self, tasks: list[Json], control: Control, request_id: str, is_wanted: Callable[[], bool]
    ) -> list[Any]:
        """A prediction for each task that has rectangles.

        For others, and for tasks that fail, an empty list: Label Studio stores nothing then, and asks for the task
        again next time. An empty prediction would be stored, and so never be replaced.
        """
        results: list[Any] = []
        errors: list[UserError] = []
        for task in tasks:
            try:
                rectangles = find_rectangles(task, control)
                found = self._prediction(task, rectangles, control, request_id, is_wanted) if rectangles else []
            except UserError as error:
                errors.append(error)
                log(request_id, f"task {task.get('id')}: {error}")
                found = []
            results.append(found)
        if len(errors) == len(tasks):
            raise errors[0]
        return results

    def _prediction(
        self, task: Json, rectangles: list[Rectangle], control: Control, request_id: str, is_wanted: Callable[[], bool]
    ) -> Json:
        require_labels(rectangles, control)
        model = self._engine.model
        source = self._account.find_picture(picture_at(task, control), self._pictures)
        reading = replace(model.reading, exif="upright")  # as the browser shows it
        with self._pictures.opened(source, reading, is_wanted) as pixels:
            height, width = pixels.shape[:2]
            found = self._engine.masks(pixels, _corners(rectangles, width, height), is_wanted, model)
        regions: list[Json] = []
        for rectangle, mask in zip(rectangles, found, strict=True):
            own = [] if mask.rle is None else regions_of_mask(mask.rle, mask.score, rectangle, control, (width, height))
            if not own:
                reason = mask.reason or "the mask is empty"
                log(request_id, f"task {task.get('id')}, region {rectangle.region_id}: {reason}")
            regions += own
        scores = [region["score"] for region in regions if "score" in region]
        return {"result": regions, "score": min(scores, default=None), "model_version": model.version}


def _corners(rectangles: list[Rectangle], width: int, height: int) -> np.ndarray:
    try:
        return checked_boxes([rectangle.xyxy(width, height) for rectangle in rectangles])
    except ValueError as error:
        raise UserError(f"a rectangle is broken: {error}") from None


def _text_at(body: Json, key: str) -> str:
    text = body.get(key)
    if not isinstance(text, str) or not text:
        raise HTTPException(400, f"{key} must be the labeling config, as text")
    return text

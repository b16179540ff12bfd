"""The remote server of X-AnyLabeling: a rectangle that is drawn becomes a polygon.

Written from the public description of its routes. Rectangles that exist already are never sent.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy.typing as npt
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mal.data.array_inputs import checked_boxes
from mal.errors import UserError
from mal.limits import MAX_REQUEST_BOXES
from mal.masks.polygons import polygons_from_rle
from mal.serve.app import AsciiJson, ascii_json
from mal.serve.engine import Engine, FoundMask
from mal.serve.intake import Intake, json_object
from mal.serve.masks_route import problems
from mal.serve.openapi import Operation
from mal.serve.pictures import Pictures, Upload

_MODEL = "mal"
_WIDGETS = ("add_pos_rect", "button_run_rect", "button_clear", "button_finish_object")  # of the client's tool bar
_NOT_NAMED_YET = "AUTOLABEL_OBJECT"  # the client asks for the label when the object is finished
_TOLERANCE = 0.5  # pixels
_NO_RECTANGLE = "masks are made of rectangles: draw one with +Rect"


class Mark(BaseModel):
    """What a person drew: of a rectangle two corners."""

    type: str
    data: Annotated[list[float], Field(min_length=2, max_length=4)]
    label: Literal[0, 1] = Field(1, description="0: what is not part of the object.")


class MarksField(BaseModel):
    """Parameters of the client; those of other models are not looked at."""

    marks: list[Mark] = Field(default=[], max_length=MAX_REQUEST_BOXES)


class PredictRequest(BaseModel):
    """The body of `POST /v1/predict`."""

    model: str
    image: str = Field(description="A picture file in base64, also as data:image/...;base64,")
    params: MarksField = MarksField()


X_ANYLABELING_OPERATIONS = (
    Operation("GET", "/v1/models", "X-AnyLabeling asks for the models."),
    Operation(
        "POST",
        "/v1/predict",
        "X-AnyLabeling asks for polygons of the rectangles that are being drawn.",
        PredictRequest,
        errors=(400, 404, 408, 413, 422, 503),
    ),
)


def x_anylabeling_routes(engine: Engine, pictures: Pictures, intake: Intake) -> list[Route]:
    """The two routes that it asks besides `/health`."""

    async def models(_: Request) -> Response:
        return AsciiJson({"success": True, "data": {_MODEL: _describe(engine)}})

    async def predict(request: Request) -> Response:
        async with intake.place(request) as body:
            asked = await run_in_threadpool(_parse, body)
            del body
            answer = await intake.run(request, lambda is_wanted: _shapes(engine, pictures, asked, is_wanted))
            return Response(answer, media_type="application/json")

    return [Route("/v1/models", models), Route("/v1/predict", predict, methods=["POST"])]


def _describe(engine: Engine) -> dict[str, Any]:
    return {
        "display_name": f"Mask Auto Labeler ({engine.model.version})",
        "widgets": [{"name": name, "value": None} for name in _WIDGETS],
        "batch_processing_mode": None,
        "params": {},
    }


def _parse(body: bytes) -> PredictRequest:
    try:
        asked = PredictRequest.model_validate(json_object(body))
    except ValidationError as error:
        raise HTTPException(400, problems(error)) from None
    if asked.model != _MODEL:
        raise HTTPException(404, f"there is no model {asked.model!r}; GET /v1/models lists them")
    return asked


def _shapes(engine: Engine, pictures: Pictures, asked: PredictRequest, is_wanted: Callable[[], bool]) -> bytes:
    model = engine.model
    corners = _corners(asked)
    reading = replace(model.reading, exif="upright")  # as it is shown
    with pictures.opened(Upload(_picture(asked.image)), reading, is_wanted) as pixels:
        found = engine.masks(pixels, corners, is_wanted, model)
    shapes = [shape for number, mask in enumerate(found, start=1) for shape in _polygons(mask, number)]
    return ascii_json({"success": True, "data": {"shapes": shapes, "description": "", "replace": False}})


def _corners(asked: PredictRequest) -> npt.NDArray[Any]:
    wanted = [mark.data for mark in asked.params.marks if mark.type == "rectangle" and mark.label]
    if not wanted or any(len(data) != 4 for data in wanted):
        raise UserError(_NO_RECTANGLE)
    try:
        return checked_boxes([(min(x, u), min(y, v), max(x, u), max(y, v)) for x, y, u, v in wanted])
    except ValueError as error:
        raise UserError(f"a rectangle is broken: {error}") from None


def _picture(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition(";base64,")[2] or text, validate=True)
    except binascii.Error as error:
        raise HTTPException(400, f"image is no base64: {error}") from None


def _polygons(mask: FoundMask, number: int) -> list[dict[str, Any]]:
    """The shapes of a mask; the parts of one share a group."""
    polygons = polygons_from_rle(mask.rle, _TOLERANCE) if mask.rle is not None else []
    return [
        {
            "label": _NOT_NAMED_YET,
            "shape_type": "polygon",
            "points": [[float(x), float(y)] for x, y in polygon.tolist()],
            "score": mask.score if mask.score is not None and math.isfinite(mask.score) else None,
            "group_id": number,
        }
        for polygon in polygons
    ]

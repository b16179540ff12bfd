"""`POST /v1/masks`: the masks of some boxes of a picture; `GET /v1/model`: which model makes them."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mal.data.array_inputs import checked_boxes, describe_suspicion
from mal.limits import MAX_REQUEST_BOXES
from mal.masks.polygons import flat, polygons_from_rle
from mal.masks.rle import Rle, mask_from_rle
from mal.reading import Exif
from mal.serve.app import AsciiJson
from mal.serve.engine import Engine, FoundMask
from mal.serve.intake import Intake, json_object
from mal.serve.pictures import LocalFile, Pictures, Remote, Source, Upload

Shape = Literal["rle", "polygons", "png"]
Box = Annotated[list[float], Field(min_length=4, max_length=4)]


class PictureField(BaseModel):
    """Where the picture is; exactly one of the three."""

    model_config = ConfigDict(extra="forbid")

    path: str | None = Field(None, description="A file below a folder of --images: its name there, or its full path.")
    base64: str | None = Field(None, description="The bytes of a picture file.")
    url: str | None = Field(None, description="An address below a prefix of --allow-url.")

    @model_validator(mode="after")
    def _is_one(self) -> PictureField:
        if sum(value is not None for value in (self.path, self.base64, self.url)) != 1:
            raise ValueError("give one of path, base64 and url")
        return self

    def source(self) -> Source:
        """The picture's place.

        Raises:
            HTTPException: 400, the text is no base64.
        """
        if self.path is not None:
            return LocalFile(self.path)
        if self.url is not None:
            return Remote(self.url)
        try:
            return Upload(base64.b64decode(self.base64 or "", validate=True))
        except binascii.Error as error:
            raise HTTPException(400, f"image.base64 is no base64: {error}") from None


class How(BaseModel):
    """What the answer holds, and on which pixels the boxes lie."""

    model_config = ConfigDict(extra="forbid")

    format: Shape = Field("rle", description="COCO run lengths, polygons in pixels, or PNG files in base64.")
    exif: Exif = Field("stored", description="Boxes and masks refer to stored pixels, or upright as viewers turn them.")
    tolerance: float = Field(0.0, ge=0, le=100, description="Of polygons, in pixels; 0 is exact.")


class MasksRequest(How):
    """The body of `POST /v1/masks`."""

    image: PictureField = Field(description="One of path (below --images), base64 and url (below --allow-url).")
    boxes_xyxy: list[Box] = Field(max_length=MAX_REQUEST_BOXES, description="x0, y0, x1, y1 in pixels of the image.")


class MaskField(BaseModel):
    """The mask of one box."""

    mask: dict[str, Any] | list[list[float]] | str | None = Field(
        description="As `format` says; null where there is none."
    )
    score: float | None = Field(description="Expected IoU, 0..1.")
    reason: str | None = Field(description="Why there is no mask.")


class MasksAnswer(BaseModel):
    """The answer of `POST /v1/masks`."""

    model_version: str
    width: int
    height: int
    masks: list[MaskField] = Field(description="One for each box, in their order.")
    warning: str | None = Field(description="Said of boxes that do not look like corners in pixels.")


def masks_routes(engine: Engine, pictures: Pictures, intake: Intake) -> list[Route]:
    """The two routes."""

    async def masks(request: Request) -> Response:
        async with intake.place(request) as body:
            source, boxes, how = await run_in_threadpool(_parse, request, body)
            del body
            answer = await intake.run(
                request, lambda is_wanted: _masks(engine, pictures, source, boxes, how, is_wanted)
            )
            return Response(answer, media_type="application/json")

    async def model(request: Request) -> Response:
        return AsciiJson(describe_model(engine))

    return [Route("/v1/masks", masks, methods=["POST"]), Route("/v1/model", model)]


def describe_model(engine: Engine) -> dict[str, Any]:
    """What `GET /v1/model` answers."""
    labeler = engine.model.labeler
    return {
        "version": engine.model.version,
        "device": str(labeler.device),
        "crop_size": labeler.crop.crop_size,
        "network": labeler.mode.network,
        "batch_size": engine.batch_size,
    }


def _parse(request: Request, body: bytes) -> tuple[Source, list[Box], How]:
    """A JSON body; or the bytes of a picture, with the rest in the query."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            asked = MasksRequest.model_validate(json_object(body))
            return asked.image.source(), asked.boxes_xyxy, asked
        if kind == "application/octet-stream" or kind.startswith("image/"):
            query = dict(request.query_params)
            boxes = [_box(text) for text in request.query_params.getlist("box")]
            query.pop("box", None)
            return Upload(body), boxes, How.model_validate(query)
    except ValidationError as error:
        raise HTTPException(400, problems(error)) from None
    raise HTTPException(415, "the body must be application/json, image/... or application/octet-stream")


def _box(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise HTTPException(400, f"box={text!r} is not x0,y0,x1,y1")
    return numbers


def _masks(
    engine: Engine,
    pictures: Pictures,
    source: Source,
    boxes: list[Box],
    how: How,
    is_wanted: Callable[[], bool],
) -> bytes:
    model = engine.model
    try:
        corners = checked_boxes(boxes)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    with pictures.opened(source, replace(model.reading, exif=how.exif), is_wanted) as pixels:
        height, width = pixels.shape[:2]
        found = engine.masks(pixels, corners, is_wanted, model)
    answer = MasksAnswer(
        model_version=model.version,
        width=width,
        height=height,
        masks=[_mask_field(mask, how) for mask in found],
        warning=describe_suspicion(corners, width=width, height=height) or None,
    )
    return answer.model_dump_json().encode()


def _mask_field(found: FoundMask, how: How) -> MaskField:
    return MaskField(mask=found.rle and _shape(found.rle, how), score=found.score, reason=found.reason)


def _shape(rle: Rle, how: How) -> Any:
    if how.format == "rle":
        return rle
    if how.format == "polygons":
        return [flat(polygon) for polygon in polygons_from_rle(rle, how.tolerance)]
    file = io.BytesIO()
    Image.fromarray(mask_from_rle(rle).astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")


def problems(error: ValidationError) -> str:
    """What is wrong with a body, in one line: the first five fields that do not fit."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in found[:5])

"""Routes of training: which rounds there are, cancel one, take a model into use; and what starts a round."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mal.errors import UserError
from mal.serve.app import AsciiJson
from mal.serve.intake import Intake, json_object
from mal.serve.label_studio_tasks import Json
from mal.serve.models import Models
from mal.serve.openapi import Operation
from mal.serve.rounds import TrainingRounds


class ModelRequest(BaseModel):
    """The body of `POST /v1/model`."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(description="Of the model to take into use: of a finished round, or of the first one.")


TRAINING_OPERATIONS = (
    Operation("GET", "/v1/training", "The training rounds, the first one first."),
    Operation("POST", "/v1/training/cancel", "Cancel the round under way; what it has trained stays.", errors=(409,)),
    Operation("POST", "/v1/model", "Take a model into use.", ModelRequest, errors=(400, 404, 422)),
)


class LabelStudioTraining:
    """Starts rounds for Label Studio, and answers what became of them.

    Args:
        rounds: of the server.
        models: to choose from.
        intake: takes requests in.
    """

    def __init__(self, rounds: TrainingRounds, models: Models, intake: Intake) -> None:
        self._rounds = rounds
        self._models = models
        self._intake = intake

    def start(self, project: Json) -> Json:
        """Start a round on the rectangles of a project.

        Raises:
            HTTPException: 400 for a project without an id, 409 where a round is under way.
        """
        number = project.get("id")
        if type(number) is not int:
            raise HTTPException(400, "the project has no id")
        try:
            started = self._rounds.start(number, self._models.checkpoint)
        except UserError as error:
            raise HTTPException(409, str(error)) from None
        return {"status": "started", "round": started.name}

    def versions(self) -> list[str]:
        """Versions that can be taken into use, the first one first."""
        suffix = self._models.suffix
        finished = [found.version + suffix for found in self._rounds.rounds() if found.version is not None]
        return list(dict.fromkeys([self._models.first_version, *finished]))

    def routes(self) -> list[Route]:
        """`/v1/training`, `/v1/training/cancel` and `POST /v1/model`."""
        return [
            Route("/v1/training", self._list),
            Route("/v1/training/cancel", self._cancel, methods=["POST"]),
            Route("/v1/model", self._use, methods=["POST"]),
        ]

    async def _list(self, _: Request) -> Response:
        rounds = await run_in_threadpool(self._rounds.rounds)
        return AsciiJson({"rounds": [found.model_dump() for found in rounds]})

    async def _cancel(self, _: Request) -> Response:
        try:
            cancelled = await run_in_threadpool(self._rounds.cancel)
        except UserError as error:
            raise HTTPException(409, str(error)) from None
        return AsciiJson({"status": "cancelling", "round": cancelled.name})

    async def _use(self, request: Request) -> Response:
        async with self._intake.place(request) as content:
            try:
                asked = ModelRequest.model_validate(json_object(content))
            except ValidationError:
                raise HTTPException(400, 'the body must be {"version": ...}') from None
            return AsciiJson({"version": await run_in_threadpool(self._switch, asked.version)})

    def _switch(self, version: str) -> str:
        if version == self._models.first_version:
            return self._models.use_first()
        checkpoint = self._rounds.checkpoint(version.removesuffix(self._models.suffix))
        if checkpoint is None:
            raise HTTPException(404, f"no model has the version {version!r}; GET /versions lists them")
        return self._models.use(checkpoint)

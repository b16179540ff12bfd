"""`mal serve`: a server that makes masks of boxes, for programs in which people label."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute

from mal.config.schema import ExperimentSpec
from mal.console import console
from mal.files import dumps
from mal.labeler import MaskAutoLabeler
from mal.reading import Reading
from mal.serve.app import app
from mal.serve.choice import choose_by_signals, hold_out
from mal.serve.engine import Engine, file_version
from mal.serve.fetch import Prefix
from mal.serve.intake import Intake
from mal.serve.label_studio import LabelStudioBackend
from mal.serve.label_studio_account import LabelStudioAccount
from mal.serve.label_studio_project import collect_project
from mal.serve.listening import address_of, listen, log_to_console, serve
from mal.serve.masks_route import MasksAnswer, MasksRequest, masks_routes
from mal.serve.models import Load, Models
from mal.serve.openapi import Operation, openapi_routes
from mal.serve.pictures import Pictures
from mal.serve.rounds import TrainingRounds, recipe_spec, train_command
from mal.serve.security import Security
from mal.serve.training_routes import TRAINING_OPERATIONS, LabelStudioTraining
from mal.serve.x_anylabeling import X_ANYLABELING_OPERATIONS, x_anylabeling_routes
from mal.tasks.label import load_labeler

_THREADS = 8
_NOT_OF_MASKS = ("checkpoint", "batch_size", "num_gpus", "gpu_ids")
_OPERATIONS = (
    Operation("GET", "/health", "Whether the server is up; takes no token."),
    Operation(
        "POST",
        "/v1/masks",
        "The masks of the boxes of a picture. The body may also be the picture itself (image/...), with"
        " ?box=x0,y0,x1,y1 once for each box, and format, exif and tolerance in the query.",
        MasksRequest,
        MasksAnswer,
        (400, 408, 413, 422, 503),
    ),
    Operation("GET", "/v1/model", "The version and the settings of the model in use."),
    Operation("POST", "/setup", "Label Studio connects.", errors=(400, 422)),
    Operation(
        "POST",
        "/predict",
        "Label Studio asks for masks of the rectangles of tasks, or of one that is being drawn.",
        errors=(400, 408, 413, 422, 503),
    ),
    Operation("POST", "/webhook", "Label Studio tells what happens in a project.", errors=(400, 409)),
    Operation("GET", "/versions", "Label Studio asks for the versions of the model."),
)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of the server.

    Attributes:
        spec: made from the command line, with the checkpoint.
        device: as of ``mal label``.
        host, port: where it listens; port 0 takes a free one.
        token: what callers must send; None asks for none.
        allow_hosts: further names that the ``Host`` header may have.
        images: folders from which pictures are read.
        allow_urls: prefixes from which pictures are fetched.
        label_studio: URL of Label Studio; None where pictures of its own storage are not read.
        label_studio_token: for it; None takes the one that it sends.
        runs: folder of the training rounds; None trains nothing.
        train_spec: spec file of the training, without data sets and results folder; None takes the recipe for the
            starter.
        queue: requests that may be in the server at once.
        seconds: how long a request may take.
    """

    spec: ExperimentSpec
    device: str
    host: str
    port: int
    token: str | None
    allow_hosts: Sequence[str]
    images: Sequence[Path]
    allow_urls: Sequence[str]
    label_studio: str | None
    label_studio_token: str | None
    runs: Path | None
    train_spec: Path | None
    queue: int
    seconds: float


def run(options: ServeOptions) -> int:
    """Load the model, then serve until a signal comes.

    Returns:
        Exit code 0.

    Raises:
        UserError: an option or the checkpoint cannot be used, or the port is taken.
    """
    security = Security.for_address(options.host, options.token, options.allow_hosts)
    account = LabelStudioAccount(options.label_studio, options.label_studio_token)
    prefixes = [*map(Prefix.parse, options.allow_urls), *account.prefixes]
    with listen(options.host, options.port) as listener:
        models = _models(options)
        application = _application(options, models, security, account, prefixes)
        console.print(f"serving on {address_of(listener)} with {models.in_use()} (/docs tells the routes)")
        log_to_console()
        serve(application, listener)
    return 0


def _application(
    options: ServeOptions, models: Models, security: Security, account: LabelStudioAccount, prefixes: Sequence[Prefix]
) -> Starlette:
    engine = Engine(models.load(), options.spec.inference.batch_size)
    models.engine = engine
    intake = Intake(most_requests=options.queue, threads=_THREADS, seconds=options.seconds)
    pictures = Pictures(options.images, prefixes)
    rounds = _rounds(options, models, account, pictures)
    training = None if rounds is None else LabelStudioTraining(rounds, models, intake)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        intake.close()
        if rounds is not None:
            await run_in_threadpool(rounds.close)
        engine.close()

    routes: list[BaseRoute] = [*masks_routes(engine, pictures, intake)]
    routes += LabelStudioBackend(engine, pictures, intake, account, training).routes()
    routes += x_anylabeling_routes(engine, pictures, intake)
    routes += [] if training is None else training.routes()
    of_training = TRAINING_OPERATIONS if training is not None else ()
    routes += openapi_routes([*_OPERATIONS, *X_ANYLABELING_OPERATIONS, *of_training])
    return app(routes, security, lifespan)


def _models(options: ServeOptions) -> Models:
    """The one place that resolves which checkpoint is loaded."""
    assert options.spec.inference.checkpoint
    first = Path(options.spec.inference.checkpoint)
    return Models(_loader(options), first, options.runs, _settings_suffix(options.spec))


def _loader(options: ServeOptions) -> Load:
    """Loads checkpoints with the settings of the command line, in child processes too."""
    return partial(_load, options.spec, options.device)


def _load(spec: ExperimentSpec, device: str, checkpoint: Path) -> tuple[MaskAutoLabeler, Reading]:
    inference = spec.inference.model_copy(update={"checkpoint": str(checkpoint)})
    labeler, complete = load_labeler(spec.model_copy(update={"inference": inference}), device)
    return labeler, complete.dataset.reading


def _settings_suffix(spec: ExperimentSpec) -> str:
    """The end of versions for the settings that the command line gives; empty where it gives none."""
    sections = spec.model_dump(mode="json", exclude_unset=True)
    given = sorted(
        (section, key, value)
        for section, values in sections.items()
        for key, value in values.items()
        if key not in _NOT_OF_MASKS
    )
    return f"-{hashlib.sha256(dumps(given)).hexdigest()[:4]}" if given else ""


def _rounds(
    options: ServeOptions, models: Models, account: LabelStudioAccount, pictures: Pictures
) -> TrainingRounds | None:
    if options.runs is None:
        return None
    spec = options.train_spec or recipe_spec(options.runs)

    def collect(project: int, folder: Path, is_wanted: Callable[[], bool]) -> int:
        count = collect_project(project, folder, account, pictures, is_wanted)
        hold_out(folder)
        return count

    return TrainingRounds(
        options.runs,
        train_command(spec),
        collect=collect,
        version=file_version,
        choose=partial(choose_by_signals, _loader(options)),
        use=models.use,
    )

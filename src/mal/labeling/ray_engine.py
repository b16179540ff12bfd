"""Label on a Ray cluster: an actor for each GPU, blocks of chunks of images."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import ray.data
from ray.exceptions import RayError

from mal.coco.ground_truth import GroundTruth
from mal.config.schema import ExperimentSpec, resolve_encryption_key
from mal.console import console, task_progress
from mal.data.label_dataset import BoxChunks
from mal.data.loaders import AnnotatedImages, crop_loader
from mal.errors import UserError, one_line
from mal.files import atomic_file
from mal.labeling.job import Engine, LabelJob, LabelWork, boxes_to_label
from mal.labeling.pipeline import make_labeler, write_shard
from mal.labeling.remote import RemoteShards
from mal.labeling.run import LabelRun
from mal.load_model import load_model
from mal.runtime.launch import CPU_PROCESSES
from mal.runtime.process_group import start_processes
from mal.runtime.threads import num_read_ahead, read_ahead

BLOCKS_FOR_EACH_ACTOR = 4  # at least, so that no actor is idle for long at the end
CHUNKS_IN_A_BLOCK = 64  # at most; a lost actor loses one block
RETRIES = 3  # of a block whose actor died; a block that kills every actor is given up


def label_on_ray(spec: ExperimentSpec) -> Engine:
    """Make the engine that labels on a Ray cluster: a running one, or a local one on this machine's cores.

    An actor returns its results as the bytes of a shard, so the machines need no shared disk.

    Args:
        spec: the run's spec; its files must have the same paths on all machines, or be URLs.
    """

    def label(job: LabelJob, work: LabelWork) -> None:
        _start_ray()
        remote = RemoteShards(spec.inference.shards_url) if spec.inference.shards_url else None
        if remote:
            remote.send(work.run.record)
        plan = BoxChunks(work.boxes, job.batch_size)
        chunks = plan.unfinished(work.done)
        actors = min(spec.inference.ray_actors or _num_cluster_actors(), len(chunks))
        console.print(f"running on Ray: {actors} actors, {'one GPU each' if _gpus() else 'one core each'}")
        with task_progress("labelling", int((~work.done).sum())) as progress:
            for block in _labeled_blocks(spec, work, chunks, actors):
                shard = _kept(work.run, int(block["first"]), block["shard"])
                if remote:
                    remote.send(shard)
                progress.advance(int(block["boxes"]))

    return label


class ChunkLabeler:
    """An actor: reads the annotation file and loads the network once, then labels block after block.

    Args:
        spec: the run's spec.
        done: (N,) bool, the boxes that are labeled already.
    """

    def __init__(self, spec: ExperimentSpec, done: npt.NDArray[np.bool_]) -> None:
        inference = spec.inference
        assert inference.ann_path
        assert inference.img_dir
        assert inference.checkpoint
        console.quiet = True
        os.environ.pop(CPU_PROCESSES, None)
        alone = spec.model_copy(update={"inference": inference.model_copy(update=_ONE_DEVICE)})
        self._spec, self._done = alone, done
        self._folder = tempfile.TemporaryDirectory(prefix="mal-")
        self._source = AnnotatedImages(inference.ann_path, inference.img_dir, reading=spec.dataset.reading)
        self._boxes, _ = boxes_to_label(self._source, keep_existing_masks=inference.keep_existing_masks)
        self._plan = BoxChunks(self._boxes, inference.batch_size)
        self._unfinished = self._plan.unfinished(done)
        self._truth = GroundTruth(self._source.coco) if inference.load_mask else None
        held = load_model(Path(inference.checkpoint), alone, encryption_key=resolve_encryption_key(alone))
        self._labeler = make_labeler(held, start_processes(alone, "inference"))

    def __call__(self, block: dict[str, npt.NDArray[np.int64]]) -> dict[str, list[Any]]:
        """Label the chunks ``first`` to ``last``, end exclusive; returns the shard's bytes and the number of boxes."""
        first, last = int(block["first"][0]), int(block["last"][0])
        chunks = [chunk for chunk in self._unfinished if first <= chunk < last]
        rows = [row for chunk in chunks for row in self._plan.rows(chunk)]
        on_gpu = self._labeler.device.startswith("cuda")
        loader = crop_loader(
            self._boxes,
            self._source.img_dir,
            self._labeler.crop,
            batch_size=self._spec.inference.batch_size,
            num_workers=self._spec.dataset.num_workers_per_gpu if on_gpu else 0,
            done=self._done,
            chunks=set(chunks),
        )
        shard = Path(self._folder.name) / f"{first}_{os.urandom(4).hex()}"
        write_shard(read_ahead(loader, num_read_ahead(self._labeler.device)), self._labeler, shard, self._truth)
        content = shard.read_bytes()
        shard.unlink()
        return {"first": [first], "boxes": [int((~self._done[rows]).sum())], "shard": [content]}


_ONE_DEVICE = {"gpu_ids": [0], "num_gpus": 1, "num_nodes": 1}  # Ray shows an actor only its own GPU


def _labeled_blocks(spec: ExperimentSpec, work: LabelWork, chunks: list[int], actors: int) -> Iterator[dict[str, Any]]:
    size = max(1, min(CHUNKS_IN_A_BLOCK, len(chunks) // (BLOCKS_FOR_EACH_ACTOR * actors)))
    blocks = [{"first": part[0], "last": part[-1] + 1} for part in _parts(chunks, size)]
    results = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
        ChunkLabeler,
        fn_constructor_args=(spec, work.done),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=1 if _gpus() else 0,
        max_restarts=RETRIES,
        max_task_retries=RETRIES,
    )
    try:
        yield from results.iter_rows()
    except RayError as error:
        raise _as_user_error(error) from error


def _parts(chunks: list[int], size: int) -> Iterator[list[int]]:
    return (chunks[start : start + size] for start in range(0, len(chunks), size))


def _kept(run: LabelRun, first: int, shard: bytes) -> Path:
    path = run.new_shard(f"block{first:08d}")
    with atomic_file(path) as file:
        file.write(shard)
    return path


def _start_ray() -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not ray.is_initialized():
        ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # this program has its own, which counts boxes


def _num_cluster_actors() -> int:
    return _gpus() or max(1, int(ray.cluster_resources().get("CPU", 1)))


def _gpus() -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def _as_user_error(error: BaseException) -> BaseException:
    """Find the `UserError` that caused a Ray error; otherwise make one of Ray's message, on one line."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return UserError(str(cause)) if cause else UserError(f"Ray: {one_line(error)}")

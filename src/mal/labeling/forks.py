"""Label on the cores of a CPU: forked processes that share out the pictures, each with the network on one thread.

For a small network a thread more in the same process saves little: decoding, cropping and encoding wait for it, and its
layers are too short to share. A process more saves all of that. The batches are those of one process, and so the masks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from mal.coco.ground_truth import GroundTruth
from mal.data.crop_loader import done_by_workers
from mal.data.label_dataset import BoxCropIterable
from mal.labeler import MaskAutoLabeler
from mal.labeling.pipeline import find_labels
from mal.labeling.shards import BoxResult
from mal.runtime.process_group import ProcessGroup
from mal.runtime.threads import num_cores

LARGEST_CROP = 256  # pixels a side: what a batch of these takes, every core has room for


def num_forks(stream: BoxCropIterable, labeler: MaskAutoLabeler, processes: ProcessGroup, num_workers: int) -> int:
    """Number of forked processes that label a run: one for each core; 0 if this process labels by itself.

    They do so with small crops and a network with the box as an input, on a CPU. Other networks are wide enough for the
    threads of one process, and may need gigabytes in each.

    Args:
        stream: crops of the boxes.
        labeler: of the run.
        processes: of the run; those of a launcher share out the pictures already.
        num_workers: processes that the user allows beside this one; 0 means none.
    """
    is_small = getattr(labeler.student, "takes_box", False) and labeler.crop.crop_size <= LARGEST_CROP
    is_alone_on_cpu = labeler.device == "cpu" and processes.world_size == 1
    if not (is_small and is_alone_on_cpu and num_workers and sys.platform == "linux"):
        return 0
    count = min(num_cores(), stream.num_chunks)
    return count if count > 1 else 0


def labels_by_forks(
    stream: BoxCropIterable, labeler: MaskAutoLabeler, truth: GroundTruth | None, count: int
) -> Iterator[list[BoxResult]]:
    """Yield the results of each batch's boxes, from the processes in turn.

    Args:
        stream: crops of the boxes; each process gets a share of its chunks.
        labeler: predicts the masks.
        truth: true masks to compare with; None skips the comparison.
        count: processes, at least 1.

    Raises:
        UserError: a process died; it names the image that it was reading.
    """
    with labeler.on_one_thread():
        yield from done_by_workers(stream, partial(find_labels, labeler=labeler, truth=truth), count)

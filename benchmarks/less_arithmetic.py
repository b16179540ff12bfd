"""How much faster do masks get with less arithmetic, and how much worse?

The study behind the profile ``fast``, to be repeated with a network and photos of one's own:

    python -m benchmarks.less_arithmetic mal_model_latest.pth --ann instances_val.json --images val/

Every way of computing labels the same boxes, a few photos at a time and in turn, so that whatever else the machine does
hits all alike. Speeds are ratios to ``exact`` on the same photos: the median, and the range.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch

from benchmarks.cheaper_networks import (
    InBfloat16,
    InOnnxruntime,
    OtherScales,
    Pooled,
    WithoutLastBlock,
    WithoutRing,
    with_backbone,
    with_int8_linears,
)
from benchmarks.mask_study import Study, Way
from benchmarks.report import device_name, environment
from mal.models.network import FEATURE_SCALES, MaskNetwork
from mal.models.predict import fast_dtype, fast_network
from mal.size_bins import SIZE_NAMES

CPU = torch.device("cpu")


def all_ways(network: MaskNetwork, study: Study) -> Iterator[Way]:
    """Every way of the study, the exact one first."""
    side = study.crop.crop_size
    same_cells = OtherScales(network, crop_size=side)
    half_small, margin = (0.5, 1, 1), study.crop.margin_rate[0]
    yield Way("exact", network)
    yield Way("crop: half the side for small boxes", network, half_small)
    yield Way("crop: the same, head on as many cells", same_cells, half_small)
    yield Way("crop: three quarters for small boxes", network, (0.75, 1, 1))
    yield Way("crop: three quarters for all", network, (0.75,) * 3)
    yield Way("crop: the same, head on as many cells", same_cells, (0.75,) * 3)
    yield Way("crop: half for all, head on as many cells", same_cells, (0.5,) * 3)
    for part in (0.5, 0.0):
        share = (1 + part * margin / 2) / (1 + margin / 2)  # so that the box has as many pixels as before
        yield Way(
            f"margin: {part * margin:g} for {margin:g}, crop by as much smaller", network, (share,) * 3, part * margin
        )
    yield Way("tokens: outermost ring dropped", with_backbone(network, WithoutRing))
    yield Way("tokens: 2 x 2 pooled after a quarter of the blocks", with_backbone(network, Pooled))
    yield Way("tokens: merged to a quarter after a quarter of the blocks", fast_network(network))
    yield Way("depth: last block left out", with_backbone(network, WithoutLastBlock))
    yield Way("head: scale 1 for 2 on large boxes", OtherScales(network, (*FEATURE_SCALES[:2], 1.0)))
    yield Way("head: half the scale on medium and large boxes", OtherScales(network, (0.5, 0.5, 1.0)))
    yield Way("int8: linear layers, torch.ao", with_int8_linears(network))
    yield Way("onnxruntime, float32", InOnnxruntime(network, study.spec, is_int8=False))
    yield Way("int8: matrix products, onnxruntime", InOnnxruntime(network, study.spec, is_int8=True))
    for photo_side in (2, 3, 5):
        yield Way(f"one pass a photo, longer side {photo_side * side}", network, photo_side=photo_side)
    yield Way("bfloat16", InBfloat16(network))
    yield Way("bfloat16, 2 x 2 pooled", InBfloat16(with_backbone(network, Pooled)))
    fast = InBfloat16(fast_network(network)) if fast_dtype(CPU) else fast_network(network)
    yield Way("fast", fast)
    yield Way("fast, three quarters of the crop for small boxes", fast, (0.75, 1, 1))


def table(ways: Sequence[Way], num_boxes: int) -> str:
    """A Markdown table, the first way being what the others are compared with."""
    columns = ["way", "times faster", "its network", "boxes/s", "over boxes", "change", "over classes", *SIZE_NAMES]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    exact = ways[0]
    for way in ways:
        found, reference = way.iou.compute(), exact.iou.compute()
        assert found.all.instances is not None
        assert reference.all.instances is not None
        overall, network = (
            [before[part] / now[part] for before, now in zip(exact.seconds, way.seconds, strict=True)]
            for part in (0, 1)
        )
        means = [found.all.classes, *(found.by_size[size].instances for size in SIZE_NAMES)]
        cells = [
            way.name,
            _ratio(overall),
            _ratio(network),
            f"{num_boxes / sum(seconds for seconds, _ in way.seconds):.0f}",
            f"{found.all.instances:.4f}",
            f"{found.all.instances - reference.all.instances:+.4f}",
            *("-" if mean is None else f"{mean:.4f}" for mean in means),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Run the study on what the command line names."""
    options = _parse_arguments()
    study = Study(options)
    ways = [way for way in all_ways(study.network, study) if not options.only or way.name in ("exact", *options.only)]
    study.compare(ways, options.photos_a_round)
    print(*(f"{key}: {value}" for key, value in environment().items()), f"device: {device_name(CPU)}", sep="\n")
    print(f"\n{table(ways, sum(map(len, study.photos)))}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.less_arithmetic",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="of mal train, with a vit-* backbone")
    parser.add_argument("--ann", type=Path, required=True, help="COCO JSON file with masks")
    parser.add_argument("--images", type=Path, required=True, help="folder of its images")
    parser.add_argument("--network", choices=("student", "teacher"), default="student")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored crop")
    parser.add_argument("--crop-size", type=int, help="in place of the checkpoint's; a multiple of 32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--photos", type=int, help="the first so many; all by default")
    parser.add_argument("--photos-a-round", type=int, default=20)
    parser.add_argument("--cpu-time", action="store_true", help="count processor time, on a machine that is busy")
    parser.add_argument("--only", action="append", metavar="NAME", help="a way of the table; all by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# Builds a wheel and an sdist into dist/, installs the wheel into an empty environment without extras, and runs
# `mal auto` there on the photos that come with it, outside of the checkout.
#   PYTHON   the Python that builds, and that the environment is made with (default: python3)
#   SKIP_BUILD=1 takes the wheel that is in dist/
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${PYTHON:-python3}")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

say() { printf '==> %s\n' "$*"; }

if [ -z "${SKIP_BUILD:-}" ]; then
    say "Building a wheel and an sdist into dist/"
    rm -rf dist
    "$python" -m venv "$place/build"
    "$place/build/bin/python" -m pip install -q build
    "$place/build/bin/python" -m build -q --outdir dist .
fi
wheel=$(echo "$PWD"/dist/*.whl)
say "Installing $(basename "$wheel") into an empty environment of $("$python" -V)"
"$python" -m venv "$place/empty"
"$place/empty/bin/python" -m pip install -q "$wheel"
size=$(du -sm "$place/empty" | cut -f1)
say "It takes $size MB"
[ "$size" -le 550 ]
cd "$place"
! empty/bin/python -c 'import torch' 2>/dev/null
empty/bin/mal sample shapes --images 5
empty/bin/mal auto shapes/photos --minutes 0
empty/bin/python -c '
import json
from pycocotools.coco import COCO
masks = COCO("shapes/photos_masks/masks.json")
assert masks.anns and all(masks.annToMask(each).any() for each in masks.anns.values())
'
say "mal auto has drawn all masks"

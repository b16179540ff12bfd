#!/usr/bin/env bash
# Makes the virtual environment that `make demo` and `make test` use, from nothing but Python and pip.
# Does nothing when it is there already and pyproject.toml has not changed since.
#   VENV         where it goes                            (default .venv)
#   MAL_PYTHON   the Python >= 3.10 that it is made with  (default: the first one found)
set -euo pipefail
cd "$(dirname "$0")/.."

venv=${VENV:-.venv}
python=$venv/bin/python
stamp=$venv/pyproject.installed # a copy of the pyproject.toml that was installed

say() { printf '==> %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
    if [ -n "${MAL_PYTHON:-}" ]; then
        new_enough "$MAL_PYTHON" || fail "MAL_PYTHON=$MAL_PYTHON is not a Python 3.10 or newer"
        echo "$MAL_PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if new_enough "$candidate"; then echo "$candidate"; return; fi
    done
    fail "no Python 3.10 or newer found; install one, or name it: make MAL_PYTHON=/path/to/python3"
}

make_venv() {
    local base
    base=$(find_python)
    say "Making $venv with $base ($("$base" -V))"
    "$base" -m venv --clear "$venv" >/dev/null 2>&1 && return
    # Debian's python3 has no ensurepip unless python3-venv is there too; its pip can fill a venv from outside.
    "$base" -m venv --clear --without-pip "$venv" && "$base" -m pip --python "$python" install -q pip ||
        fail "$base can make no virtual environment (on Debian and Ubuntu: apt install python3-venv)"
}

check_install() {
    "$python" - <<'PYTHON' || fail "the packages in $venv do not fit together: rm -rf $venv and run make again"
import sys
from importlib import import_module
from importlib.metadata import version

for name in ("torch", "torchvision", "timm", "lightning"):
    try:
        import_module(name)
    except Exception as error:
        pair = f"torch {version('torch')}, torchvision {version('torchvision')}"
        sys.exit(f"setup: {name} was installed, but importing it fails ({pair}): {error}")
PYTHON
}

if cmp -s pyproject.toml "$stamp" && "$python" -c '' 2>/dev/null; then exit 0; fi

if ! "$python" -m pip --version >/dev/null 2>&1; then make_venv; fi
if "$python" -c 'import torch' 2>/dev/null; then
    say "pyproject.toml changed: bringing $venv up to date"
else
    say "Setting up $venv: downloads about 3 GB the first time (PyTorch with its CUDA libraries), several minutes"
fi
started=$SECONDS
quiet=-qq
if [ -t 1 ]; then quiet=; fi # on a terminal pip's own progress bars say how far it is
# One resolver run for everything, so that torch and torchvision are chosen as a pair.
"$python" -m pip install $quiet --disable-pip-version-check --editable '.[dev]' ||
    fail "installing failed (pip says why above); once that is mended, run make again: it goes on where it stopped"
say "Checking that the packages fit together"
check_install
cp pyproject.toml "$stamp"
say "$venv is ready ($((SECONDS - started)) s)"

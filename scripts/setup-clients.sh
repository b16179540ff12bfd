#!/usr/bin/env bash
# Installs the programs that read what we write, each into a virtual environment of its own under .venv-clients/, since
# they pin versions against each other. What cannot be installed is told, and its tests are skipped; never fails.
#   PYTHON   the Python that the environments are made with
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

say() { printf '==> %s\n' "$*"; }

for wanted in tests/clients/*.txt; do
    name=$(basename "$wanted" .txt)
    venv=.venv-clients/$name
    if cmp -s "$wanted" "$venv/installed.txt"; then continue; fi
    say "Installing $(grep -v '^#' "$wanted" | head -n 1) into $venv"
    if "$python" -m venv --clear "$venv" >/dev/null &&
        "$venv/bin/python" -m pip install -qq --disable-pip-version-check --retries 1 -r "$wanted"; then
        cp "$wanted" "$venv/installed.txt"
    else
        say "The tests of $name will be skipped: it could not be installed"
    fi
done

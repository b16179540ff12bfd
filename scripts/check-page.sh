#!/usr/bin/env bash
# Checks the types in the scripts of the review page by tsc, where Node is there; without it, or without a registry to
# get tsc from, this says so and passes: nothing of the page is built.
set -uo pipefail
cd "$(dirname "$0")"

tsc=(npx --yes --package typescript@7.0.2 tsc)
command -v npx >/dev/null || { echo "==> No Node here: the types of the review page are not checked"; exit 0; }
timeout 300 "${tsc[@]}" --version >/dev/null 2>&1 || { echo "==> npx cannot get tsc: the types of the review page are not checked"; exit 0; }
"${tsc[@]}" --project tsconfig.json

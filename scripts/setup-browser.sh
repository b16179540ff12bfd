#!/usr/bin/env bash
# Gets what the tests of the report need: Playwright (pip) and a Chromium (apt, as root). Where one of them cannot be
# had this says so and the tests are skipped; it never fails.
#   PYTHON   the Python that runs the tests
set -uo pipefail
python=${PYTHON:-python3}

say() { printf '==> %s\n' "$*"; }
skip() { say "The tests in a browser will be skipped: $*"; exit 0; }

if ! "$python" -c 'import playwright' 2>/dev/null; then
    say "Installing Playwright, which drives a browser in the tests"
    timeout 300 "$python" -m pip install -qq --disable-pip-version-check --retries 1 --timeout 20 'playwright>=1.48' ||
        skip "pip could not install Playwright"
fi
for name in "${MAL_BROWSER:-chromium}" chromium chromium-browser google-chrome google-chrome-stable chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    skip "no Chromium on the PATH (on Debian: apt install chromium; elsewhere name one: MAL_BROWSER=/path/to/chrome)"
fi
say "Installing Chromium for the tests in a browser"
export DEBIAN_FRONTEND=noninteractive
install() { timeout 400 apt-get install -y -qq --no-install-recommends chromium >/dev/null 2>&1; }
install || { timeout 120 apt-get update -qq >/dev/null 2>&1; install; } || skip "apt could not install chromium"

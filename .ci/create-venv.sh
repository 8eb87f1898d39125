#!/bin/sh
# Creates $VENV with a working pip. Debian splits ensurepip into its own package, so a plain
# `python3 -m venv` may fail there; the system's pip can then fill the environment instead.
set -eu
[ -x "$VENV/bin/python" ] && "$VENV/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
rm -rf "$VENV"
"$PYTHON" -m venv "$VENV" >/dev/null 2>&1 && exit 0
rm -rf "$VENV"
if "$PYTHON" -m venv --without-pip "$VENV" >/dev/null 2>&1 &&
    "$PYTHON" -m pip --python "$VENV/bin/python" install --quiet pip >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$VENV"
echo "This Python cannot make a virtual environment: neither ensurepip nor pip is installed." >&2
echo "     do: sudo apt install python3-venv   (or name another Python: make PYTHON=/path/to/python3)" >&2
exit 2

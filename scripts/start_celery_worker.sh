#!/bin/sh
# Starts the Celery workers of backend/. Arguments go to `intelli-ops start-workers`: try --help, --single, --dry-run.
set -eu

script=$0
while [ -L "$script" ]; do # run through a link, this file's folder is where the link points
    target=$(readlink -- "$script")
    case $target in
        /*) script=$target ;;
        *) script=$(dirname -- "$script")/$target ;;
    esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$script")/.." && pwd -P)

for python in "${VIRTUAL_ENV:-/nonexistent}/bin/python" "$root/.venv/bin/python" "$root/backend/.venv/bin/python" \
    "$(command -v python3 || true)"; do
    if [ -x "$python" ] && "$python" -c 'import intelli_ops' 2>/dev/null; then
        exec "$python" -m intelli_ops start-workers --project "$root/backend" "$@"
    fi
done
if command -v intelli-ops >/dev/null; then
    exec intelli-ops start-workers --project "$root/backend" "$@"
fi
echo "intelli-ops is not installed: python3 -m venv .venv && .venv/bin/pip install '.[demo]' in $root" >&2
exit 127

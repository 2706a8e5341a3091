#!/bin/sh
exec "$(dirname -- "$0")/../../scripts/start_celery_worker.sh" "$@"

& (Join-Path $PSScriptRoot '../../scripts/start_celery_worker.ps1') @args
exit $LASTEXITCODE

# Starts the Celery workers of backend\. Arguments go to `intelli-ops start-workers`: try --help, --single, --dry-run.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$root = Split-Path -Parent $PSScriptRoot
$project = Join-Path $root 'backend'

$homes = @()
if ($env:VIRTUAL_ENV) { $homes += $env:VIRTUAL_ENV }
$homes += (Join-Path $root '.venv')
$homes += (Join-Path $project '.venv')

foreach ($venv in $homes) {
    foreach ($name in @('Scripts/python.exe', 'bin/python')) {
        $python = Join-Path $venv $name
        if (Test-Path -LiteralPath $python) {
            & $python -m intelli_ops start-workers --project $project @args
            exit $LASTEXITCODE
        }
    }
}

$tool = Get-Command intelli-ops -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
if ($tool) {
    & $tool.Source start-workers --project $project @args
    exit $LASTEXITCODE
}

[Console]::Error.WriteLine("intelli-ops is not installed: py -m venv .venv; .venv\Scripts\pip install '.[demo]' in $root")
exit 127

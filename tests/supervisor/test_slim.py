"""Workers of `start-workers` are Celery's own, but for what they never use and the garbage they do not have."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from intelli_ops import system

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there it is Celery as installed")

SLIM = Path(system.slim_celery(sys.executable)[1])
LOADED = """
import json, sys
from importlib import metadata, util
from importlib.machinery import SourceFileLoader
slim = util.module_from_spec(util.spec_from_loader("slim", SourceFileLoader("slim", sys.argv[1])))
slim.__loader__.exec_module(slim)
with slim.without_extras():
    from celery.bin.celery import celery
print(json.dumps({
    "commands": sorted(celery.commands),
    "loaded": [name for name in ("prompt_toolkit", "click_repl", "flower", "tornado") if name in sys.modules],
    "plugins": [point.name for point in metadata.entry_points(group="celery.commands")],
}))
"""
TOLD = """
import gc, os
from shop import app

@app.task(name="shop.garbage")
def garbage():
    return [gc.isenabled(), gc.get_freeze_count(), os.getppid()]
"""


@pytest.fixture
def told(shop):
    """The shop, with a task that tells how its process was forked."""
    (shop.folder / "told.py").write_text(TOLD)
    with (shop.folder / "shop.py").open("a") as module:
        module.write('\napp.conf.imports = ["told"]\n')
    return shop


def run(*argv, **options):
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, check=True, timeout=60, **options)


def test_neither_the_shell_nor_plug_ins_are_imported_and_both_are_there_afterwards():
    found = json.loads(run("-c", LOADED, str(SLIM)).stdout)
    assert not found["loaded"]
    assert {"worker", "beat", "inspect", "shell"} <= set(found["commands"])
    assert "flower" in found["plugins"]


@pytest.mark.parametrize("words", [["worker", "--help"], ["beat", "--help"], ["--version"]])
def test_the_command_line_is_celerys_own(words, tmp_path):
    installed = Path(sys.executable).with_name("celery")
    (tmp_path / "shop.py").write_text("from celery import Celery\napp = Celery('shop')\n")
    line = words if words == ["--version"] else ["-A", "shop", *words]
    assert run(str(SLIM), *line, cwd=tmp_path).stdout == run(str(installed), *line, cwd=tmp_path).stdout


@pytest.mark.parametrize("safe", ["", "1"])
def test_the_folder_it_lies_in_is_not_searched_for_modules(safe, tmp_path):
    (tmp_path / "where.py").write_text("import sys\nfrom celery import Celery\napp = Celery()\nprint(sys.path)\n")
    environment = {**os.environ, "PYTHONSAFEPATH": safe}
    shown = run(str(SLIM), "-A", "where", "report", cwd=tmp_path, env=environment).stdout
    assert str(SLIM.parent) not in shown
    assert str(tmp_path) in shown


def test_processes_are_forked_from_what_is_frozen_and_collect_their_own_garbage(told):
    told.start("--quiet", "--queue", "mail")
    told.wait_ready()
    enabled, frozen, parent = told.app().send_task("shop.garbage", queue="mail").get(timeout=30)
    assert enabled
    assert frozen > 10_000
    assert parent == told.pids()["mail"]


def test_a_worker_that_is_hung_up_on_starts_itself_again(told):
    told.start("--quiet", "--queue", "mail")
    told.wait_ready()
    worker = psutil.Process(told.pids()["mail"])
    before = worker.cmdline()
    worker.send_signal(signal.SIGHUP)
    told.wait_until(lambda: "Restarting celery worker" in told.log("mail"))
    assert told.app().send_task("shop.garbage", queue="mail").get(timeout=60)[2] == worker.pid
    assert worker.cmdline() == before
    assert told.record["units"][0]["starts"] == 1

"""A worker that runs another checkout of the project."""

from __future__ import annotations

import pytest
from tests.unit.celery.states import ask, context, node

from intelli_checks.probes import copies
from intelli_checks.probes.copies import Copy
from intelli_checks.probes.processes import Process
from intelli_checks.probes.survey import Survey, TaskDecl


@pytest.fixture
def shop(tmp_path):
    """Two releases, and the link to the one that is current."""
    for number, code in ((41, "def ship(order): ..."), (42, "def ship(order, fast): ...")):
        folder = tmp_path / "releases" / str(number) / "background"
        folder.mkdir(parents=True)
        (folder / "runner.py").write_text("app = 1")
        (folder / "tasks.py").write_text(code)
    (tmp_path / "current").symlink_to(tmp_path / "releases" / "42")
    return tmp_path


def gathered(project, worker, app="background.runner:app"):
    survey = Survey("here", project=str(project), celery_app=app)
    return copies.gather(survey, {1: Process(1, 0, "sleeping", 60.0, directory=str(worker))})


def test_a_worker_of_the_release_before_is_told_with_a_file_that_differs(shop):
    old, new = shop / "releases/41", shop / "releases/42"
    assert gathered(shop / "current", old) == {1: Copy(str(old), str(new), "background/tasks.py")}


def test_where_it_is_the_same_code_nothing_is_told(shop):
    assert gathered(shop / "current", shop / "releases/42") == {}
    assert gathered(shop / "releases/42", shop / "current") == {}
    (shop / "releases/41/background/tasks.py").write_text("def ship(order, fast): ...")
    assert gathered(shop / "current", shop / "releases/41") == {}


def test_where_it_cannot_be_known_nothing_is_told(shop):
    assert gathered(shop / "current", "") == {}
    assert gathered(shop / "current", shop / "releases/40") == {}  # removed since, or in a container
    assert gathered(shop / "current", shop) == {}  # no copy of the app there
    assert gathered(shop / "current", shop / "releases/41", app=None) == {}
    assert gathered(shop / "current", shop / "releases/41", app="installed.runner:app") == {}


def test_an_app_in_a_package_or_below_src(tmp_path):
    for name, code in (("a", "1"), ("b", "2")):
        (tmp_path / name / "src" / "shop").mkdir(parents=True)
        (tmp_path / name / "src" / "shop" / "__init__.py").write_text(code)
    assert gathered(tmp_path / "a", tmp_path / "b", app="shop")[1].file == "src/shop/__init__.py"


def test_the_check_names_both_and_asks_for_no_other_restart(shop):
    old, new = str(shop / "releases/41"), str(shop / "releases/42")
    pools = {1: Process(1, 0, "sleeping", 60.0, started=1.0)}
    survey = Survey("here", tasks=(TaskDecl("shop.nap", queue="ai"),))
    worker = node(registered={"shop.nap": {}})
    facts = {"newest_source": ("x.py", 100.0), "pools": pools}
    assert ask("celery.stale", context(worker, survey=survey, copies={1: Copy(old, new, "tasks.py")}, **facts)) == [
        f"WARNING: worker pid 1 runs the code of {old}, this check reads {new}; tasks.py differs"
    ]
    assert ask("celery.stale", context(worker, survey=survey, copies={}, **facts)) == [
        "WARNING: w@h was started before x.py was changed"
    ]
    stranger = node(registered={"mail.send": {}})
    assert ask("celery.stale", context(stranger, survey=survey, copies={1: Copy(old, new, "x")}, **facts)) == []

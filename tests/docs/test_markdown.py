"""Every fenced block of README.md and docs/*.md that can be run is run, and prints what it says.

Per page there is one empty folder, in which the blocks run from top to bottom: ``python`` blocks
share one namespace; in ``console`` and ``bash`` blocks the lines after ``$ `` are commands and the
others what they print (in a block without ``$ `` each line is a command). A ``text`` block is what
the block before it prints. ``...`` in expected output stands for anything. Lines that install
something are looked at and not run. ``norun`` after the language keeps a block from being run,
``extras`` keeps it to where the extras are installed.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from xetrack import __file__ as package_file

ROOT = next(path for path in Path(__file__).resolve().parents if path.name == "tests").parent
PAGES = [
    path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if path.exists()
]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the blocks are for a POSIX shell")

SHELLS = ("bash", "console")
SHOWN_ONLY = ("", "text", "sql", "json", "csv", "toml", "markdown")  # nothing there to run
EXTRAS = ("pandas", "duckdb", "loguru", "psutil", "cloudpickle")
MOST_NOT_RUN = 6

FENCE = re.compile(r"(?P<indent> *)(?P<marks>`{3,}|~{3,})(?P<info>[^`]*)$")
# What must not be run here; the pattern is the form that it must have.
INSTALLS = {
    "pip": r"(python3? -m )?pip install( --?[\w-]+)*( '?[\w.-]+(\[[\w,]+\])?'?)+",
    "pipx": r"pipx (run|install) \S+( .*)?",
    "git": r"git clone https://\S+( \S+)?",
    "cd": r"cd [\w./-]+",
    "nox": r"nox( -[-\w=]+)*( -s( [\w.()='\"-]+)+)?",
}

# Runs the steps of a page in one process and writes what each of them printed, up to the first
# that fails. Output is taken from the descriptor, so that of other processes is there too.
RUN_PAGE = """
import importlib, json, os, subprocess, sys, tempfile, traceback

def run_page(package, steps_path, results_path):
    with open(steps_path, encoding="utf-8") as file:
        steps = json.load(file)
    sys.modules.setdefault("xetrack", importlib.import_module(package))
    results = []
    with tempfile.TemporaryFile() as out:
        os.dup2(out.fileno(), 1)
        for kind, code, page, line in steps:
            start = os.fstat(1).st_size
            error = None
            try:
                if kind == "python":
                    exec(compile("\\n" * line + code, page, "exec"), vars(sys.modules["__main__"]))
                else:
                    ended = subprocess.run(code, shell=True, stderr=subprocess.PIPE, timeout=120)
                    if ended.returncode:
                        error = f"exit code {ended.returncode}: {ended.stderr.decode()}"
            except BaseException:
                error = traceback.format_exc()
            sys.stdout.flush()
            results.append([os.pread(1, os.fstat(1).st_size - start, start).decode(), error])
            if error:
                break
    with open(results_path, "w", encoding="utf-8") as file:
        json.dump(results, file)

run_page(*sys.argv[1:])
"""


class Block(NamedTuple):
    """A fenced block: the line of its fence, its language, the words after that, its lines."""

    line: int
    language: str
    words: tuple[str, ...]
    lines: list[str]


class Step(NamedTuple):
    """Something to run, and what it must print, or None where that is not said."""

    kind: str
    code: str
    line: int
    expected: str | None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    fence: re.Match[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if fence is None:
            fence = FENCE.match(line)
            if fence:
                language, *words = fence["info"].split() or [""]
                found.append(Block(number, language, tuple(words), []))
        elif line.strip() == fence["marks"]:
            fence = None
        else:
            found[-1].lines.append(line[len(fence["indent"]) :])
    assert fence is None, f"the block that begins in line {found[-1].line} has no end"
    return found


def is_run(block: Block) -> bool:
    """Whether a block is executed here."""
    if block.language not in ("python", *SHELLS) or "norun" in block.words:
        return False
    return "extras" not in block.words or all(map(find_spec, EXTRAS))


def steps(text: str) -> list[Step]:
    """What there is to run on a page, in order."""
    found: list[Step] = []
    of_page = blocks(text)
    for block, following in zip(of_page, [*of_page[1:], None]):
        if not is_run(block):
            continue
        shown = following is not None and following.language == "text"
        output = "\n".join([*following.lines, ""]) if following and shown else None
        if block.language == "python":
            found.append(Step("python", "\n".join(block.lines), block.line, output))
        else:
            made = shell_steps(block)
            if output is not None and made:
                made[-1] = made[-1]._replace(expected=output)
            found += made
    return found


def shell_steps(block: Block) -> list[Step]:
    """The commands of a block, each with the lines that follow it."""
    prompts = any(line.startswith("$ ") for line in block.lines)
    made: list[Step] = []
    for number, line in enumerate(block.lines, block.line + 1):
        if made and is_unfinished(made[-1].code):
            code = made[-1].code + "\n" + line.removeprefix("> ")
            made[-1] = made[-1]._replace(code=code)
        elif line.startswith("$ "):
            made.append(Step("shell", line[2:], number, None))
        elif made and prompts:
            made[-1] = made[-1]._replace(expected=f"{made[-1].expected or ''}{line}\n")
        elif line.strip() and not line.startswith("#"):
            assert not prompts, f"line {number} is output of no command: {line!r}"
            made.append(Step("shell", line, number, None))
    return [step._replace(code=code) for step in made if (code := without_installs(step.code))]


def is_unfinished(command: str) -> bool:
    """Whether a command goes on in the next line."""
    if command.endswith("\\"):
        return True
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def without_installs(command: str) -> str:
    """What is left of ``a && b`` without what installs something, after a look at its form."""
    left = []
    for part in command.split(" && "):
        words = shlex.split(part, comments=True)
        first = words[0] if words[:2] != ["python", "-m"] else words[2]
        if first in INSTALLS:
            bare = part.partition(" #")[0].strip()
            assert re.fullmatch(INSTALLS[first], bare), f"is this how to install? {bare!r}"
            extras = re.findall(r"xetrack\[([\w,]+)\]", bare)
            unknown = {name for group in extras for name in group.split(",")} - declared_extras()
            assert not unknown, f"{bare!r} names no extra: {unknown}"
        else:
            left.append(part)
    return " && ".join(left)


def declared_extras() -> set[str]:
    """The extras of pyproject.toml, which Python 3.9 has no parser for."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    return set(re.findall(r"(?m)^([\w-]+) = ", section))


def run_page(text: str, page: str, folder: Path, package: str) -> list[str]:
    """Run a page in a new folder; what is not as the page says."""
    todo = steps(text)
    work, bin_folder = folder / "work", folder / "bin"
    work.mkdir()
    bin_folder.mkdir()
    root = Path(package_file).resolve().parents[package.count(".") + 1]
    entrance = (
        f"import sys; sys.argv[0] = 'xt'; from {package}._core.cli import main; sys.exit(main())"
    )
    for name, options in (("python", ""), ("xt", f"-c {shlex.quote(entrance)}")):
        (bin_folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {options} "$@"\n')
        (bin_folder / name).chmod(0o755)
    (folder / "steps").write_text(json.dumps([[s.kind, s.code, page, s.line] for s in todo]))
    paths = {
        "PATH": os.pathsep.join([str(bin_folder), os.environ["PATH"]]),
        "PYTHONPATH": str(root),
        "HOME": str(work),
    }
    settings = {"COLUMNS": "80", "PYTHONIOENCODING": "utf-8"}
    command = [
        sys.executable,
        "-c",
        RUN_PAGE,
        package,
        str(folder / "steps"),
        str(folder / "results"),
    ]
    ended = subprocess.run(
        command, cwd=work, env={**os.environ, **paths, **settings}, timeout=120, check=False
    )
    assert ended.returncode == 0
    results = json.loads((folder / "results").read_text(encoding="utf-8"))
    differences = [difference(page, step, *result) for step, result in zip(todo, results)]
    return [text for text in differences if text]


def difference(page: str, step: Step, out: str, error: str | None) -> str:
    """How a step ended in another way than its page says; empty if it did not."""
    where = f"{page}:{step.line}: {step.code.strip()}\n"
    if error is not None:
        return f"{where}failed: {error}"
    expected, printed = (re.sub(r"(?m)[ \t]+$", "", t) for t in (step.expected or "", out))
    flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_BLANKLINE
    if step.expected is None or doctest.OutputChecker().check_output(expected, printed, flags):
        return ""
    return f"{where}must print:\n{expected}but prints:\n{printed}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_blocks_of_a_page_do_what_it_says(page: Path, tmp_path: Path, package: str) -> None:
    text = page.read_text(encoding="utf-8")
    differences = run_page(text, page.relative_to(ROOT).as_posix(), tmp_path, package)
    assert not differences, "\n\n".join(differences)


def test_the_readme_has_blocks_to_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    kinds = {step.kind for step in steps(text)}
    assert kinds == {"python", "shell"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_block_of_a_page_is_of_a_known_kind(page: Path) -> None:
    known = ("python", *SHELLS, *SHOWN_ONLY)
    found = blocks(page.read_text(encoding="utf-8"))
    strange = [(block.line, block.language) for block in found if block.language not in known]
    words = [(block.line, block.words) for block in found if {*block.words} - {"norun", "extras"}]
    assert (strange, words) == ([], [])


def test_few_blocks_are_kept_from_being_run() -> None:
    kept = [
        (page.name, block.line)
        for page in PAGES
        for block in blocks(page.read_text(encoding="utf-8"))
        if "norun" in block.words
    ]
    assert len(kept) <= MOST_NOT_RUN, kept


# -- of the runner itself --------------------------------------------------------------------

GOOD_PAGE = """
```python
from xetrack import Tracker
tracker = Tracker("page.db")
row = tracker.log({"epoch": 1})
```

```python
print(row["epoch"], row["timestamp"])
```

Prints

```text
1 20...
```

1. A list:

   ```console
   $ xt ls page.db epoch | cat
   1
   $ python -c "
   > print(2)"
   2
   $ git clone https://example.org/x && cd x && echo three
   three
   ```

~~~bash
# a comment
pip install 'xetrack[pandas,duckdb]'
xt set page.db epoch 7 > said.txt
cat said.txt
~~~

```text
1 rows set
```

```python
print(tracker.column("epoch"))
```
```text
[7]
```

```python norun
raise SystemExit
```
"""

WRONG_PAGES = {
    "other output": ("```python\nprint(1)\n```\n```text\n2\n```", "but prints:\n1\n"),
    "more output": ("```python\nprint('1\\n2')\n```\n```text\n1\n```", "but prints:\n1\n2\n"),
    "no output": ("```python\n```\n```text\n1\n```", "but prints:\n"),
    "exception": ("\n```python\n\n1 / 0\n```", 'page.md", line 4, in <module>'),
    "exit": ("```python\nraise SystemExit(0)\n```", "SystemExit: 0"),
    "command output": ("```console\n$ echo 1\n2\n```", "but prints:\n1\n"),
    "command fails": ("```bash\nxt head nope.db\n```", "failed: exit code 1: xt: "),
    "unclosed": ("```python\nfrom xetrack import Tracker\nprint(x)\n```", "NameError"),
}


def test_a_good_page_passes(tmp_path: Path, package: str) -> None:
    assert run_page(GOOD_PAGE, "page.md", tmp_path, package) == []
    assert [(step.kind, step.expected) for step in steps(GOOD_PAGE)] == [
        ("python", None),
        ("python", "1 20...\n"),
        ("shell", "1\n"),
        ("shell", "2\n"),
        ("shell", "three\n"),
        ("shell", None),
        ("shell", "1 rows set\n"),
        ("python", "[7]\n"),
    ]


@pytest.mark.parametrize(("text", "message"), WRONG_PAGES.values(), ids=WRONG_PAGES)
def test_a_wrong_page_fails(tmp_path: Path, package: str, text: str, message: str) -> None:
    (said,) = run_page(text, "page.md", tmp_path, package)
    assert message in said


@pytest.mark.parametrize(
    "line",
    ["pip install", "pip install 'xetrack[panda]'", "git clone xetrack", "nox | cat", "cd"],
)
def test_a_line_that_installs_in_a_wrong_way_fails(line: str) -> None:
    with pytest.raises(AssertionError):
        steps(f"```bash\n{line}\n```")

"""What holds for every command: help, exit codes, where text goes, and nothing that crashes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

from xetrack import Reader, Tracker, __version__
from xetrack import __file__ as package_file

Xt = Callable[..., Any]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# One way to call each command that looks for things in a file: {db} is that file.
ON_A_FILE = {
    "head": "head {db}",
    "tail": "tail {db}",
    "columns": "columns {db}",
    "ls": "ls {db}",
    "ls column": "ls {db} epoch",
    "sql": "sql {db} 'SELECT 1'",
    "sql write": "sql {db} 'CREATE TABLE db.mine (x)' --write",
    "set": "set {db} epoch 1",
    "delete": "delete {db} run",
    "copy": "copy {db} target.db",
    "get": "get {db} model out",
    "assets ls": "assets ls {db}",
    "assets export": "assets export {db} model out",
    "assets delete": "assets delete {db} model",
}
# Those that make the file where there is none.
INTO_A_FILE = {"copy into": "copy good.db {db}", "demo": "demo {db}"}
COMMANDS = [name for name in ON_A_FILE if name not in ("ls column", "sql write")] + ["demo"]

MISUSES = {
    "no command": "",
    "unknown command": "bogus",
    "no file": "head",
    "unknown option": "head good.db --bogus",
    "negative number": "head good.db --n -1",
    "no number": "tail good.db --n five",
    "half a number": "head good.db --n 1.5",
    "a digit that is no number": "head good.db --n ²",
    "empty number": "head good.db --n=",
    "no query": "sql good.db",
    "no value": "set good.db epoch",
    "where-key alone": "set good.db epoch 1 --where-key epoch",
    "where-value alone": "set good.db epoch 1 --where-value 1",
    "no run": "delete good.db",
    "no target": "copy good.db",
    "unknown conflict": "copy good.db target.db --on-conflict mine",
    "no output": "get good.db model",
    "no action": "assets",
    "unknown action": "assets bogus good.db",
}

# What each says, with {cwd} for the folder; the rest of the line where SQLite has the word.
FAILURES = {
    "unknown run": (
        "head good.db --track-id nope",
        "no run 'nope' in {cwd}/good.db; there are: run",
    ),
    "unknown run to list": (
        "ls good.db epoch --track-id nope",
        "no run 'nope' in {cwd}/good.db; there are: run",
    ),
    "unknown run to set": (
        "set good.db epoch 1 --track-id nope",
        "no run 'nope' in {cwd}/good.db; there are: run",
    ),
    "unknown run to delete": (
        "delete good.db nope",
        "no run 'nope' in {cwd}/good.db; there are: run",
    ),
    "unknown column": (
        "ls good.db nope",
        "no column 'nope' in {cwd}/good.db; there are: timestamp, track_id, *",
    ),
    "unknown column of a condition": (
        "set good.db epoch 1 --where-key nope --where-value 1",
        "no column 'nope' in {cwd}/good.db; there are: timestamp, track_id, *",
    ),
    "unknown table": (
        "tail good.db --table nope",
        "no table 'nope' in {cwd}/good.db; there are: events",
    ),
    "unknown table to set": (
        "set good.db epoch 1 --table nope",
        "no table 'nope' in {cwd}/good.db; there are: events",
    ),
    "unknown table to copy": (
        "copy good.db target.db --table nope",
        "no table 'nope' in good.db; there are: events",
    ),
    "table of the format": (
        "head good.db --table runs",
        "table 'runs' is part of the file format; use another name",
    ),
    "unknown asset": (
        "get good.db nope out",
        "no asset 'nope' in {cwd}/good.db; list them with: xt assets ls",
    ),
    "unknown asset to export": (
        "assets export good.db nope out",
        "no asset 'nope' in {cwd}/good.db; list them with: xt assets ls",
    ),
    "unknown asset to delete": (
        "assets delete good.db nope",
        "no asset 'nope' in {cwd}/good.db; list them with: xt assets ls",
    ),
    "text for an integer": (
        "set good.db epoch x",
        "'x' is no value for the column 'epoch', which is INTEGER",
    ),
    "text for a real": (
        "set good.db loss x",
        "'x' is no value for the column 'loss', which is REAL",
    ),
    "text for a boolean": (
        "set good.db ok maybe",
        "'maybe' is no value for the column 'ok', which is BOOLEAN",
    ),
    "text for json": (
        "set good.db tags [1,",
        "'[1,' is no value for the column 'tags', which is JSON",
    ),
    "text for bytes": (
        "set good.db raw zz",
        "'zz' is no value for the column 'raw', which is BLOB",
    ),
    "text in a condition": (
        "set good.db loss 1 --where-key epoch --where-value x",
        "'x' is no value for the column 'epoch', which is INTEGER",
    ),
    "a key that is ours": (
        "set good.db timestamp x",
        "key 'timestamp' is written by xetrack itself; use another name",
    ),
    "an empty key": (
        "set good.db '' x",
        "key '' is empty; give the value a name",
    ),
    "bad SQL": ("sql good.db SELEC", "SQL refused: *syntax error; in: SELEC"),
    "unknown name in SQL": (
        "sql good.db 'SELECT nope FROM db.events'",
        "SQL refused: no such column: nope; in: SELECT nope FROM db.events",
    ),
    "several statements": (
        "sql good.db 'SELECT 1; SELECT 2'",
        "SQL refused: You can only execute one statement at a time.; in: SELECT 1; SELECT 2",
    ),
    "a change without --write": (
        "sql good.db 'UPDATE db.events SET epoch = 9'",
        "SQL refused: * (to change the file: xt sql --write); in: UPDATE db.events SET epoch = 9",
    ),
    "SQL of several lines": ("sql good.db 'SELECT\n  nope'", "SQL refused: *; in: SELECT nope"),
    "output in no folder": (
        "get good.db model no/out",
        "no/out: cannot be written (No such file or directory)",
    ),
    "output that is a folder": ("get good.db model .", ".: cannot be written (*)"),
    "target in a file": ("copy good.db good.db/to.db", "{cwd}/good.db/to.db: *"),
    "target that is the source": (
        "copy good.db good.db",
        "{cwd}/good.db: is source and target of a copy; give two files",
    ),
    "demo in a file": ("demo good.db/demo.db", "{cwd}/good.db/demo.db: *"),
    "empty path": ("head ''", "db='' names no file; give the path of a file"),
}

BAD_FILES = ["missing", "folder", "text", "foreign", "later"]
SAID_OF = {
    "missing": r"no such file; nothing was created, check the path",
    "folder": r".+",
    "text": r"is not a readable SQLite database \(file is not a database\)",
    "foreign": r"is an SQLite database that xetrack did not make \(application_id 0\)",
    "later": r"has format 99, this xetrack reads up to \d+; upgrade xetrack",
}

# What of a file of no bytes, which to SQLite is a database without tables.
EMPTY_FILE = {
    "head": ("head {db} --json", 0, "[]\n"),
    "tail": ("tail {db} --json", 0, "[]\n"),
    "columns": ("columns {db} --json", 0, "[]\n"),
    "ls": ("ls {db}", 0, ""),
    "sql": ("sql {db} 'SELECT count(*) AS n FROM db.sqlite_master' --json", 0, '[{"n": 0}]\n'),
    "set": ("set {db} epoch 1", 0, "0 rows set\n"),
    "delete": ("delete {db} run", 1, ""),
    "copy": ("copy {db} target.db", 0, "0 rows and 0 assets added, 0 were there\n"),
    "copy into": ("copy good.db {db}", 0, "2 rows and 1 assets added, 0 were there\n"),
    "get": ("get {db} model out", 1, ""),
    "assets ls": ("assets ls {db} --json", 0, "[]\n"),
    "assets delete": ("assets delete {db} model", 1, ""),
}

# Whatever a terminal could take for a command, a carriage return and a bell among them.
HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\x08\x7f\x85\x9b31m"


@pytest.fixture
def run(package: str) -> Run:
    """Run a command in a process of its own."""
    root = Path(package_file).parents[package.count(".") + 1]

    def start(*argv: object, **options: Any) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(root), **options.pop("env", {})}
        command = [sys.executable, "-m", package, *map(str, argv)]
        options = {"capture_output": True, "text": True, "encoding": "utf-8", **options}
        return subprocess.run(command, env=env, timeout=60, check=False, **options)

    return start


@pytest.fixture
def shell(package: str) -> Run:
    """Run a line of shell in which ``xt`` is the command line under test."""
    root = Path(package_file).parents[package.count(".") + 1]
    words = shlex.join([sys.executable, "-m", package])

    def start(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            f'xt() {{ {words} "$@"; }}\n{line}',
            shell=True,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def on_a_terminal(package: str) -> Callable[..., str]:
    """Run a command on a pseudo-terminal; all that it showed."""
    pty = pytest.importorskip("pty")
    root = Path(package_file).parents[package.count(".") + 1]

    def start(*argv: object) -> str:
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen:
            process = subprocess.Popen(
                [sys.executable, "-m", package, *map(str, argv)],
                env={**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            shown = _read_to_end(screen)
            process.wait(timeout=60)
        return shown.decode().replace("\r\n", "\n")

    return start


def _read_to_end(screen: Any) -> bytes:
    shown = b""
    while True:
        try:
            piece = screen.read(65536)
        except OSError:  # what Linux says of a terminal that nobody writes to any more
            return shown
        if not piece:
            return shown
        shown += piece


def good_file(path: str = "good.db") -> None:
    with Tracker(path, track_id="run") as tracker:
        tracker.log({"epoch": 1, "loss": 0.5, "ok": True, "tags": [1], "raw": b"abc"})
        tracker.log({"model": {1, 2, 3}})


def bad_file(kind: str, xt: Xt) -> Path:
    """A path that no command can read."""
    path = Path(f"{kind}.db")
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("epoch,loss\n1,0.5\n" * 100, encoding="utf-8")
    elif kind == "foreign":
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE events (track_id, timestamp)")
    elif kind == "later":
        good_file(str(path))
        assert xt("sql", path, "PRAGMA db.user_version = 99", "--write").code == 0
    return path


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def example_of(help_text: str) -> list[str]:
    """The arguments of the example in the help of a command."""
    (line,) = [line for line in help_text.splitlines() if line.startswith("example: ")]
    words = shlex.split(line)
    return words[4:] if words[1:3] == ["python", "-m"] else words[2:]


# -- help and exit codes ---------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_can_be_pasted(
    xt: Xt, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = xt(*command.split(), "--help")
    assert (said.code, said.err) == (0, "")
    example = example_of(said.out)
    assert example[: len(command.split())] == command.split()
    good_file("track.db")
    Path("demo.db").mkdir()  # so that the demo ends soon
    assert xt(*example).code in (0, 1)  # 2 if the words were none of the command's


def test_the_help_of_all_lists_every_command(xt: Xt) -> None:
    said = xt("--help")
    listed = re.findall(r"(?m)^    ([a-z]+)\b", said.out)
    assert (said.code, listed) == (0, list(dict.fromkeys(c.split()[0] for c in listed)))
    assert sorted(listed) == sorted({command.split()[0] for command in COMMANDS})


def test_the_version_is_that_of_the_package(xt: Xt) -> None:
    said = xt("--version")
    assert (said.code, said.out.split()[1:], said.err) == (0, [__version__], "")


@pytest.mark.parametrize("argv", MISUSES.values(), ids=MISUSES)
def test_bad_usage_exits_with_2_and_shows_how_it_is_used(xt: Xt, argv: str) -> None:
    good_file()
    before = Reader("good.db").rows()
    said = xt(*shlex.split(argv))
    assert (said.code, said.out) == (2, "")
    assert re.fullmatch(r"usage: [^\n]+\n( [^\n]+\n)*[^\n]+: error: [^\n]+\n", said.err)
    assert Reader("good.db").rows() == before


@pytest.mark.parametrize(("argv", "message"), FAILURES.values(), ids=FAILURES)
def test_what_goes_wrong_is_said_in_one_line(
    xt: Xt, tmp_path: Path, argv: str, message: str
) -> None:
    good_file()
    before = Reader("good.db").rows()
    said = xt(*shlex.split(argv))
    pattern = re.escape(message.format(cwd=tmp_path)).replace(r"\*", "[^\n]+")
    lines = said.err.splitlines(keepends=True)
    assert (said.code, said.out) == (1, "")
    assert re.fullmatch(f"xt: {pattern}\n", lines[-1])
    assert len(lines) == (2 if argv.startswith("demo") else 1)  # which says first what it does
    assert Reader("good.db").rows() == before
    assert not Path("out").exists()


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ON_A_FILE.values(), ids=ON_A_FILE)
def test_a_file_that_cannot_be_read_is_named_and_left_alone(
    xt: Xt, tmp_path: Path, command: str, kind: str
) -> None:
    path = bad_file(kind, xt)
    before = content(path)
    said = xt(*shlex.split(command.format(db=path)))
    assert (said.code, said.out) == (1, "")
    assert re.fullmatch(f"xt: {re.escape(str(tmp_path / path))}: {SAID_OF[kind]}\n", said.err)
    assert (content(path), path.exists()) == (before, kind != "missing")
    assert not Path("out").exists()


@pytest.mark.parametrize(("command", "code", "out"), EMPTY_FILE.values(), ids=EMPTY_FILE)
def test_an_empty_file_is_a_database_without_rows(
    xt: Xt, tmp_path: Path, command: str, code: int, out: str
) -> None:
    good_file()
    Path("empty.db").touch()
    said = xt(*shlex.split(command.format(db="empty.db")))
    assert (said.code, said.out) == (code, out)
    assert re.fullmatch(f"(xt: no [^\n]+ in {tmp_path}/empty.db; [^\n]+\n)?", said.err)
    assert bool(said.err) == bool(code)


@pytest.mark.parametrize("kind", ["folder", "text", "foreign", "later"])
@pytest.mark.parametrize("command", INTO_A_FILE.values(), ids=INTO_A_FILE)
def test_a_file_that_cannot_be_added_to_is_named_and_left_alone(
    xt: Xt, tmp_path: Path, command: str, kind: str
) -> None:
    good_file()
    path = bad_file(kind, xt)
    before = content(path)
    said = xt(*shlex.split(command.format(db=path)))
    assert (said.code, said.out) == (1, "")
    last = said.err.splitlines()[-1]
    assert re.fullmatch(f"xt: {re.escape(str(tmp_path / path))}: {SAID_OF[kind]}", last)
    assert content(path) == before


# -- in a process of its own -----------------------------------------------------------------


def test_results_go_to_stdout_and_talk_to_stderr(run: Run) -> None:
    good_file()
    shown = run("ls", "good.db", "epoch", "--unique")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "1\n", "")
    written = run("get", "good.db", "model", "out")
    talk = f"{os.path.getsize('out')} bytes written to out\n"
    assert (written.returncode, written.stdout, written.stderr) == (0, "", talk)


@pytest.mark.parametrize(
    ("argv", "code"),
    [("head good.db", 0), ("head nope.db", 1), ("bogus", 2)],
    ids=["good", "wrong", "misused"],
)
def test_the_exit_code_reaches_the_shell(run: Run, argv: str, code: int) -> None:
    good_file()
    ended = run(*argv.split())
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr


def test_a_closed_pipe_is_quiet(shell: Run) -> None:
    with Tracker("big.db") as tracker:
        tracker.log_batch({"step": step, "text": "x" * 20} for step in range(50_000))
    for command, first in (
        ("ls big.db step", ["0"]),
        ("sql big.db 'SELECT step FROM db.events' --json", ['[{"step":', "0},"]),
        ("sql big.db 'SELECT 1 AS one FROM db.events'", ["|", "one", "|"]),
    ):
        ended = shell(f"{{ xt {command}; echo $? >&2; }} | head -n 1")
        assert (ended.stdout.split(), ended.stderr) == (first, "0\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["ls good.db", "head good.db", "head good.db --json"])
def test_a_full_disk_behind_stdout_is_one_line(shell: Run, command: str) -> None:
    good_file()
    ended = shell(f"xt {command} > /dev/full")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(r"xt: [^\n]*No space left on device[^\n]*\n", ended.stderr)


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell's redirection")
def test_a_closed_stdout_is_no_traceback(shell: Run) -> None:
    good_file()
    ended = shell("xt ls good.db >&-")
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 1


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_ctrl_c_ends_quietly(package: str) -> None:
    root = Path(package_file).parents[package.count(".") + 1]
    process = subprocess.Popen(
        [sys.executable, "-m", package, "demo"],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()  # it compresses now
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")


# -- what a terminal shows -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "out"),
    [
        (["ls", "good.db", "text"], "\\u6f22\\u5b57 na\\xefve\n"),
        (["ls", "good.db", "text", "--json"], '[{"text": "\\u6f22\\u5b57 na\\xefve"}]\n'),
    ],
    ids=["text", "json"],
)
def test_text_that_the_terminal_cannot_show_is_escaped(run: Run, argv: list[str], out: str) -> None:
    with Tracker("good.db") as tracker:
        tracker.log({"text": "漢字 naïve"})
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = run(*argv, env=env)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, out, "")


def test_an_error_that_the_terminal_cannot_show_is_escaped(run: Run, tmp_path: Path) -> None:
    good_file()
    ended = run("ls", "good.db", "naïve", env={"PYTHONIOENCODING": "ascii"})
    expected = f"xt: no column 'na\\xefve' in {tmp_path}/good.db; there are: timestamp, "
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(expected)


@pytest.mark.parametrize(
    "argv",
    [
        ["head", "h.db"],
        ["head", "h.db", "--json"],
        ["tail", "h.db"],
        ["columns", "h.db"],
        ["ls", "h.db"],
        ["ls", "h.db", "text"],
        ["ls", "h.db", "text", "--json"],
        ["ls", "h.db", "text", "--unique"],
        ["ls", "h.db", "tags"],
        ["sql", "h.db", "SELECT text FROM db.events"],
        ["head", "h.db", "--track-id", "nope"],
        ["ls", "h.db", "nope"],
        ["assets", "ls", "h.db"],
    ],
    ids=" ".join,
)
def test_what_was_logged_does_not_command_the_terminal(
    on_a_terminal: Callable[..., str], argv: list[str]
) -> None:
    with Tracker("h.db", track_id=HOSTILE.replace("\r", "")) as tracker:
        tracker.log({"text": HOSTILE, HOSTILE: 1, "tags": [HOSTILE]})
        tracker.log({"asset": type(HOSTILE, (), {"__reduce__": lambda _: (list, ())})()})
    shown = on_a_terminal(*argv)
    assert shown
    assert [c for c in shown if unicodedata.category(c) == "Cc" and c != "\n"] == []


@pytest.mark.parametrize("key", ["text", "P(x|y)"])
def test_a_bar_does_not_break_the_table(db: str, xt: Xt, key: str) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({key: "a|b", "list": ["c|d"], "last": 1})
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in xt("head", db).out.splitlines()]
    assert [len(line) for line in lines] == [6, 6, 6]
    assert [cell.strip().replace("\\|", "|") for cell in lines[0][3:]] == [key, "list", "last"]
    assert [cell.strip().replace("\\|", "|") for cell in lines[2][3:]] == ["a|b", '["c|d"]', "1"]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("plain", 5),
        ("naïve", 5),
        ("漢字かな", 8),
        ("한국어", 6),
        ("\uff37ide", 5),
        ("ﾊﾝｶｸ", 4),
        ("nai\u0308ve", 5),
        ("กินข้าว", 5),
        ("🎉", 2),
    ],
    ids=["ascii", "latin", "cjk", "hangul", "full", "half", "combining", "thai", "emoji"],
)
@pytest.mark.parametrize("as_key", [False, True], ids=["value", "key"])
def test_columns_are_aligned_by_the_places_that_text_takes(
    db: str, xt: Xt, text: str, places: int, as_key: bool
) -> None:
    with Tracker(db, track_id="run") as tracker:
        tracker.log({text: 1} if as_key else {"text": text})
    heads, rule, row = xt("head", db).out.splitlines()
    held, other = (heads, row) if as_key else (row, heads)
    assert text in held
    assert len(held) - len(text) + places == len(other) == len(rule)


def test_a_table_with_wide_text_is_aligned_to_the_place(db: str, xt: Xt) -> None:
    with Tracker(db) as tracker:
        tracker.log_batch([{"label": "漢字かなカナ"}, {"label": "twelve chars"}, {"label": "é"}])
    expected = (
        "| label        |\n|:-------------|\n| 漢字かなカナ |\n| twelve chars |\n| é            |\n"
    )
    assert xt("sql", db, "SELECT label FROM db.events") == (0, expected, "")


def test_json_can_be_read_by_another_program(shell: Run) -> None:
    good_file()
    ended = shell(f"xt columns good.db --json | {sys.executable} -m json.tool --compact")
    columns = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert columns[2:4] == [
        {"column": "epoch", "type": "INTEGER"},
        {"column": "loss", "type": "REAL"},
    ]

"""Rows become log lines that come back, and the application's own loguru never notices."""

from __future__ import annotations

import gc
import io
import json
import math
import os
import re
import sys
import threading
from collections import Counter
from contextlib import redirect_stdout
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import loguru
import pytest

from xetrack import (
    AssetError,
    KeyNameError,
    MissingExtraError,
    Reader,
    StorageError,
    StorageWarning,
    Tracker,
)
from xetrack._core import adapters
from xetrack._core.loglines import read_log_rows
from xetrack._core.sinks import Sinks
from xetrack.extras.logs import DayFiles, LogSink, TrackerLogger

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

STAMP = "2023-12-14 21:46:55.290098"
ROW = {"accuracy": 0.9, "timestamp": STAMP, "track_id": "wisteria-turkey-4392"}
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
HERE = re.escape(__name__)

OPEN_A_LOGGER = """
import os, sys
from xetrack._core import adapters
logs = adapters.load("logs", "a test")
def opened(path="logs", stdout=False, file_format=None, track_id="run"):
    return logs.TrackerLogger(
        path=path, stdout=stdout, file_format=file_format, track_id=track_id
    )
"""

has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def opened(
    path: str | None = "logs",
    stdout: bool = False,
    file_format: str | None = None,
    track_id: str = "run",
) -> TrackerLogger:
    return TrackerLogger(path=path, stdout=stdout, file_format=file_format, track_id=track_id)


def own(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what the logger adds to each."""
    return [{k: v for k, v in row.items() if k not in ("timestamp", "track_id")} for row in rows]


def logged(path: str = "logs") -> list[dict[str, Any]]:
    return own(read_log_rows(path))


def lines(folder: str = "logs") -> list[str]:
    (path,) = Path(folder).iterdir()
    return path.read_text(encoding="utf-8").splitlines()


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def descriptors(folder: str = "logs") -> int:
    """How many open files of this process are in *folder*."""
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.dirname(link) == os.path.abspath(folder) for link in links)


# -- the lines -------------------------------------------------------------------------------


def test_a_stored_row_is_a_line_of_the_level_tracking() -> None:
    LogSink(opened()).write(ROW)
    (line,) = lines()
    head, mark, text = line.partition("!📁!")
    assert re.fullmatch(rf"{TIME} \| TRACKING \| {HERE}:test_\w+:\d+", head)
    assert (mark, text) == ("!📁!", json.dumps(ROW))
    assert read_log_rows("logs") == [ROW]


def test_a_line_names_the_caller_outside_the_package() -> None:
    log = opened()
    Sinks([LogSink(log)]).write(ROW)
    log.info("hello")
    log.monitor({"a": 1})
    first = test_a_line_names_the_caller_outside_the_package.__code__.co_firstlineno
    place = f"{__name__}:test_a_line_names_the_caller_outside_the_package"
    assert [re.split(r" \| | - |!📁!", line)[2] for line in lines()] == [
        f"{place}:{first + 2}",
        f"{place}:{first + 3}",
        f"{place}:{first + 4}",
    ]


def test_times_are_utc(run_python: Callable[..., str]) -> None:
    code = f"os.environ['TZ'] = 'Asia/Tokyo'; import time; time.tzset()\n{OPEN_A_LOGGER}"
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    run_python("import os\n" + code + "\nopened().track({'a': 1})")
    after = datetime.now(timezone.utc).replace(tzinfo=None)
    (line,) = lines()
    (row,) = read_log_rows("logs")
    for stamp in (line[:23], row["timestamp"]):
        then = datetime.fromisoformat(stamp)
        assert before - timedelta(milliseconds=1) <= then <= after
    assert [path.name for path in Path("logs").iterdir()] == [f"{row['timestamp'][:10]}.log"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_message_is_a_line_and_no_row(level: str) -> None:
    getattr(opened(), level)("done: <b>{x}</b> {}\nnext %s")
    first, second = lines()
    assert re.fullmatch(rf"{TIME} \| {level.upper()} \| {HERE}:test_\w+:\d+ - done: .*", first)
    assert first.endswith(" - done: <b>{x}</b> {}")
    assert second == "    next %s"
    assert read_log_rows("logs") == []


def test_monitor_takes_a_dict() -> None:
    opened(track_id="wisteria-turkey-4392").monitor({"age": 31, "job": "naïve"})
    (line,) = lines()
    assert " | MONITOR | " in line
    (row,) = read_log_rows("logs")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", row["timestamp"])
    assert list(row.items()) == [
        ("age", 31),
        ("job", "naïve"),
        ("timestamp", row["timestamp"]),
        ("track_id", "wisteria-turkey-4392"),
    ]


def test_the_lines_of_one_monitor_call_have_the_same_keys() -> None:
    opened().monitor([{"a": 1}, {"b": 2, "a": 3}, {"c": math.inf}])
    rows = read_log_rows("logs")
    assert [list(row) for row in rows] == [["a", "b", "c", "timestamp", "track_id"]] * 3
    assert own(rows) == [
        {"a": 1, "b": None, "c": None},
        {"a": 3, "b": 2, "c": None},
        {"a": None, "b": None, "c": math.inf},
    ]
    assert sorted({row["timestamp"] for row in rows}) == [row["timestamp"] for row in rows]
    assert len(lines()) == 3


def test_monitor_takes_a_generator_and_nothing() -> None:
    log = opened()
    log.monitor({"n": n} for n in range(3))
    log.monitor([])
    assert logged() == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_monitor_takes_a_dataframe() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "n": [1, 2],
            "gap": pandas.array([1, None], dtype="Int64"),
            "x": [math.inf, math.nan],
            "yes": [True, False],
            "job": ["a", None],
            "born": pandas.to_datetime(["2001-02-03", None]),
            7: ["number", "as a key"],
        }
    )
    opened().monitor(frame)
    rows = logged()
    assert rows == [
        {
            "n": 1,
            "gap": 1,
            "x": math.inf,
            "yes": True,
            "job": "a",
            "born": "2001-02-03T00:00:00",
            "7": "number",
        },
        {
            "n": 2,
            "gap": None,
            "x": None,
            "yes": False,
            "job": None,
            "born": None,
            "7": "as a key",
        },
    ]
    assert [type(value) for value in rows[0].values()] == [int, int, float, bool, str, str, str]
    assert len(lines()) == 2


def test_two_columns_of_one_name_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(KeyNameError, match="'a' is the name of two columns"):
        opened().monitor(pandas.DataFrame([[1, 2]], columns=["a", "a"]))


def test_an_experiment_is_printed_over_several_lines() -> None:
    opened().experiment({"model": "resnet18", "layers": [1, 2], "loss": math.inf})
    first, *rest = lines()
    assert re.fullmatch(rf"{TIME} \| EXPERIMENT \| {HERE}:test_\w+:\d+!📁!{{", first)
    assert rest[:6] == [
        '  "model": "resnet18",',
        '  "layers": [',
        "    1,",
        "    2",
        "  ],",
        '  "loss": {',
    ]
    assert logged() == [{"model": "resnet18", "layers": [1, 2], "loss": math.inf}]


def test_track_is_a_line_of_the_level_tracking() -> None:
    opened().track({"a": b"\x00"})
    assert " | TRACKING | " in lines()[0]
    assert logged() == [{"a": b"\x00"}]


def test_rows_messages_and_experiments_stand_together() -> None:
    log = opened()
    for n in range(3):
        log.monitor({"n": n})
        log.info("a step\n  done")
        log.experiment({"n": n, "inner": {"a": [n]}})
    expected = [[{"n": n}, {"n": n, "inner": {"a": [n]}}] for n in range(3)]
    assert logged() == [row for pair in expected for row in pair]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("text", TypeError, "what is monitored is a dict, a list of dicts or a DataFrame"),
        (7, TypeError, "not 7$"),
        ([{"a": 1}, 7], TypeError, "not 7$"),
        ([{"a": 1}, {"": 2}], KeyNameError, "key '' is empty"),
        ([{"a": 1}, {"timestamp": 2}], KeyNameError, "key 'timestamp' is written by xetrack"),
        ([{"a": 1}, {"b": {1}}], AssetError, "'b' is a .*set, .* a log has no place"),
    ],
    ids=["text", "number", "one of several", "empty key", "our key", "object"],
)
def test_what_cannot_be_monitored_is_refused_whole(
    data: Any, error: type[Exception], message: str
) -> None:
    log = opened()
    with pytest.raises(error, match=message):
        log.monitor(data)
    log.monitor({"next": 1})
    assert logged() == [{"next": 1}]


def test_lone_surrogates_do_not_stop_a_message() -> None:
    opened().info("\ud800")
    assert lines()[0].endswith(r" - \ud800")


# -- the files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "name"),
    [
        (None, "%Y-%m-%d.log"),
        ("{time:YYYY-MM-DD}.log", "%Y-%m-%d.log"),
        ("model_{time:YYYYMMDD}.txt", "model_%Y%m%d.txt"),
        ("{time:YYYY}.log", "%Y.log"),
        ("monitor.log", "monitor.%Y-%m-%d.log"),
        ("app.log.{time:YYYY-DDDD}", "app.log.%Y-%j"),
        ("{{a}}.log", "{{a}}.%Y-%m-%d.log"),
    ],
)
def test_a_file_is_named_in_the_form_of_loguru(file_format: str | None, name: str) -> None:
    opened(file_format=file_format).track({"a": 1})
    made = [path.name for path in Path("logs").iterdir()]
    assert made == [datetime.now(timezone.utc).strftime(name).replace("{{a}}", "{a}")]
    assert logged() == [{"a": 1}]


def test_a_bare_time_names_a_file_of_each_logger() -> None:
    for n in range(2):
        log = opened(file_format="{time}.log")
        log.track({"n": n})
        log.close()
        log.track({"n": n})
    names = sorted(path.name for path in Path("logs").iterdir())
    assert len(names) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}\.log", name) for name in names)
    assert Counter(row["n"] for row in logged()) == {0: 2, 1: 2}


@pytest.mark.parametrize(
    ("file_format", "message"),
    [
        ("{day}.log", "has braces around more than time"),
        ("{}.log", "has braces around more than time"),
        ("{time.log", "cannot be understood"),
        ("sub/{time}.log", "put folders in logs_path"),
        ("{time:YYYY/MM}.log", "put folders in logs_path"),
        ("{time:YYYY}.db", r"let it end in one of \.log, \.txt"),
        ("log", r"let it end in one of \.log, \.txt"),
    ],
)
def test_a_format_that_names_no_log_is_refused(file_format: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        opened(file_format=file_format)
    assert str(caught.value).startswith(f"logs_file_format={file_format!r}")
    assert not Path("logs").exists()


def test_a_format_without_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="give logs_path too"):
        opened(path=None, stdout=True, file_format="{time}.log")


def test_a_logger_that_goes_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="give logs_path or logs_stdout"):
        opened(path=None)


def move(days: int, record: loguru.Record) -> None:
    record["time"] += timedelta(days=days)


def test_each_day_has_a_file_of_its_own() -> None:
    """The days are those of real records of loguru, whose time a patch of its own moved."""
    seen: list[Any] = []
    number = loguru.logger.add(seen.append, format="{message}")
    for days in (0, 0, 1, 1, 0, 40):
        loguru.logger.patch(partial(move, days)).info(str(days))
    loguru.logger.remove(number)
    files = DayFiles("logs", "{time:YYYY-MM-DD}.log")
    for message in seen:
        files.write(message)
    first = seen[0].record["time"].astimezone(timezone.utc).date()
    assert {path.stem: path.read_text() for path in Path("logs").iterdir()} == {
        str(first): "0\n0\n0\n",
        str(first + timedelta(days=1)): "1\n1\n",
        str(first + timedelta(days=40)): "40\n",
    }


def test_a_file_that_is_there_is_continued() -> None:
    opened().track({"n": 1})
    opened().track({"n": 2})
    assert logged() == [{"n": 1}, {"n": 2}]
    assert len(lines()) == 2


def test_after_a_cut_line_the_next_begins_anew() -> None:
    opened().track({"n": 1})
    (path,) = Path("logs").iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    opened().track({"n": 2})
    assert logged() == [{"n": 2}]
    assert [line[:4] for line in lines()] == [today()[:4]] * 2


@pytest.mark.parametrize("change", ["removed", "renamed", "folder removed"])
def test_a_file_that_others_took_away_is_made_anew(change: str) -> None:
    log = opened()
    log.track({"n": 1})
    (path,) = Path("logs").iterdir()
    if change == "renamed":
        path.rename("logs/old.log")
    else:
        path.unlink()
    if change == "folder removed":
        Path("logs").rmdir()
    log.track({"n": 2})
    assert logged(str(path)) == [{"n": 2}]
    if change == "renamed":
        assert logged("logs/old.log") == [{"n": 1}]


def test_the_folder_may_have_any_name() -> None:
    opened(path="a/{b}/<red>c").track({"n": 1})
    assert logged("a/{b}/<red>c") == [{"n": 1}]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_close_closes_the_file_and_a_later_line_opens_it() -> None:
    log = opened()
    sink = LogSink(log)
    sink.write(ROW)
    assert descriptors() == 1
    sink.close()
    sink.close()
    assert descriptors() == 0
    sink.write(ROW)
    assert descriptors() == 1
    assert read_log_rows("logs") == [ROW, ROW]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_forgotten_logger_leaves_no_file_open() -> None:
    opened().track({"a": 1})
    gc.collect()
    assert descriptors() == 0


def test_lines_at_the_end_of_a_program_are_kept(run_python: Callable[..., str]) -> None:
    run_python(
        f"import atexit\n{OPEN_A_LOGGER}\n"
        "atexit.register(lambda: log.track({'n': 2}))\n"
        "log = opened(); log.track({'n': 1})"
    )
    assert logged() == [{"n": 1}, {"n": 2}]


def test_a_folder_that_cannot_be_made_is_said() -> None:
    Path("logs").write_text("a file")
    with pytest.raises(StorageError, match=r"logs: cannot be written"):
        opened()


def test_a_line_that_cannot_be_written_is_told_once_and_the_work_goes_on() -> None:
    log = opened()
    Path("logs").rmdir()
    Path("logs").write_text("a file")
    with pytest.warns(StorageWarning, match=r"cannot be written .*the work goes on$") as caught:
        log.monitor([{"a": 1}] * 3)
    log.info("hello")
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(StorageError, match="cannot be written"):
        LogSink(log).write(ROW)
    Path("logs").unlink()
    log.monitor({"b": 2})
    assert logged() == [{"b": 2}]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said() -> None:
    Path("logs").mkdir()
    Path(f"logs/{today()}.log").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        LogSink(opened()).write(ROW)


# -- stdout ----------------------------------------------------------------------------------


def test_stdout_has_the_lines_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    log = opened(stdout=True)
    log.track({"a": 1})
    log.experiment({"b": 2})
    log.info("hello")
    said = capsys.readouterr()
    assert said.out.splitlines() == lines()
    assert said.err == ""


def test_stdout_alone_makes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    opened(path=None, stdout=True).track({"a": 1})
    Path("captured.log").write_text(capsys.readouterr().out, encoding="utf-8")
    assert logged("captured.log") == [{"a": 1}]
    assert [path.name for path in Path().iterdir()] == ["captured.log"]


def test_files_alone_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    opened().track({"a": 1})
    assert capfd.readouterr() == ("", "")


def test_a_redirected_stdout_is_followed() -> None:
    log = opened(path=None, stdout=True)
    with redirect_stdout(io.StringIO()) as said:
        log.track({"a": 1})
    assert said.getvalue().count("!📁!") == 1


def test_a_stdout_that_knows_no_such_letters_gets_others() -> None:
    log, raw = opened(path=None, stdout=True), io.BytesIO()
    stdout = io.TextIOWrapper(raw, encoding="ascii")
    with redirect_stdout(stdout):
        log.info("naïve")
    assert raw.getvalue().endswith(b" - na\\xefve\n")
    stdout.close()


def test_a_stdout_that_fails_keeps_no_line_from_the_file() -> None:
    log, closed = opened(stdout=True), io.StringIO()
    closed.close()
    with redirect_stdout(closed), pytest.warns(StorageWarning, match="^stdout: cannot be written"):
        log.track({"a": 1})
    assert logged() == [{"a": 1}]


def test_a_program_without_stdout_logs_to_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    opened(stdout=True).track({"a": 1})
    assert logged() == [{"a": 1}]


def test_a_stdout_that_logs_by_itself_does_not_hang() -> None:
    class Teller(io.StringIO):
        def write(self, text: str) -> int:
            log.info("written")
            return super().write(text)

    log = opened(stdout=True)
    with redirect_stdout(Teller()), pytest.warns(StorageWarning, match="while it is being written"):
        log.track({"a": 1})
    assert logged() == [{"a": 1}]


# -- the application's loguru ----------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """What a handler of the application hears."""
    texts: list[str] = []
    number = loguru.logger.add(lambda m: texts.append(m.record["message"]), level=0)
    yield texts
    loguru.logger.remove(number)


def test_the_application_hears_nothing_of_ours(heard: list[str]) -> None:
    log = opened()
    loguru.logger.info("before")
    log.monitor({"a": 1})
    log.experiment({"a": 1})
    log.error("ours")
    LogSink(log).write(ROW)
    loguru.logger.info("after")
    assert heard == ["before", "after"]


def test_we_hear_nothing_of_the_application(capfd: pytest.CaptureFixture[str]) -> None:
    log = opened(stdout=True)
    log.info("ours")
    loguru.logger.bind(a=1).error("theirs")
    loguru.logger.opt(raw=True).info("theirs")
    log.info("ours")
    said = capfd.readouterr().out.splitlines()
    assert [line[-6:] for line in lines()] == [line[-6:] for line in said] == ["- ours"] * 2


def test_levels_stay_apart() -> None:
    for name in ("TRACKING", "MONITOR", "EXPERIMENT"):
        opened()
        with pytest.raises(ValueError, match=f"Level '{name}' does not exist"):
            loguru.logger.level(name)


def test_nothing_of_the_application_reaches_our_lines() -> None:
    """Its context, patches, names turned off and handlers removed are its own."""
    log = opened()
    loguru.logger.disable(__name__)
    try:
        with loguru.logger.contextualize(who="theirs"):
            log.track({"a": 1})
        loguru.logger.remove(loguru.logger.add(lambda _: None))
        log.track({"a": 2})
    finally:
        loguru.logger.enable(__name__)
    assert logged() == [{"a": 1}, {"a": 2}]


def test_loggers_do_not_hear_each_other() -> None:
    logs = {name: opened(path=name, track_id=name) for name in ("a", "b", "c")}
    for name, log in logs.items():
        log.track({"by": name})
        log.info(name)
    logs["a"].close()
    for name, log in logs.items():
        log.track({"by": name})
    found = {name: [(row["by"], row["track_id"]) for row in read_log_rows(name)] for name in logs}
    assert found == {name: [(name, name)] * 2 for name in logs}


WATCH_THE_APPLICATION = """
import sys
from loguru import logger
said = []
logger.remove()
logger.level("MONITOR", no=33, icon="M")
logger.add(said.append, format="{level} {extra} {message}", level="INFO")
logger.configure(extra={"app": 1}, patcher=lambda record: record["extra"].update(patched=2))
def state():
    core = logger._core
    return [repr(logger), logger._options, core.levels, core.extra, core.patcher, core.min_level,
            core.enabled, core.activation_list, core.handlers_count, list(core.handlers.items())]
before = [list(part) if isinstance(part, tuple) else part for part in map(
    lambda part: dict(part) if isinstance(part, dict) else part, state())]
"""


def test_the_application_is_left_as_it_was(run_python: Callable[..., str]) -> None:
    said = run_python(
        f"{WATCH_THE_APPLICATION}\n{OPEN_A_LOGGER}\n"
        "log = opened(stdout=True)\n"
        "log.monitor({'a': 1}); log.error('ours'); log.close(); log.track({'b': 2}); del log\n"
        "after = [list(part) if isinstance(part, tuple) else part for part in state()]\n"
        "assert after == before, (before, after)\n"
        "logger.log('MONITOR', 'theirs')\n"
        "sys.stdout.flush(); print(*said, end='')"
    )
    printed = said.splitlines()
    assert printed[-1] == "MONITOR {'app': 1, 'patched': 2} theirs"
    assert printed[:-1] == lines()


def test_loguru_is_imported_only_when_a_log_is_asked_for(run_python: Callable[..., str]) -> None:
    said = run_python(
        "import sys; print('loguru' in sys.modules)\n"
        f"{OPEN_A_LOGGER}\nprint('loguru' in sys.modules)"
    )
    assert said == "False\nTrue\n"


def test_the_environment_of_loguru_is_for_the_application(run_python: Callable[..., str]) -> None:
    names = "LEVEL FORMAT FILTER COLORIZE SERIALIZE BACKTRACE DIAGNOSE ENQUEUE CATCH".split()  # noqa: SIM905
    values = ["ERROR", "<red>{message}</red>", "nobody", *["1"] * 6]
    setting = dict(zip([f"LOGURU_{name}" for name in names], values))
    run_python(f"import os; os.environ.update({setting!r})\n{OPEN_A_LOGGER}\nopened().info('ours')")
    (line,) = lines()
    assert re.fullmatch(rf"{TIME} \| INFO \| __main__:<module>:\d+ - ours", line)


def test_a_loguru_of_another_make_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(loguru._logger, "Core")  # type: ignore[attr-defined]
    with pytest.raises(MissingExtraError) as caught:
        opened()
    assert str(caught.value) == (
        "a logger apart from the application's needs the package loguru>=0.7,<0.8, which is not "
        "installed: pip install 'xetrack[logs]'"
    )


def test_what_loguru_itself_serialized_is_read(run_python: Callable[..., str]) -> None:
    run_python(
        "from loguru import logger; logger.remove()\n"
        "for level in ('TRACKING', 'MONITOR', 'OTHER'): logger.level(level, no=30)\n"
        "logger.add('logs/{time:YYYY-MM-DD}.log', serialize=True)\n"
        "for level in ('TRACKING', 'MONITOR', 'OTHER'): logger.log(level, '{\"accuracy\": 0.9}')"
    )
    assert read_log_rows("logs") == [{"accuracy": 0.9}] * 2


# -- threads, processes, forks ---------------------------------------------------------------


def test_threads_share_a_logger() -> None:
    log = opened()
    sink = LogSink(log)
    go = threading.Barrier(8)

    def work(thread: int) -> None:
        go.wait()
        for n in range(100):
            log.monitor({"thread": thread, "n": n, "text": "x" * (n * 40)})
            sink.write({"thread": thread, "n": n})
            log.experiment({"thread": thread, "n": n})
            if n % 10 == 0:
                log.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Counter((row["thread"], row["n"]) for row in read_log_rows("logs"))
    assert found == {(thread, n): 3 for thread in range(8) for n in range(100)}


@pytest.mark.slow
def test_processes_share_a_folder(
    start_python: Callable[..., subprocess.Popen[str]],
) -> None:
    code = (
        f"{OPEN_A_LOGGER}\nlog = opened(file_format='shared.log')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for n in range(300):\n"
        "    log.monitor({'who': sys.argv[1], 'n': n, 'text': 'x' * (n * 100)})\n"
        "    log.experiment({'who': sys.argv[1], 'n': n})\n"
    )
    processes = [start_python(code, who) for who in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert process.communicate(timeout=120) == ("", "")
    rows = read_log_rows("logs")
    assert Counter((row["who"], row["n"]) for row in rows) == {
        (str(who), n): 2 for who in range(4) for n in range(300)
    }
    assert all(len(row["text"]) == row["n"] * 100 for row in rows if "text" in row)
    assert len(list(Path("logs").iterdir())) == 1


@has_fork
def test_parent_and_child_of_a_fork_log_on(run_python: Callable[..., str]) -> None:
    run_python(
        f"{OPEN_A_LOGGER}\nimport threading\nlog = opened(); stop = threading.Event()\n"
        "def work():\n"
        "    while not stop.is_set(): log.track({'who': 'thread'})\n"
        "thread = threading.Thread(target=work); thread.start()\n"
        "for n in range(20):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        log.track({'who': 'child', 'n': n}); log.close()\n"
        "        log.track({'who': 'child', 'n': n}); os._exit(0)\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    log.track({'who': 'parent', 'n': n})\n"
        "stop.set(); thread.join()"
    )
    found = Counter((row["who"], row["n"]) for row in logged() if row["who"] != "thread")
    assert found == {
        **{("child", n): 2 for n in range(20)},
        **{("parent", n): 1 for n in range(20)},
    }
    # Who opens the file amid a long line of another may add an empty one behind it.
    assert len([line for line in lines() if line]) == len(logged())


def test_the_door_gives_the_adapter() -> None:
    assert adapters.load("logs", "a test").TrackerLogger is TrackerLogger


# -- with a tracker --------------------------------------------------------------------------


def without_gaps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def test_each_row_of_a_tracker_is_logged_as_it_is_stored(db: str) -> None:
    with Tracker(db, params={"model": "m"}, logs_path="logs") as tracker:
        tracker.log({"text": "a\nb", "bytes": b"\x00", "big": 2**80, "inf": -math.inf, "set": {1}})
        tracker.log_batch([{"n": 1}, {"n": 2}])
        with tracker.batch():
            tracker.log({"n": 3})
        tracker.track(max, 1, 2)
        assert Reader.read_log_rows("logs") == without_gaps(tracker.rows())
        assert len(tracker) == 5
    places = {re.split(r" \| |!📁!", line)[2].partition(":")[0] for line in lines()}
    assert places == {__name__}


def test_a_tracker_that_stores_nothing_writes_its_log() -> None:
    with Tracker(Tracker.SKIP_INSERT, logs_path="logs", track_id="run") as tracker:
        row = tracker.log({"accuracy": 0.9})
        tracker.logger.monitor({"age": 31})
    assert [path.name for path in Path().iterdir()] == ["logs"]
    first, second = Reader.read_log_rows("logs")
    assert first == row
    assert own([second]) == [{"age": 31}]
    assert second["track_id"] == "run"


def test_closing_a_tracker_closes_its_log(db: str) -> None:
    tracker = Tracker(db, logs_path="logs")
    tracker.log({"a": 1})
    tracker.logger.info("hello")
    assert descriptors() == 1
    tracker.close()
    assert descriptors() == 0


@has_fork
def test_a_child_of_a_fork_logs_rows(db: str) -> None:
    with Tracker(db, logs_path="logs") as tracker:
        tracker.log({"who": "parent"})
        child = os.fork()
        if not child:
            tracker.log({"who": "child"})
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        tracker.log({"who": "parent"})
    assert [row["who"] for row in logged()] == ["parent", "child", "parent"]

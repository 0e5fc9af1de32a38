"""A tracked call is recorded as one row, whatever kind of function it is."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import math
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, ClassVar, NamedTuple

import pytest

from xetrack import KeyNameError, Reader, StorageWarning, Tracker, UnpicklableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator
    from pathlib import Path

VARYING = ("timestamp", "track_id", "function_time", "traceback")


@pytest.fixture
def tracker(db: str) -> Iterator[Tracker]:
    with Tracker(db) as tracker:
        yield tracker


@pytest.fixture
def forgiving(db: str) -> Iterator[Tracker]:
    """One that records exceptions and does not raise them."""
    with Tracker(db, raise_on_error=False) as tracker:
        yield tracker


def recorded(tracker: Tracker) -> list[dict[str, Any]]:
    """The rows, with the values that they have and that do not vary from call to call."""
    return [
        {key: value for key, value in row.items() if value is not None and key not in VARYING}
        for row in tracker.rows()
    ]


def call_of(function_name: str, args: str = "[]", kwargs: str = "{}", **more: Any) -> Any:
    """The row of a call that went well, or with ``error=``, of one that did not."""
    row = {"function_name": function_name, "args": args, "kwargs": kwargs, "error": ""}
    return {**row, **more}


def add(a: int, b: int = 0) -> int:
    """The sum."""
    return a + b


def fail(message: str) -> None:
    raise ValueError(message)


# -- the two spellings ---------------------------------------------------------------------------


def test_track_takes_the_arguments_as_a_call_does(tracker: Tracker) -> None:
    assert tracker.track(add, 1, b=2) == 3
    assert recorded(tracker) == [call_of("add", "[1]", "{'b': 2}", function_result=3)]


def test_track_takes_the_arguments_as_args_and_kwargs_too(tracker: Tracker) -> None:
    assert tracker.track(add, args=[1], kwargs={"b": 2}, params={"model": "m"}) == 3
    row = call_of("add", "[1]", "{'b': 2}", function_result=3, model="m")
    assert recorded(tracker) == [row]


def test_a_function_may_have_parameters_of_the_trackers_words(tracker: Tracker) -> None:
    def listed(function: int, args: int, kwargs: int, params: int) -> list[int]:
        return [function, args, kwargs, params]

    words = {"function": 1, "args": 2, "kwargs": 3, "params": 4}
    assert tracker.track(listed, kwargs=words) == [1, 2, 3, 4]
    (row,) = recorded(tracker)
    assert row == call_of("listed", kwargs=repr(words), function_result=[1, 2, 3, 4])


def test_a_parameter_named_function_needs_no_second_spelling(tracker: Tracker) -> None:
    def shown(function: int, self: int) -> list[int]:
        return [function, self]

    assert tracker.track(shown, function=1, self=2) == [1, 2]


def test_the_arguments_given_are_not_changed(tracker: Tracker) -> None:
    args, kwargs, params = [1], {"b": 2}, {"model": "m"}
    tracker.track(add, args=args, kwargs=kwargs, params=params)
    assert (args, kwargs, params) == ([1], {"b": 2}, {"model": "m"})


def test_params_of_a_call_go_into_its_row_alone(tracker: Tracker) -> None:
    tracker.set_params({"model": "m", "epoch": 0})
    tracker.track(add, args=[1], params={"epoch": 5})
    tracker.track(add, 2)
    assert [(row["model"], row["epoch"]) for row in tracker.rows()] == [("m", 5), ("m", 0)]


def test_a_bad_param_is_told_before_the_work(tracker: Tracker) -> None:
    calls: list[int] = []
    with pytest.raises(KeyNameError, match="timestamp"):
        tracker.track(calls.append, args=[1], params={"timestamp": 1})
    assert calls == []
    assert tracker.rows() == []


def test_a_param_that_cannot_be_stored_is_told_before_the_work(tracker: Tracker) -> None:
    calls: list[int] = []
    with pytest.raises(UnpicklableError):
        tracker.track(calls.append, args=[1], params={"model": lambda: 0})
    assert calls == []
    assert tracker.rows() == []


# -- columns -------------------------------------------------------------------------------------


def test_a_call_is_recorded_as_the_readme_prints_it(tracker: Tracker) -> None:
    @tracker.wrap(params={"name": "foofoo"})  # type: ignore[untyped-decorator, unused-ignore]
    def foo(a: int, b: str) -> int:
        return a + len(b)

    assert foo(1, "hello") == 6
    row = tracker.latest
    seconds = row["function_time"]
    assert type(seconds) is float
    assert row == {
        "function_name": "foo",
        "args": "[1, 'hello']",
        "kwargs": "{}",
        "error": "",
        "function_time": seconds,
        "function_result": 6,
        "name": "foofoo",
        "timestamp": row["timestamp"],
        "track_id": tracker.track_id,
    }
    assert list(row)[:7] == [
        "function_name",
        "args",
        "kwargs",
        "error",
        "function_time",
        "function_result",
        "name",
    ]


def test_the_time_of_a_call_is_in_seconds(tracker: Tracker) -> None:
    started = time.perf_counter()
    tracker.track(time.sleep, 0.05)
    assert 0.04 < tracker.latest["function_time"] <= time.perf_counter() - started


def test_the_keys_of_a_dict_result_are_columns(tracker: Tracker) -> None:
    result = {"loss": 0.5, "train/acc": 0.9, 3: "three"}
    assert tracker.track(lambda: result) is result
    row = {**call_of("<lambda>"), "loss": 0.5, "train/acc": 0.9, "3": "three"}
    assert recorded(tracker) == [row]
    assert "function_result" not in Reader(tracker.db).columns


@pytest.mark.parametrize(
    "result",
    [{"": 1, "loss": 0.5}, {"timestamp": 1}, {"track_id": "x"}, {"_overflow": {}}],
    ids=["empty", "timestamp", "track_id", "overflow"],
)
def test_a_dict_with_text_that_no_value_can_be_named_stays_one_value(
    tracker: Tracker, result: dict[str, Any]
) -> None:
    assert tracker.track(lambda: result) is result
    assert recorded(tracker) == [call_of("<lambda>", function_result=result)]


@pytest.mark.parametrize(
    "result",
    [{(1, 2): 3}, {None: 1}, {1: "a", "1": "b"}, {"loss": 1, b"loss": 2}],
    ids=["tuple", "none", "two keys of one name", "bytes"],
)
def test_a_dict_with_keys_that_are_no_names_stays_one_object(
    tracker: Tracker, result: dict[Any, Any]
) -> None:
    assert tracker.track(lambda: result) is result
    (row,) = recorded(tracker)
    assert row.keys() == {*call_of("<lambda>"), "function_result"}
    assert tracker.get(row["function_result"]) == result


def test_keys_of_a_dict_result_that_sql_cannot_tell_apart_are_all_there(tracker: Tracker) -> None:
    tracker.track(lambda: {"Loss": 1.0, "loss": 2.0, "rowid": 3})
    assert recorded(tracker) == [call_of("<lambda>", Loss=1.0, loss=2.0, rowid=3)]


def test_a_result_that_no_cell_holds_is_an_asset(tracker: Tracker) -> None:
    result = {1, 2, 3}
    assert tracker.track(set, [1, 2, 3]) == result
    (row,) = recorded(tracker)
    assert row["function_result"] == tracker.assets.list()[0]["id"]
    assert tracker.get("function_result") == result


def test_no_result_is_no_value(tracker: Tracker) -> None:
    assert tracker.track(lambda: None) is None
    assert recorded(tracker) == [call_of("<lambda>")]


def test_arguments_are_described_as_they_were_before_the_call(tracker: Tracker) -> None:
    tracker.track([3, 1, 2].sort)
    tracker.track(lambda items: items.clear(), [1, 2])
    assert [row["args"] for row in recorded(tracker)] == ["[]", "[[1, 2]]"]


def test_the_row_is_there_before_the_value_is_returned(
    run_python: Callable[..., str], db: str
) -> None:
    run_python("import os, sys; xetrack.Tracker(sys.argv[1]).track(abs, -2); os._exit(0)", db)
    assert Reader(db).column("function_result") == [2]


def test_calls_wait_for_the_end_of_a_batch(tracker: Tracker) -> None:
    with tracker.batch():
        assert tracker.track(add, 1) == 1
        assert len(tracker) == 0
    assert recorded(tracker) == [call_of("add", "[1]", function_result=1)]


# -- exceptions ----------------------------------------------------------------------------------


def test_an_exception_is_recorded_and_raised_again(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match=r"^too late$"):
        tracker.track(fail, "too late")
    assert recorded(tracker) == [call_of("fail", "['too late']", error="ValueError: too late")]
    lines = tracker.latest["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: too late"
    assert any(line.endswith(", in fail") for line in lines)


def test_an_exception_is_recorded_and_not_raised_if_so_asked(forgiving: Tracker) -> None:
    assert forgiving.track(fail, "too late") is None
    assert recorded(forgiving) == [call_of("fail", "['too late']", error="ValueError: too late")]
    assert forgiving.latest["function_time"] >= 0


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_ends_a_program_always_passes(forgiving: Tracker, stop: type[BaseException]) -> None:
    def work() -> None:
        raise stop

    with pytest.raises(stop):
        forgiving.track(work)
    (row,) = recorded(forgiving)
    assert row["error"].split(".")[-1] == stop.__name__


def test_a_message_of_several_lines_is_whole(forgiving: Tracker) -> None:
    forgiving.track(fail, "one\ntwo\n  three")
    assert forgiving.latest["error"] == "ValueError: one\ntwo\n  three"


def test_a_message_that_utf8_cannot_hold_is_whole(forgiving: Tracker) -> None:
    forgiving.track(fail, "\ud800")
    (row,) = recorded(forgiving)
    assert row["error"] == "ValueError: \ud800"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_the_error_is_the_message_and_not_a_note(forgiving: Tracker) -> None:
    def work() -> None:
        error = ValueError("too late")
        error.add_note("a hint")  # type: ignore[attr-defined, unused-ignore]
        raise error

    forgiving.track(work)
    assert forgiving.latest["error"] == "ValueError: too late"
    assert forgiving.latest["traceback"].splitlines()[-1] == "a hint"


def test_an_exception_that_cannot_be_printed_is_recorded_and_raised(tracker: Tracker) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def work() -> None:
        raise MuteError

    with pytest.raises(MuteError):
        tracker.track(work)
    row = tracker.latest
    assert "MuteError" in row["error"]
    assert row["error"] == row["traceback"].splitlines()[-1]


def test_a_call_with_wrong_arguments_is_recorded_and_raised(tracker: Tracker) -> None:
    with pytest.raises(TypeError) as caught:
        tracker.track(add, 1, 2, 3)
    row = call_of("add", "[1, 2, 3]", error=f"TypeError: {caught.value}")
    assert recorded(tracker) == [row]


def test_a_function_may_raise_what_ends_an_iteration(tracker: Tracker) -> None:
    with pytest.raises(StopIteration):
        tracker.track(next, iter([]))
    assert tracker.latest["error"] == "StopIteration"


# -- kinds of callables --------------------------------------------------------------------------


class Model:
    """Has methods of each kind."""

    factor: ClassVar[int] = 10

    def __repr__(self) -> str:
        return "Model()"

    def __call__(self, x: int) -> int:
        return x * self.factor

    def predict(self, x: int) -> int:
        return x * self.factor

    @classmethod
    def scaled(cls, x: int) -> int:
        return x * cls.factor

    @staticmethod
    def same(x: int) -> int:
        return x


class Case(NamedTuple):
    """Something that can be called, the name under which it is recorded, and a call of it."""

    function: Callable[..., Any]
    name: str
    argument: Any
    result: Any


CALLABLES = {
    "function": Case(add, "add", 2, 2),
    "lambda": Case(lambda x: -x, "<lambda>", 2, -2),
    "method": Case(Model().predict, "predict", 2, 20),
    "classmethod": Case(Model.scaled, "scaled", 2, 20),
    "staticmethod": Case(Model.same, "same", 2, 2),
    "object": Case(Model(), "Model", 2, 20),
    "partial": Case(functools.partial(add, b=5), "add", 2, 7),
    "partial of a partial": Case(functools.partial(functools.partial(add), b=5), "add", 2, 7),
    "partial of an object": Case(functools.partial(Model()), "Model", 2, 20),
    "cached function": Case(functools.lru_cache(add), "add", 2, 2),
    "function in C": Case(math.sqrt, "sqrt", 4, 2.0),
    "builtin": Case(len, "len", "abc", 3),
    "method of a builtin type": Case(str.upper, "upper", "abc", "ABC"),
    "method of a builtin object": Case("a-b".split, "split", "-", ["a", "b"]),
    "type": Case(int, "int", "12", 12),
}


@pytest.mark.parametrize("way", ["track", "wrap"])
@pytest.mark.parametrize("case", CALLABLES.values(), ids=CALLABLES.keys())
def test_whatever_can_be_called_can_be_tracked(tracker: Tracker, case: Case, way: str) -> None:
    if way == "track":
        assert tracker.track(case.function, case.argument) == case.result
    else:
        assert tracker.wrap(case.function)(case.argument) == case.result
    row = call_of(case.name, f"[{case.argument!r}]", function_result=case.result)
    assert recorded(tracker) == [row]


def test_an_object_that_has_every_attribute_can_be_tracked(tracker: Tracker) -> None:
    class Remote:
        """As unittest.mock.Mock and clients of remote calls are."""

        def __init__(self, depth: int = 0) -> None:
            assert depth < 50, "looked for a name without end"
            self._depth = depth

        def __getattr__(self, name: str) -> Remote:
            if name.startswith("__"):
                raise AttributeError(name)
            return Remote(self._depth + 1)

        def __call__(self) -> int:
            return 7

    assert tracker.track(Remote()) == 7
    assert recorded(tracker) == [call_of("Remote", function_result=7)]


def test_a_tracked_call_may_make_tracked_calls(tracker: Tracker) -> None:
    @tracker.wrap
    def factorial(n: int) -> int:
        return n * int(factorial(n - 1)) if n > 1 else 1

    assert factorial(3) == 6
    assert [row["function_result"] for row in recorded(tracker)] == [1, 2, 6]


# -- decorators ----------------------------------------------------------------------------------


def test_a_bare_decorator_records_each_call(tracker: Tracker) -> None:
    @tracker.wrap
    def twice(x: int) -> int:
        return 2 * x

    assert [twice(1), twice(x=2)] == [2, 4]
    assert recorded(tracker) == [
        call_of("twice", "[1]", function_result=2),
        call_of("twice", kwargs="{'x': 2}", function_result=4),
    ]


def test_a_decorator_without_params_is_a_bare_one(tracker: Tracker) -> None:
    @tracker.wrap()  # type: ignore[untyped-decorator, unused-ignore]
    def twice(x: int) -> int:
        return 2 * x

    assert twice(1) == 2
    assert recorded(tracker) == [call_of("twice", "[1]", function_result=2)]


def test_a_decorated_function_looks_like_itself(tracker: Tracker) -> None:
    def scale(x: int, *, by: float = 1.5) -> float:
        """Larger."""
        return x * by

    scale.unit = "m"  # type: ignore[attr-defined]
    wrapped = tracker.wrap(scale)
    for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__", "unit"):
        assert getattr(wrapped, name) == getattr(scale, name)
    assert getattr(wrapped, "__wrapped__") is scale  # noqa: B009  # mypy knows no such attribute
    assert inspect.signature(wrapped) == inspect.signature(scale)


async def fetch(x: int) -> int:
    await asyncio.sleep(0)
    return 2 * x


def count(n: int) -> Generator[int, None, str]:
    yield from range(n)
    return "done"


async def stream(n: int) -> AsyncGenerator[int, None]:
    for number in range(n):
        await asyncio.sleep(0)
        yield number


async def listed(numbers: AsyncGenerator[int, None]) -> list[int]:
    return [number async for number in numbers]


class Fetcher:
    async def __call__(self, x: int) -> int:
        return await fetch(x)


@pytest.mark.parametrize(
    "function",
    [add, fetch, count, stream, functools.partial(fetch, 1), functools.partial(count, 1)],
    ids=["plain", "coroutine", "generator", "async generator", "async partial", "partial"],
)
def test_a_decorated_function_is_of_the_same_kind(
    tracker: Tracker, function: Callable[..., Any]
) -> None:
    wrapped = tracker.wrap(function)
    for is_kind in (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ):
        assert is_kind(wrapped) == is_kind(function)


def test_an_object_whose_call_is_async_becomes_an_async_function(tracker: Tracker) -> None:
    wrapped = tracker.wrap(Fetcher())
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped(2)) == 4
    assert recorded(tracker) == [call_of("Fetcher", "[2]", function_result=4)]


def test_methods_of_each_kind_can_be_decorated(tracker: Tracker) -> None:
    class Net:
        @tracker.wrap
        def forward(self, x: int) -> int:
            return x + 1

        @classmethod
        @tracker.wrap
        def below(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        @tracker.wrap
        @classmethod
        def above(cls, x: int) -> str:
            return f"{cls.__name__} {x}"

        @staticmethod
        @tracker.wrap
        def plain_below(x: int) -> int:
            return x

        @tracker.wrap(params={"kind": "static"})  # type: ignore[untyped-decorator, unused-ignore]
        @staticmethod
        def plain_above(x: int) -> int:
            return x

        @property
        @tracker.wrap
        def size(self) -> int:
            return 9

        def __repr__(self) -> str:
            return "Net()"

    class Deep(Net):
        """Its class methods get the subclass."""

    net = Deep()
    results = [net.forward(1), Deep.below(2), net.above(3), Net.plain_below(4), net.plain_above(5)]
    assert [*results, net.size] == [2, "Deep 2", "Deep 3", 4, 5, 9]
    deep = repr(Deep)
    assert [(row["function_name"], row["args"]) for row in recorded(tracker)] == [
        ("forward", "[Net(), 1]"),
        ("below", f"[{deep}, 2]"),
        ("above", f"[{deep}, 3]"),
        ("plain_below", "[4]"),
        ("plain_above", "[5]"),
        ("size", "[Net()]"),
    ]
    assert tracker.column("kind") == [None, None, None, None, "static", None]


MODULE = """
from {package} import Tracker

tracker = Tracker("track.db", track_id="spawned")

@tracker.wrap
def double(x):
    return 2 * x
"""


def test_a_decorated_function_pickles_and_works_in_another_process(
    run_python: Callable[..., str], tmp_path: Path, package: str, db: str
) -> None:
    (tmp_path / "decorated.py").write_text(MODULE.format(package=package))
    code = """
import multiprocessing, pickle
import decorated
assert pickle.loads(pickle.dumps(decorated.double)) is decorated.double
with multiprocessing.get_context("spawn").Pool(2) as pool:
    print(pool.map(decorated.double, [1, 2, 3]))
"""
    assert run_python(code) == "[2, 4, 6]\n"
    assert sorted(Reader(db).column("args", "spawned")) == ["[1]", "[2]", "[3]"]


# -- coroutines ----------------------------------------------------------------------------------


def test_a_coroutine_is_recorded_when_it_ends(tracker: Tracker) -> None:
    async def main() -> int:
        pending = tracker.track(fetch, 3)
        assert len(tracker) == 0
        return int(await pending)

    assert asyncio.run(main()) == 6
    assert recorded(tracker) == [call_of("fetch", "[3]", function_result=6)]


def test_a_decorated_coroutine_is_recorded_too(tracker: Tracker) -> None:
    wrapped = tracker.wrap(fetch, params={"kind": "async"})

    async def main() -> list[int]:
        return list(await asyncio.gather(wrapped(1), wrapped(x=2)))

    assert asyncio.run(main()) == [2, 4]
    assert sorted(recorded(tracker), key=lambda row: str(row["args"])) == [
        call_of("fetch", "[1]", function_result=2, kind="async"),
        call_of("fetch", "[]", "{'x': 2}", function_result=4, kind="async"),
    ]


def test_the_time_of_a_coroutine_is_that_until_its_end(tracker: Tracker) -> None:
    started = time.perf_counter()
    asyncio.run(tracker.track(asyncio.sleep, 0.05))
    assert 0.04 < tracker.latest["function_time"] <= time.perf_counter() - started


async def fail_later(message: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(message)


def test_an_exception_in_a_coroutine_is_recorded_and_raised(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match=r"^too late$"):
        asyncio.run(tracker.track(fail_later, "too late"))
    (row,) = recorded(tracker)
    assert row == call_of("fail_later", "['too late']", error="ValueError: too late")


def test_an_exception_in_a_coroutine_is_not_raised_if_so_asked(forgiving: Tracker) -> None:
    assert asyncio.run(forgiving.track(fail_later, "too late")) is None
    assert asyncio.run(forgiving.wrap(fail_later)("again")) is None
    assert forgiving.column("error") == ["ValueError: too late", "ValueError: again"]


def test_a_coroutine_that_is_cancelled_is_recorded_as_that(forgiving: Tracker) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(forgiving.track(asyncio.sleep, 60))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    (row,) = recorded(forgiving)
    assert row["function_name"] == "sleep"
    assert row["error"].endswith("CancelledError")


# -- generators ----------------------------------------------------------------------------------


def running_sum() -> Generator[int, int | None, int]:
    """Adds what is sent; a KeyError that is thrown in counts 100; None ends it."""
    total = 0
    while True:
        try:
            item = yield total
        except KeyError:
            item = 100
        if item is None:
            return total
        total += item


@pytest.mark.parametrize("way", ["track", "wrap"])
def test_a_generator_is_recorded_when_it_ends(tracker: Tracker, way: str) -> None:
    numbers = tracker.track(count, 3) if way == "track" else tracker.wrap(count)(3)
    assert [next(numbers), next(numbers), next(numbers)] == [0, 1, 2]
    assert len(tracker) == 0
    with pytest.raises(StopIteration) as end:
        next(numbers)
    assert end.value.value == "done"
    assert recorded(tracker) == [call_of("count", "[3]", function_result="done")]


@pytest.mark.parametrize("way", ["track", "wrap"])
def test_a_generator_takes_what_is_sent_and_thrown(tracker: Tracker, way: str) -> None:
    total = tracker.track(running_sum) if way == "track" else tracker.wrap(running_sum)()
    assert [next(total), total.send(3), total.throw(KeyError("x")), total.send(1)] == [
        0,
        3,
        103,
        104,
    ]
    with pytest.raises(StopIteration) as end:
        total.send(None)
    assert end.value.value == 104
    assert recorded(tracker) == [call_of("running_sum", function_result=104)]


@pytest.mark.parametrize("way", ["track", "wrap"])
def test_a_generator_that_is_closed_early_is_recorded_once(tracker: Tracker, way: str) -> None:
    ended: list[str] = []

    def work() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append("cleaned up")

    numbers: Any = tracker.track(work) if way == "track" else tracker.wrap(work)()
    assert next(numbers) == 1
    numbers.close()
    assert ended == ["cleaned up"]
    assert list(numbers) == []
    assert recorded(tracker) == [call_of("work")]


def test_what_a_generator_does_not_handle_is_recorded_and_raised(tracker: Tracker) -> None:
    numbers = tracker.track(count, 3)
    next(numbers)
    with pytest.raises(ValueError, match=r"^thrown in$"):
        numbers.throw(ValueError("thrown in"))
    assert recorded(tracker) == [call_of("count", "[3]", error="ValueError: thrown in")]


def test_a_generator_that_fails_ends_if_so_asked(forgiving: Tracker) -> None:
    def work() -> Iterator[int]:
        yield 1
        fail("too late")

    assert list(forgiving.track(work)) == [1]
    assert list(forgiving.wrap(work)()) == [1]
    assert forgiving.column("error") == ["ValueError: too late"] * 2


def test_a_generator_that_fails_while_it_is_closed_is_recorded_as_that(tracker: Tracker) -> None:
    def work() -> Iterator[int]:
        try:
            yield 1
        finally:
            fail("no way back")

    numbers: Any = tracker.track(work)
    next(numbers)
    with pytest.raises(ValueError, match=r"^no way back$"):
        numbers.close()
    assert recorded(tracker) == [call_of("work", error="ValueError: no way back")]


def test_a_generator_that_nobody_started_is_no_call(tracker: Tracker) -> None:
    tracker.track(count, 3).close()
    assert tracker.rows() == []


def test_the_time_of_a_generator_is_that_spent_in_it(tracker: Tracker) -> None:
    started = time.perf_counter()
    for _ in tracker.track(count, 2):
        time.sleep(0.03)
    assert tracker.latest["function_time"] + 2 * 0.03 <= time.perf_counter() - started + 0.001


def test_a_decorated_generator_can_be_delegated_to(tracker: Tracker) -> None:
    wrapped = tracker.wrap(count)

    def outer() -> Generator[int, None, str]:
        result: str = yield from wrapped(2)
        return result

    numbers = outer()
    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(StopIteration) as end:
        next(numbers)
    assert end.value.value == "done"


@pytest.mark.parametrize(
    ("function", "use"),
    [
        (add, lambda result: result),
        (fetch, asyncio.run),
        (count, list),
        (stream, lambda numbers: asyncio.run(listed(numbers))),
    ],
    ids=["plain", "coroutine", "generator", "async generator"],
)
def test_wrong_arguments_do_not_raise_if_so_asked(
    forgiving: Tracker, function: Callable[..., Any], use: Callable[[Any], Any]
) -> None:
    assert not use(forgiving.wrap(function)())
    (row,) = recorded(forgiving)
    with pytest.raises(TypeError) as caught:
        function()
    assert row == call_of(function.__name__, error=f"TypeError: {caught.value}")


# -- async generators ----------------------------------------------------------------------------


async def running_sum_async() -> AsyncGenerator[int, int]:
    """As ``running_sum``; it has no end of its own."""
    total = 0
    while True:
        try:
            item = yield total
        except KeyError:
            item = 100
        total += item


@pytest.mark.parametrize("way", ["track", "wrap"])
def test_an_async_generator_is_recorded_when_it_ends(tracker: Tracker, way: str) -> None:
    numbers = tracker.track(stream, 3) if way == "track" else tracker.wrap(stream)(3)
    assert asyncio.run(listed(numbers)) == [0, 1, 2]
    assert recorded(tracker) == [call_of("stream", "[3]")]


def test_an_async_generator_takes_what_is_sent_and_thrown(tracker: Tracker) -> None:
    async def main() -> list[int]:
        total = tracker.track(running_sum_async)
        given = [await total.__anext__(), await total.asend(3)]
        given.append(await total.athrow(KeyError("x")))
        await total.aclose()
        return given

    assert asyncio.run(main()) == [0, 3, 103]
    assert recorded(tracker) == [call_of("running_sum_async")]


def test_an_async_generator_that_is_closed_early_cleans_up(tracker: Tracker) -> None:
    ended: list[str] = []

    async def work() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    async def main() -> None:
        numbers = tracker.wrap(work)()
        assert await numbers.__anext__() == 1
        await numbers.aclose()

    asyncio.run(main())
    assert ended == ["cleaned up"]
    assert recorded(tracker) == [call_of("work")]


async def stream_and_fail() -> AsyncGenerator[int, None]:
    yield 1
    fail("too late")


def test_an_exception_in_an_async_generator_is_recorded_and_raised(tracker: Tracker) -> None:
    with pytest.raises(ValueError, match=r"^too late$"):
        asyncio.run(listed(tracker.track(stream_and_fail)))
    assert recorded(tracker) == [call_of("stream_and_fail", error="ValueError: too late")]


def test_an_async_generator_that_fails_ends_if_so_asked(forgiving: Tracker) -> None:
    assert asyncio.run(listed(forgiving.track(stream_and_fail))) == [1]
    assert recorded(forgiving) == [call_of("stream_and_fail", error="ValueError: too late")]


# -- arguments with fields -----------------------------------------------------------------------


@dataclasses.dataclass
class Optimizer:
    name: str
    momentum: float = 0.9


@dataclasses.dataclass
class Config:
    lr: float
    layers: list[int]
    optimizer: Optimizer


CONFIG = Config(0.1, [8, 4], Optimizer("sgd"))
FIELDS: dict[str, Any] = {
    "config_lr": 0.1,
    "config_layers": [8, 4],
    "config_optimizer_name": "sgd",
    "config_optimizer_momentum": 0.9,
}


def train(config: Any, epochs: int = 1) -> int:
    return epochs if config else 0


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([CONFIG], {}),
        ([], {"config": CONFIG}),
        ([CONFIG, 1], {}),
        ([], {"epochs": 1, "config": CONFIG}),
    ],
    ids=["positional", "keyword", "among others", "keywords"],
)
def test_the_fields_of_a_dataclass_are_columns(
    tracker: Tracker, args: list[Any], kwargs: dict[str, Any]
) -> None:
    tracker.track(train, args=args, kwargs=kwargs)
    row = call_of("train", repr(args), repr(kwargs), function_result=1, **FIELDS)
    assert recorded(tracker) == [row]


def test_arguments_beyond_the_named_ones_have_numbers(tracker: Tracker) -> None:
    def compare(first: object, *others: object, **named: object) -> None:
        """Takes whatever comes."""

    tracker.track(compare, 1, Optimizer("a", 1.0), 2, Optimizer("b", 2.0), best=Optimizer("c", 3.0))
    (row,) = recorded(tracker)
    assert {key: value for key, value in row.items() if key not in call_of("")} == {
        "others0_name": "a",
        "others0_momentum": 1.0,
        "others2_name": "b",
        "others2_momentum": 2.0,
        "best_name": "c",
        "best_momentum": 3.0,
    }


def test_the_fields_are_columns_of_a_decorated_method_too(tracker: Tracker) -> None:
    class Trainer:
        @tracker.wrap
        def fit(self, config: Config) -> float:
            return config.lr

    Trainer().fit(CONFIG)
    (row,) = recorded(tracker)
    assert {key: row[key] for key in FIELDS} == FIELDS


def test_the_fields_are_there_when_the_call_fails(forgiving: Tracker) -> None:
    def work(config: Config) -> None:
        fail(f"too late for {config.lr}")

    forgiving.track(work, CONFIG)
    (row,) = recorded(forgiving)
    assert row == call_of("work", repr([CONFIG]), error="ValueError: too late for 0.1", **FIELDS)


def test_a_field_that_no_cell_holds_is_text(tracker: Tracker) -> None:
    tracker.track(train, Optimizer("sgd", {1, 2}))  # type: ignore[arg-type]
    assert tracker.latest["config_momentum"] == "{1, 2}"
    assert len(tracker.assets) == 0


def test_a_dataclass_that_contains_itself_can_be_an_argument(tracker: Tracker) -> None:
    loop = Optimizer("sgd")
    loop.momentum = loop  # type: ignore[assignment]
    assert tracker.track(train, loop) == 1
    assert tracker.latest["config_momentum_momentum_name"] == "sgd"


def test_a_dataclass_itself_is_no_object_with_fields(tracker: Tracker) -> None:
    tracker.track(train, Config)
    assert recorded(tracker) == [call_of("train", f"[{Config!r}]", function_result=1)]


class PydanticTwo:
    """What the second Pydantic's models have."""

    model_fields: ClassVar[dict[str, object]] = {"lr": None, "inner": None}

    def __init__(self, lr: float, inner: object) -> None:
        self.lr, self.inner = lr, inner
        self.not_a_field = 1

    def model_dump(self) -> dict[str, object]:
        return {"lr": self.lr, "inner": self.inner}

    def __repr__(self) -> str:
        return "PydanticTwo()"


class PydanticOne:
    """What the first Pydantic's models have."""

    __fields__: ClassVar[dict[str, object]] = {"lr": None, "inner": None}
    __validators__: ClassVar[dict[str, object]] = {}

    def __init__(self, lr: float, inner: object) -> None:
        self.lr, self.inner = lr, inner

    def __repr__(self) -> str:
        return "PydanticOne()"


@pytest.mark.parametrize("model", [PydanticTwo, PydanticOne])
def test_the_fields_of_a_pydantic_model_are_columns(
    tracker: Tracker, model: Callable[..., object]
) -> None:
    config = model(0.1, model(0.2, Optimizer("sgd")))
    tracker.track(train, config=config)
    assert recorded(tracker) == [
        call_of(
            "train",
            kwargs=f"{{'config': {config!r}}}",
            function_result=1,
            config_lr=0.1,
            config_inner_lr=0.2,
            config_inner_inner_name="sgd",
            config_inner_inner_momentum=0.9,
        )
    ]


# -- what cannot be told or stored ---------------------------------------------------------------


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError


def test_a_repr_that_raises_does_not_stop_the_call(tracker: Tracker) -> None:
    assert tracker.track(train, Rude(), epochs=3) == 3
    (row,) = recorded(tracker)
    assert row["args"] == "[<Rude: its repr raised RuntimeError>]"


def test_a_huge_repr_is_cut(tracker: Tracker) -> None:
    text = "x" * 30_000
    tracker.track(len, text)
    tracker.track(dict, named=text, params={"function_result": None})
    cut = repr(text)[:10_000] + "... (20002 characters more)"
    assert [row["args"] for row in recorded(tracker)] == [f"[{cut}]", "[]"]
    assert [row["kwargs"] for row in recorded(tracker)] == ["{}", f"{{'named': {cut}}}"]


@pytest.mark.parametrize(
    "make",
    [lambda: lambda: 0, threading.Lock, lambda: [1, lambda: 0]],
    ids=["lambda", "lock", "list"],
)
def test_a_result_that_cannot_be_pickled_is_returned_all_the_same(
    tracker: Tracker, make: Callable[[], Any]
) -> None:
    result = make()
    with pytest.warns(StorageWarning, match="was returned but not stored") as caught:
        assert tracker.track(lambda: result) is result
    assert len(caught) == 1
    assert recorded(tracker) == [call_of("<lambda>")]
    assert len(tracker.assets) == 0


def test_a_dict_result_loses_only_what_cannot_be_pickled(tracker: Tracker) -> None:
    result = {"loss": 0.5, "lock": threading.Lock()}
    with pytest.warns(StorageWarning, match="not stored") as caught:
        assert tracker.track(lambda: result) is result
    assert len(caught) == 1
    assert recorded(tracker) == [call_of("<lambda>", loss=0.5)]

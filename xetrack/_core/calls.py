"""Run a function, measure it, and record the call as a row, whatever kind of function it is."""

from __future__ import annotations

import functools
import time
import warnings
from contextlib import contextmanager, nullcontext, suppress
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from .arguments import described, name_of, text_of_error
from .errors import AssetError, KeyNameError, StorageWarning
from .names import key_text
from .prepare import plain_or_packed, prepared

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    # Measures a block of work, and fills the mapping that it gives when the block ends.
    Measuring = AbstractContextManager[Mapping[str, object]]

# Flags of a code object; the module inspect has names for them, and costs 10 ms to import.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Recorder:
    """Records calls through *log*; whether it raises their exceptions again is *raise_on_error*."""

    def __init__(
        self,
        log: Callable[[dict[str, Any]], object],
        *,
        raise_on_error: bool,
        measure: Callable[[], Measuring] | None = None,
    ) -> None:
        self.log = log
        self.raise_on_error = raise_on_error
        self.measure: Callable[[], Measuring] = measure or (lambda: nullcontext({}))

    def run(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Any:
        """Call *function*, record the call, and return what it returned.

        A coroutine or generator is recorded when it ends: what is returned stands in for it.
        """
        kwargs = dict(kwargs or {})
        params = prepared(params or {})  # what is wrong with them is told before the work
        call = _Call(self, function, args, kwargs, params)
        try:
            with call.timed():
                result = function(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            if call.reraises(error):
                raise
            return None
        if isinstance(result, CoroutineType):
            return call.awaited(result)
        if isinstance(result, GeneratorType):
            return call.generated(result)
        if isinstance(result, AsyncGeneratorType):
            return call.generated_async(result)
        call.returned(result)
        return result

    def wrap(self, function: Any, params: Mapping[str, object] | None) -> Any:
        """*function*, each call of which is recorded; of the same kind as it was."""
        if isinstance(function, (classmethod, staticmethod)):
            return type(function)(self.wrap(function.__func__, params))
        run, kind = self.run, _kind(function)

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return run(function, args, kwargs, params)

        # A call that fails before it begins (wrong arguments) leaves nothing to wait for.
        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            waiting = run(function, args, kwargs, params)
            return None if waiting is None else await waiting

        @functools.wraps(function)
        def generator(*args: Any, **kwargs: Any) -> Any:
            return (yield from run(function, args, kwargs, params) or ())

        by_flag = {
            _COROUTINE: coroutine,
            _GENERATOR: generator,
            _ASYNC_GENERATOR: self._wrap_async_generator(function, params),
        }
        return next((wrapper for flag, wrapper in by_flag.items() if kind & flag), plain)

    def _wrap_async_generator(self, function: Any, params: Mapping[str, object] | None) -> Any:
        run = self.run

        @functools.wraps(function)
        async def async_generator(*args: Any, **kwargs: Any) -> Any:
            stands_in = run(function, args, kwargs, params)
            step: Callable[[], Any] | None = stands_in.__anext__ if stands_in else None
            while step is not None:
                try:
                    item = await step()
                except StopAsyncIteration:
                    return
                try:
                    step = functools.partial(stands_in.asend, (yield item))
                except GeneratorExit:
                    await stands_in.aclose()
                    raise
                except BaseException as thrown:  # noqa: BLE001  # it is the generator's to handle
                    step = functools.partial(stands_in.athrow, thrown)

        return async_generator


class _Call:
    """One call on its way to becoming a row."""

    def __init__(
        self,
        recorder: Recorder,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        params: Mapping[str, object],
    ) -> None:
        self._recorder = recorder
        self._name = name_of(function)
        self._row = described(function, args, kwargs)
        self._params = params
        self._seconds = 0.0
        self._measuring = recorder.measure()
        self._measured = self._measuring.__enter__()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - started

    def returned(self, result: object) -> None:
        """Record that the call returned *result*; of what cannot be stored a warning tells."""
        columns: dict[str, object] = {}
        for key, value in _columns(result).items():
            try:
                columns[key] = plain_or_packed(value)
            except AssetError as error:
                message = f"{key} of {self._name} was returned but not stored: {error}"
                warnings.warn(message, StorageWarning, stacklevel=4)
        row = {**self._row, "error": "", "function_time": self._seconds, **self._machine()}
        self._recorder.log({**row, **columns, **self._params})

    def failed(self, error: BaseException) -> None:
        """Record that the call raised *error*."""
        import traceback

        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self._recorder.log(
            {
                **self._row,
                "error": text_of_error(error),
                "traceback": trace,
                "function_time": self._seconds,
                **self._machine(),
                **self._params,
            }
        )

    def _machine(self) -> Mapping[str, object]:
        """What was measured of the machine while the call ran."""
        self._measuring.__exit__(None, None, None)
        return self._measured

    def reraises(self, error: BaseException) -> bool:
        """Whether the caller is to see *error*; Ctrl-C and an exit always pass."""
        return self._recorder.raise_on_error or not isinstance(error, Exception)

    async def awaited(self, coroutine: CoroutineType[Any, Any, Any]) -> Any:
        """Stand in for a coroutine; its time is that from start to end, waiting included."""
        try:
            with self.timed():
                result = await coroutine
        except BaseException as error:
            self.failed(error)
            if self.reraises(error):
                raise
            return None
        self.returned(result)
        return result

    def generated(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """Stand in for a generator; its time is that spent in it, its result what it returns."""
        advance: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with self.timed():
                    item = advance()
            except StopIteration as end:
                self.returned(end.value)
                return end.value
            except BaseException as error:
                self.failed(error)
                if self.reraises(error):
                    raise
                return None
            try:
                advance = functools.partial(generator.send, (yield item))
            except GeneratorExit:
                self._closed(generator)
                raise
            except BaseException as thrown:  # noqa: BLE001  # it is the generator's to handle
                advance = functools.partial(generator.throw, thrown)

    async def generated_async(
        self, generator: AsyncGenerator[Any, Any]
    ) -> AsyncGenerator[Any, Any]:
        """Stand in for an async generator, likewise."""
        advance: Callable[[], Any] = generator.__anext__
        while True:
            try:
                with self.timed():
                    item = await advance()
            except StopAsyncIteration:
                self.returned(None)
                return
            except BaseException as error:
                self.failed(error)
                if self.reraises(error):
                    raise
                return
            try:
                advance = functools.partial(generator.asend, (yield item))
            except GeneratorExit:
                await self._closed_async(generator)
                raise
            except BaseException as thrown:  # noqa: BLE001  # it is the generator's to handle
                advance = functools.partial(generator.athrow, thrown)

    def _closed(self, generator: Generator[Any, Any, Any]) -> None:
        try:
            with self.timed():
                generator.close()
        except BaseException as error:
            self.failed(error)
            raise
        self.returned(None)

    async def _closed_async(self, generator: AsyncGenerator[Any, Any]) -> None:
        try:
            with self.timed():
                await generator.aclose()
        except BaseException as error:
            self.failed(error)
            raise
        self.returned(None)


def _kind(function: Any) -> int:
    """The flags of the code that a call of *function* runs; 0 where it is not Python code."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)  # noqa: B004
    return int(code.co_flags) if code is not None else 0


def _columns(result: object) -> dict[str, object]:
    """A dict result as columns, if its keys can be; any other as ``function_result``."""
    if isinstance(result, dict):
        with suppress(KeyNameError):
            columns = {key_text(key): value for key, value in result.items()}
            if len(columns) == len(result):  # no two keys are one name
                return columns
    return {"function_result": result}

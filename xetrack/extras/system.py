"""What psutil says of the machine and of this process: averages over a call, or since a row.

CPU and network are differences of the system's own counters, so they are exact however long a call
is. Memory and disk are levels, and their averages are those of looks: one at each end, and those
that the meter's thread takes every interval in between.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import AbstractContextManager
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, TypeVar

import psutil

from .._core.forks import survive

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")
Averages = dict[str, Optional[float]]

_MIB = 2**20
_SHORTEST_INTERVAL_S = 0.001
# The system counts CPU time in ticks of some 10 ms: over less than this it is mostly rounding.
_SHORTEST_CPU_S = 0.1
# How old the look may be that a plain row gets, so that 10,000 rows a second cost 100 looks.
_FRESH_S = 0.01
_LONGEST_JOIN_S = 5.0  # a look that hangs, on a dead network disk, must not keep close() for ever

_LEVELS = ("p_memory_percent", "memory_percent", "disk_percent")


class _Look(NamedTuple):
    """What was seen at one moment; what psutil could not say is None."""

    at_s: float
    levels: dict[str, float | None]
    cpu_s: tuple[float, float] | None  # busy, and all, of all CPUs since they were started
    network: tuple[int, int] | None  # bytes sent and received since the machine was started


class _Window:
    """A stretch of time: how it began, and the sums of its looks."""

    def __init__(self, first: _Look) -> None:
        self.first = self._last = first
        self._sums = dict.fromkeys(_LEVELS, 0.0)
        self._counts = dict.fromkeys(_LEVELS, 0)
        self._add(first)

    def add(self, look: _Look) -> None:
        """Count *look* in, once."""
        if look is not self._last:
            self._last = look
            self._add(look)

    def mean(self, name: str) -> float | None:
        """The average of one level."""
        count = self._counts[name]
        return self._sums[name] / count if count else None

    def _add(self, look: _Look) -> None:
        for name, level in look.levels.items():
            if level is not None:
                self._sums[name] += level
                self._counts[name] += 1


class _Block(AbstractContextManager[Averages]):
    """One block that is measured."""

    def __init__(self, begin: Callable[[], _Window], end: Callable[[_Window], Averages]) -> None:
        self._begin, self._end = begin, end
        self._measured: Averages = {}

    def __enter__(self) -> Averages:
        self._window = self._begin()
        return self._measured

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._measured.update(self._end(self._window))


class Meter:
    """Measures the machine and this process while calls run and rows are logged.

    The values, of which the first four come with *system* and the others with *network*:

    - ``cpu``: per cent of the time of all CPUs of the machine together that was not idle, 0 to
      100, as of ``psutil.cpu_percent``. Of a stretch of less than 0.1 s it is that of at least the
      last 0.1 s, since the system does not count finer; None before its first tick.
    - ``p_memory_percent``: the resident memory of this process, in per cent of the machine's.
    - ``memory_percent``: the memory of the machine that is in use, in per cent.
    - ``disk_percent``: how full the disk is that holds the working folder, in per cent.
    - ``bytes_sent``, ``bytes_recv``: what all network interfaces of the machine, the loopback
      among them, sent and received, in MB of 2**20 bytes.

    What psutil cannot say, because it may not or the system does not tell, is None.

    Threads may share a meter, and calls may overlap. After a fork it works in parent and child. It
    has one daemon thread at most, which ends with ``close`` or with the meter itself.

    >>> meter = Meter(system=True, network=False, interval_s=1.0)
    >>> with meter.during() as measured:
    ...     total = sum(range(1000))
    >>> sorted(measured)
    ['cpu', 'disk_percent', 'memory_percent', 'p_memory_percent']
    >>> meter.close()

    Args:
        system: measure CPU, memory and disk.
        network: measure the network.
        interval_s: seconds between two looks at memory and disk while time passes.

    Raises:
        ValueError: *interval_s* is no number of seconds, or less than 0.001.
    """

    def __init__(self, *, system: bool, network: bool, interval_s: float) -> None:
        self._system, self._network = system, network
        self._interval_s = _interval(interval_s)
        self._lock = threading.RLock()  # a signal or the garbage collector may come in between
        self._process = _attempt(psutil.Process)
        self._past: deque[_Look] = deque(maxlen=2)
        # Weakly: of a call that is given up, a generator for one, nobody tells the end.
        self._open: weakref.WeakSet[_Window] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._stop: weakref.finalize[[], Meter] | None = None
        self._latest = self._look()
        self._row = _Window(self._latest)
        survive(self)
        with self._lock:
            self._start()

    def since_last(self) -> Averages:
        """The averages since this was called last (at first: since the meter was made).

        It waits for nothing. What it says is at most 10 ms old: bytes of the last moment may
        count for the next row, and none is lost.
        """
        with self._lock:
            self._start()
            fresh = time.monotonic() - self._latest.at_s < _FRESH_S
            look = self._latest if fresh else self._look()
            ended, self._row = self._row, _Window(look)
            return self._averages(ended, look)

    def during(self) -> AbstractContextManager[Averages]:
        """Measure a block: the dict it is given is filled when it ends, also by an exception."""
        return _Block(self._begin, self._end)

    def sample(self) -> None:
        """Take a look, and count it in wherever something is being measured."""
        with self._lock:
            look = self._look()
            for window in (self._row, *self._open):
                window.add(look)

    def close(self) -> None:
        """End the thread, and wait until it has ended; a later call starts it again."""
        with self._lock:
            thread, stop = self._thread, self._stop
            self._thread = self._stop = None
        if stop is not None:
            stop()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LONGEST_JOIN_S)

    def hold(self) -> None:
        """Before a fork: let a look that is being taken end, for psutil has locks of its own."""
        self._lock.acquire()

    def release(self) -> None:
        """After a fork, in the parent."""
        self._lock.release()

    def renew(self) -> None:
        """After a fork, in the child, which has no thread yet and is another process."""
        self._lock = threading.RLock()
        self._thread = self._stop = None
        self._process = _attempt(psutil.Process)

    def leave(self) -> None:
        """When the interpreter ends: let the thread end."""
        stop = self._stop
        if stop is not None:
            stop()

    def _begin(self) -> _Window:
        with self._lock:
            self._start()
            window = _Window(self._look())
            self._open.add(window)
            return window

    def _end(self, window: _Window) -> Averages:
        with self._lock:
            self._open.discard(window)
            return self._averages(window, self._look())

    def _start(self) -> None:
        """See to it that the thread runs, if there is something for it to look at."""
        if not self._system or (self._thread is not None and self._thread.is_alive()):
            return
        # A bare lock, for unlike an Event it can be released in the middle of anything.
        stop = threading.Lock()
        stop.acquire()
        arguments = (weakref.ref(self), stop, self._interval_s)
        thread = threading.Thread(target=_run, args=arguments, name="meter", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or the system has no thread left
            return
        self._thread, self._stop = thread, weakref.finalize(self, stop.release)

    def _look(self) -> _Look:
        look = _Look(
            time.monotonic(),
            self._levels() if self._system else {},
            _attempt(_cpu_seconds) if self._system else None,
            _attempt(_network_bytes) if self._network else None,
        )
        if not self._past or look.at_s - self._past[-1].at_s >= _SHORTEST_CPU_S:
            self._past.append(look)
        self._latest = look
        return look

    def _levels(self) -> dict[str, float | None]:
        process = self._process
        readings: tuple[Callable[[], float | None], ...] = (
            lambda: None if process is None else process.memory_percent(),
            lambda: psutil.virtual_memory().percent,
            lambda: psutil.disk_usage(os.curdir).percent,
        )
        return {name: _attempt(read) for name, read in zip(_LEVELS, readings)}

    def _averages(self, window: _Window, last: _Look) -> Averages:
        window.add(last)
        made: Averages = {}
        if self._system:
            made["cpu"] = _busy_percent(self._cpu_start(window.first, last), last)
            made.update({name: window.mean(name) for name in _LEVELS})
        if self._network:
            made["bytes_sent"], made["bytes_recv"] = _transferred(window.first, last)
        return made

    def _cpu_start(self, first: _Look, last: _Look) -> _Look:
        """The look from which on CPU time is counted, which is old enough if any is."""
        looks = (first, *reversed(self._past))
        old = (look for look in looks if last.at_s - look.at_s >= _SHORTEST_CPU_S)
        return next(old, self._past[0])


def _run(meter: weakref.ref[Meter], stop: Any, interval_s: float) -> None:
    """What the thread of a meter does, which must not keep the meter alive."""
    while not stop.acquire(timeout=interval_s):
        measuring = meter()
        if measuring is None:
            return
        measuring.sample()
        del measuring


def _interval(interval_s: object) -> float:
    number = interval_s if isinstance(interval_s, (int, float)) else 0
    if isinstance(interval_s, bool) or not _SHORTEST_INTERVAL_S <= number < inf:
        raise ValueError(
            f"measurement_interval={interval_s!r} is no time between two looks; "
            f"give seconds, {_SHORTEST_INTERVAL_S} or more"
        )
    return min(float(number), threading.TIMEOUT_MAX)


def _attempt(read: Callable[[], T]) -> T | None:
    """What *read* gives, or None: no trouble of psutil's may reach the work that is measured."""
    try:
        return read()
    except Exception:  # noqa: BLE001  # beside psutil.Error it lets through what it runs into
        return None


def _cpu_seconds() -> tuple[float, float]:
    """Seconds that all CPUs together were busy, and all their seconds."""
    times = psutil.cpu_times()
    # Linux counts the time of virtual machines a second time.
    twice = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    total = sum(times) - twice
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _network_bytes() -> tuple[int, int]:
    counters = psutil.net_io_counters()
    return counters.bytes_sent, counters.bytes_recv


def _busy_percent(first: _Look, last: _Look) -> float | None:
    if first.cpu_s is None or last.cpu_s is None:
        return None
    busy, total = (after - before for before, after in zip(first.cpu_s, last.cpu_s))
    if total <= 0:
        return None  # no tick since
    # The counters of single CPUs may go back a little.
    return min(max(100 * busy / total, 0.0), 100.0)


def _transferred(first: _Look, last: _Look) -> tuple[float | None, float | None]:
    """MiB sent and received."""
    if first.network is None or last.network is None:
        return None, None
    sent, received = (after - before for before, after in zip(first.network, last.network))
    return max(sent, 0) / _MIB, max(received, 0) / _MIB

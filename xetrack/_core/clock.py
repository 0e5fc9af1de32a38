"""UTC timestamps that never repeat and never go back within one clock."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone

_FORM = "%Y-%m-%d %H:%M:%S"
_MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_time_ns = time.time_ns


class Clock:
    """Gives ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC, each later than the one before.

    Where the machine's clock stands still or jumps back, it goes on by one microsecond a tick.
    """

    def __init__(self) -> None:
        self._last_us = 0  # since the epoch
        self._second_us = -_MICROSECONDS  # at which the present second began
        self._prefix = ""

    def tick(self) -> str:
        """The next timestamp."""
        now_us = _time_ns() // 1000
        if now_us <= self._last_us:
            now_us = self._last_us + 1
        self._last_us = now_us
        us = now_us - self._second_us
        if not 0 <= us < _MICROSECONDS:
            us = now_us % _MICROSECONDS
            self._second_us = now_us - us
            self._prefix = time.strftime(_FORM, time.gmtime(now_us // _MICROSECONDS))
        return f"{self._prefix}.{us:06d}"

    def ticks(self, count: int) -> list[str]:
        """The next *count* timestamps, a microsecond apart within each second."""
        stamps: list[str] = []
        while len(stamps) < count:
            stamps.append(self.tick())
            us = self._last_us % _MICROSECONDS
            last = min(us + count - len(stamps), _MICROSECONDS - 1)
            prefix = self._prefix
            stamps += [f"{prefix}.{later:06d}" for later in range(us + 1, last + 1)]
            self._last_us += last - us
        return stamps

    def pass_by(self, stamp: str) -> None:
        """Let the next tick be later than *stamp*, if it is a timestamp of this form."""
        with suppress(ValueError):  # somebody's own SQL wrote it: no tick will be equal to it
            self._last_us = max(self._last_us, _microseconds(stamp))


def after(stamp: str) -> str:
    """The timestamp one microsecond later than *stamp*."""
    second, us = divmod(_microseconds(stamp) + 1, _MICROSECONDS)
    return f"{time.strftime(_FORM, time.gmtime(second))}.{us:06d}"


def _microseconds(stamp: str) -> int:
    then = datetime.fromisoformat(stamp).replace(tzinfo=timezone.utc)
    return (then - _EPOCH) // timedelta(microseconds=1)

"""What is done with open databases around a fork, and when the interpreter ends.

A child inherits SQLite's table of the locks that the process holds, and then takes none: rows that
it writes are lost without an error. So before a fork every connection to a file is closed.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from functools import cache
from typing import Protocol


class Forkable(Protocol):
    """What can be held while the process forks."""

    def hold(self) -> None:
        """Wait until running calls have ended, keep others from beginning, let go of the file."""

    def leave(self) -> None:
        """When the interpreter ends: the same for good, unless a running call takes too long."""

    def release(self) -> None:
        """In the parent, after the fork: let calls go on."""

    def renew(self) -> None:
        """In the child, after the fork: the same, where the threads that waited are no more."""


def survive(database: Forkable) -> None:
    """Hold *database*, as long as it lives, around each fork, and at the end of the process."""
    _forks().add(database)


class _Forks:
    """The databases of this process, and the hooks around a fork."""

    def __init__(self) -> None:
        self._databases: weakref.WeakSet[Forkable] = weakref.WeakSet()
        self._one_at_a_time = threading.RLock()
        self._held: list[Forkable] = []

    def add(self, database: Forkable) -> None:
        with self._one_at_a_time:  # none may open a file between the hold and the fork
            self._databases.add(database)

    def before(self) -> None:
        self._one_at_a_time.acquire()
        self._held = sorted(self._databases, key=id)
        for database in self._held:
            database.hold()

    def at_exit(self) -> None:
        for database in sorted(self._databases, key=id):
            database.leave()

    def after_in_parent(self) -> None:
        for database in reversed(self._held):
            database.release()
        self._held = []
        self._one_at_a_time.release()

    def after_in_child(self) -> None:
        for database in self._held:
            database.renew()
        self._held = []
        self._one_at_a_time = threading.RLock()


@cache
def _forks() -> _Forks:
    """Made with the first database: an import changes nothing in the process."""
    forks = _Forks()
    atexit.register(forks.at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=forks.before,
            after_in_parent=forks.after_in_parent,
            after_in_child=forks.after_in_child,
        )
    return forks

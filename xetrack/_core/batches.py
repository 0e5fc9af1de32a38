"""Rows that wait for the end of a ``with tracker.batch():``, apart for each thread and task.

They wait in memory, not in a transaction: whoever else writes the file is not kept waiting by the
work inside the block, and a fork finds no transaction open. In the child of a fork they do not wait
any more: the parent stores them.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token


class Waiting:
    """The rows of one block, each with its timestamp."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stamps: list[str] = []
        self._is_over = False
        self._pid = os.getpid()

    def is_open(self) -> bool:
        """Whether the block goes on; for a task that it left behind, or a fork, it does not."""
        return not self._is_over and self._pid == os.getpid()

    def end(self) -> bool:
        """End the block; whether its rows are this process's to store."""
        is_ours = self.is_open()
        self._is_over = True
        return is_ours


# By the id of the tracker.
_open: ContextVar[Mapping[int, Waiting]] = ContextVar("xetrack_batches")


def waiting_for(owner: object) -> Waiting | None:
    """The rows that wait for *owner* in this thread or task; None outside of a block."""
    waiting = _open.get({}).get(id(owner))
    return waiting if waiting is not None and waiting.is_open() else None


def begin(owner: object) -> tuple[Waiting, Token[Mapping[int, Waiting]]]:
    """Let rows of *owner* wait from now on."""
    waiting = Waiting()
    return waiting, _open.set({**_open.get({}), id(owner): waiting})


def end(token: Token[Mapping[int, Waiting]]) -> None:
    """Undo ``begin``."""
    _open.reset(token)

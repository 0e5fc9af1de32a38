"""Rows that wait for the end of a ``with tracker.batch():``, apart for each thread and task.

They wait in memory, not in a transaction: whoever else writes the file is not kept waiting by the
work inside the block, and a fork finds no transaction open.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Token

Waiting = list[tuple[str, dict[str, Any]]]  # timestamp and row

# By the id of the tracker; a thread or task started inside a block does not share a closed one.
_open: ContextVar[Mapping[int, Waiting]] = ContextVar("xetrack_batches")


def waiting_for(owner: object) -> Waiting | None:
    """The rows that wait for *owner* in this thread or task; None outside of a block."""
    return _open.get({}).get(id(owner))


def begin(owner: object) -> tuple[Waiting, Token[Mapping[int, Waiting]]]:
    """Let rows of *owner* wait from now on."""
    waiting: Waiting = []
    return waiting, _open.set({**_open.get({}), id(owner): waiting})


def end(token: Token[Mapping[int, Waiting]]) -> None:
    """Undo ``begin``."""
    _open.reset(token)

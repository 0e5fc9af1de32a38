"""The assets of one file as users see them: list, add, get, export, remove."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable

from . import assets, events
from .clock import Clock
from .errors import StorageError, UnknownAssetError
from .packing import CHUNK_BYTES, pack_explicitly, unpack
from .space import shrink
from .table import Table

if TYPE_CHECKING:
    import io
    import sqlite3
    from collections.abc import Iterator

    from .database import Database
    from .packing import Packed


class Assets:
    """The objects that rows of the file refer to, each stored once under its SHA-256.

    *name* in the methods below is an id, the key under which an asset was logged last, or what
    only one SHA-256 begins with, looked for in this order.
    """

    def __init__(
        self, database: Database, table: str, track_id: str | None, *, allow_pickle: bool
    ) -> None:
        self._database = database
        self._table = table
        self._track_id = track_id
        self._allow_pickle = allow_pickle

    def __len__(self) -> int:
        """How many there are."""
        return len(self.list())

    def __iter__(self) -> Iterator[str]:
        """Their ids, in the order in which they were stored."""
        return iter([asset["id"] for asset in self.list()])

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name."""
        with self._database.reading() as db:
            return isinstance(name, str) and self._find(db, name) is not None

    def list(self) -> list[dict[str, Any]]:
        """Each as a dict: id, sha256, kind, type, size in bytes, created, runs that refer to it."""
        with self._database.reading() as db:
            return assets.listed(db)

    def add(self, value: object) -> str:
        """Store *value* and return its id, to be logged in place of the object itself.

        bytes, text and JSON-able values are stored as they are, all else is pickled. What no row
        refers to is kept until it is removed.

        Raises:
            UnpicklableError: pickle cannot store it.
        """
        return self.keep(pack_explicitly(value))

    def keep(self, packed: Packed) -> str:
        """Store what was packed before, and return its id."""
        with self._database.transaction() as db:
            return assets.keep(db, packed, Clock().tick())

    def get(self, name: str, default: Any = None) -> Any:
        """The object, or *default* where there is none of this name.

        A pickle runs code of whoever wrote it: do this with files that you trust.

        Raises:
            AmbiguousAssetError: several assets begin with *name*.
            DamagedAssetError: its bytes were changed since.
            PickleForbiddenError: it is a pickle, and pickle is not allowed here.
        """

        def load(asset: assets.Stored, file: io.BufferedReader) -> Any:
            return unpack(asset.kind, asset.id, file, allow_pickle=self._allow_pickle)

        try:
            return self._read(name, load)
        except UnknownAssetError:
            return default

    def export(self, name: str, target: str | os.PathLike[str]) -> int:
        """Write the bytes of an asset to the file *target*; how many bytes.

        Nothing is unpickled, and the file's ``sha256sum`` is the asset's.

        Raises:
            UnknownAssetError: there is none of this name.
            StorageError: *target* cannot be written.
        """
        path = os.fspath(target)
        self._database.require_other(path)

        def write(_: assets.Stored, file: io.BufferedReader) -> int:
            try:
                with open(path, "wb") as out:
                    return sum(map(out.write, iter(lambda: file.read(CHUNK_BYTES), b"")))
            except OSError as error:
                raise StorageError(path, f"cannot be written ({error.strerror})") from error

        return int(self._read(name, write))

    def remove(self, name: str, column: str | None = None) -> int:
        """Delete an asset, and set to NULL the cells that name it; how many cells.

        Args:
            name: its id, a key, or what only its SHA-256 begins with.
            column: only the cells of this key; the asset goes when none is left that names it.

        Raises:
            UnknownAssetError: there is none of this name.
        """
        with self._database.transaction() as db:
            found = self._find(db, name)
            if found is None:
                raise self._unknown(name)
            cleared = 0
            for reference in assets.references(db, found.id):
                if column in (None, reference.key):
                    cleared += _clear(db, reference, found.id)
                    assets.forget(db, reference, found.id)
            assets.free(db, [found.id])
        shrink(self._database)
        return cleared

    def _read(self, name: str, use: Callable[[assets.Stored, io.BufferedReader], Any]) -> Any:
        with self._database.reading() as db:
            found = self._find(db, name)
            if found is None:
                raise self._unknown(name)
            with assets.open_checked(db, found) as file:
                return use(found, file)

    def _find(self, db: sqlite3.Connection, name: str) -> assets.Stored | None:
        return assets.find(db, name, self._table, self._track_id)

    def _unknown(self, name: str) -> UnknownAssetError:
        return UnknownAssetError(name, self._database.path)


def _clear(db: sqlite3.Connection, reference: assets.Reference, asset: str) -> int:
    """Set to NULL the cells of a reference that name the asset; how many."""
    table = Table.load(db, reference.table)
    if table is None:
        return 0
    key = reference.key
    rowids = events.matching(db, table, reference.track_id, (key, asset))
    return events.set_value(db, table, key, None, rowids)

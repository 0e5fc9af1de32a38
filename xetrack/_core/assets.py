"""Content-addressed objects in the same file: the statements on ``assets`` and its companions.

An asset is named by the first 16 hex digits of its SHA-256, by more where two meet.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import AmbiguousAssetError, DamagedAssetError
from .names import is_encodable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from .packing import Packed

SHORTEST_ID = 16

_BY_SHA256 = "SELECT id FROM assets WHERE sha256 = ?"
_BY_ID = "SELECT id, sha256, kind, size FROM assets WHERE id = ?"
_BY_PREFIX = "SELECT id FROM assets WHERE sha256 >= ? AND sha256 < ? ORDER BY sha256"
_BY_KEY = """SELECT asset FROM asset_refs
    WHERE "table" = ? COLLATE NOCASE AND key = ? AND track_id = ?
    ORDER BY timestamp DESC LIMIT 1"""
_BY_KEY_OF_ANY_RUN = """SELECT asset FROM asset_refs
    WHERE "table" = ? COLLATE NOCASE AND key = ?
    ORDER BY timestamp DESC LIMIT 1"""
_ALL = """SELECT id, sha256, kind, type, size, created,
    (SELECT count(DISTINCT track_id) FROM asset_refs WHERE asset = id) AS runs
    FROM assets ORDER BY rowid"""
_ADD = "INSERT INTO assets (id, sha256, kind, type, size, created) VALUES (?, ?, ?, ?, ?, ?)"
_ADD_CHUNK = "INSERT INTO asset_chunks (asset, position, data) VALUES (?, ?, ?)"
_CHUNK = "SELECT CAST(data AS BLOB) FROM asset_chunks WHERE asset = ? AND position = ?"
_REFER = """INSERT INTO asset_refs ("table", track_id, key, asset, timestamp) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT ("table", track_id, key, asset) DO UPDATE
    SET timestamp = max(timestamp, excluded.timestamp)"""
_REFS = 'SELECT "table", track_id, key FROM asset_refs WHERE asset = ?'
_REFS_OF_RUN = 'SELECT DISTINCT asset FROM asset_refs WHERE "table" = ? AND track_id = ?'
_FORGET_RUN = 'DELETE FROM asset_refs WHERE "table" = ? AND track_id = ?'
_FORGET = 'DELETE FROM asset_refs WHERE asset = ? AND "table" = ? AND track_id = ? AND key = ?'
_IS_REFERRED = "SELECT 1 FROM asset_refs WHERE asset = ?"
_DROP_CHUNKS = "DELETE FROM asset_chunks WHERE asset = ?"
_DROP = "DELETE FROM assets WHERE id = ?"


class Stored(NamedTuple):
    """What the file knows of one asset, apart from its bytes."""

    id: str
    sha256: str
    kind: str
    size_bytes: int


def keep(db: sqlite3.Connection, packed: Packed, created: str) -> str:
    """Store *packed* if its bytes are not there yet; its id."""
    known = id_of(db, packed.sha256)
    if known is not None:
        return known
    asset = free_id(db, packed.sha256)
    row = (asset, packed.sha256, packed.kind, packed.type_name, packed.size_bytes, created)
    db.execute(_ADD, row)
    for position, chunk in enumerate(packed.chunks()):
        db.execute(_ADD_CHUNK, (asset, position, chunk))
    return asset


class Reference(NamedTuple):
    """Which run of which table logged an asset under which key."""

    table: str
    track_id: str
    key: str


def refer(db: sqlite3.Connection, reference: Reference, asset: str, stamp: str) -> None:
    """Note that *asset* was logged at *stamp*."""
    db.execute(_REFER, (*reference, asset, stamp))


def by_id(db: sqlite3.Connection, asset: str) -> Stored | None:
    """The asset with exactly this id."""
    row = db.execute(_BY_ID, (asset,)).fetchone()
    return Stored(*row) if row else None


def find(db: sqlite3.Connection, name: str, table: str, track_id: str | None) -> Stored | None:
    """The asset called *name*.

    Its id is *name*, or it was logged last under the key *name*, or its SHA-256 alone begins with
    *name*: looked for in this order.

    Raises:
        AmbiguousAssetError: several begin with it.
    """
    if not is_encodable(name):
        return None
    exact = by_id(db, name)
    if exact is not None:
        return exact
    if track_id is None:
        keyed = db.execute(_BY_KEY_OF_ANY_RUN, (table, name)).fetchone()
    else:
        keyed = db.execute(_BY_KEY, (table, name, track_id)).fetchone()
    if keyed is None:
        prefixed = db.execute(_BY_PREFIX, (name, name + "g")).fetchmany(13) if name else []
        if len(prefixed) > 1:
            raise AmbiguousAssetError(name, tuple(asset for (asset,) in prefixed))
        keyed = prefixed[0] if prefixed else None
    return by_id(db, keyed[0]) if keyed else None


def listed(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every asset: id, sha256, kind, type, size (bytes), created, runs (how many refer to it)."""
    cursor = db.execute(_ALL)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


def open_checked(db: sqlite3.Connection, stored: Stored) -> io.BufferedReader:
    """The bytes of an asset as a file, after a look that they are those that were stored.

    Raises:
        DamagedAssetError: they are not.
    """
    import hashlib

    digest = hashlib.sha256()
    for chunk in _chunks(db, stored.id):
        digest.update(chunk)
    if digest.hexdigest() != stored.sha256:
        raise DamagedAssetError(stored.id, stored.sha256, digest.hexdigest())
    return io.BufferedReader(_ChunkFile(_chunks(db, stored.id)))


def references(db: sqlite3.Connection, asset: str) -> list[Reference]:
    """Every reference to *asset*."""
    return [Reference(*row) for row in db.execute(_REFS, (asset,))]


def forget(db: sqlite3.Connection, reference: Reference, asset: str) -> None:
    """Drop one reference."""
    db.execute(_FORGET, (asset, *reference))


def forget_run(db: sqlite3.Connection, table: str, track_id: str) -> int:
    """Drop the references of a run and the assets that only it used; how many of these."""
    assets = [asset for (asset,) in db.execute(_REFS_OF_RUN, (table, track_id))]
    db.execute(_FORGET_RUN, (table, track_id))
    return free(db, assets)


def free(db: sqlite3.Connection, assets: Iterable[str]) -> int:
    """Delete those of *assets* that no run refers to; how many."""
    orphans = [asset for asset in assets if not db.execute(_IS_REFERRED, (asset,)).fetchone()]
    for asset in orphans:
        db.execute(_DROP_CHUNKS, (asset,))
        db.execute(_DROP, (asset,))
    return len(orphans)


def id_of(db: sqlite3.Connection, sha256: str) -> str | None:
    """The id of the asset with this SHA-256."""
    row = db.execute(_BY_SHA256, (sha256,)).fetchone()
    return str(row[0]) if row else None


def free_id(db: sqlite3.Connection, sha256: str) -> str:
    """The shortest id for a new asset of this SHA-256 that no other has."""
    lengths = range(SHORTEST_ID, len(sha256) + 1)
    return next(sha256[:length] for length in lengths if by_id(db, sha256[:length]) is None)


def _chunks(db: sqlite3.Connection, asset: str) -> Iterator[bytes]:
    position = 0
    while True:
        row = db.execute(_CHUNK, (asset, position)).fetchone()
        if row is None:
            return
        yield row[0]
        position += 1


class _ChunkFile(io.RawIOBase):
    """Pieces of bytes, one after the other, as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

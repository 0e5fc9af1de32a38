"""Every exception that xetrack raises on purpose.

XetrackError
├── KeyNameError            a key cannot name a value (also ValueError)
├── TableNameError          a table name cannot hold events (also ValueError)
├── UnknownError            what was asked for is not in the file (also LookupError)
│   ├── UnknownRunError
│   ├── UnknownColumnError
│   ├── UnknownTableError
│   └── UnknownAssetError
├── AssetError              an object cannot be stored or given back
│   ├── UnpicklableError        pickle cannot store it (also TypeError)
│   ├── PickleForbiddenError    giving it back would need pickle (also PermissionError)
│   ├── DamagedAssetError       its bytes are not those that were stored
│   └── AmbiguousAssetError     a prefix fits several assets (also LookupError)
├── StorageError            the file cannot be opened, read or written (also OSError)
│   ├── MissingFileError        there is no such file (also FileNotFoundError)
│   ├── NotADatabaseError       the file is not an SQLite database
│   ├── ForeignFileError        an SQLite database, but not one of ours
│   ├── LaterFormatError        written by a later xetrack
│   └── BusyError               another writer held the file too long (also TimeoutError)
├── QueryError              SQLite refused a query (also ValueError)
└── MissingExtraError       an optional package is not installed (also ImportError)

``StorageWarning`` is what is said, once, when something was done in another way than asked.
Errors cross process boundaries: ``args`` holds the fields, so every one of them pickles.
"""

from __future__ import annotations

_SHOWN = 12  # names in a message


class XetrackError(Exception):
    """The base of all errors below."""


class StorageWarning(UserWarning):
    """Something about the file or a sink is not as asked, and the work goes on."""


class KeyNameError(XetrackError, ValueError):
    """A key that cannot name a value: empty, not text, or one of ours."""

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(key, reason)
        self.key, self.reason = key, reason

    def __str__(self) -> str:
        return f"key {self.key!r} {self.reason}"


class TableNameError(XetrackError, ValueError):
    """A table name that cannot hold events."""

    def __init__(self, table: object, reason: str) -> None:
        super().__init__(table, reason)
        self.table, self.reason = table, reason

    def __str__(self) -> str:
        return f"table {self.table!r} {self.reason}"


class UnknownError(XetrackError, LookupError):
    """What was asked for by *name* is not in the file; *known* lists some that are."""

    noun = "name"
    none_known = "the file has none yet"

    def __init__(self, name: str, path: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name, path, known)
        self.name, self.path, self.known = name, path, known

    def __str__(self) -> str:
        shown = ", ".join(self.known[:_SHOWN]) + ", ..." * (len(self.known) > _SHOWN)
        there = f"there are: {shown}" if self.known else self.none_known
        return f"no {self.noun} {self.name!r} in {self.path}; {there}"


class UnknownRunError(UnknownError):
    """No row bears this track_id."""

    noun = "run"


class UnknownColumnError(UnknownError):
    """No row ever had this key."""

    noun = "column"


class UnknownTableError(UnknownError):
    """No event table has this name."""

    noun = "table"


class UnknownAssetError(UnknownError):
    """No asset has this id, prefix or key."""

    noun = "asset"
    none_known = "list them with: xt assets ls"


class AssetError(XetrackError):
    """An object cannot be stored as an asset, or not given back."""


class UnpicklableError(AssetError, TypeError):
    """Pickle cannot store this object."""

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(what, cause)
        self.what, self.cause = what, cause

    def __str__(self) -> str:
        return (
            f"cannot store {self.what} as an asset: {self.cause}; log what it is made of, or, if "
            "it is a lambda or a local class: pip install 'xetrack[assets]'"
        )


class PickleForbiddenError(AssetError, PermissionError):
    """Giving the asset back would unpickle it, which is not allowed here."""

    def __init__(self, asset: str, reason: str) -> None:
        super().__init__(asset, reason)
        self.asset, self.reason = asset, reason

    def __str__(self) -> str:
        return (
            f"asset {self.asset} is a pickle, and {self.reason}; if you trust who wrote it, allow "
            "pickle, or write its bytes to a file with: xt get DB ID FILE"
        )


class DamagedAssetError(AssetError):
    """The bytes of an asset are not those that were stored."""

    def __init__(self, asset: str, expected: str, found: str) -> None:
        super().__init__(asset, expected, found)
        self.asset, self.expected, self.found = asset, expected, found

    def __str__(self) -> str:
        return (
            f"asset {self.asset} was changed: its SHA-256 is {self.found}, stored as "
            f"{self.expected}; it is not loaded, restore it from a copy of the file"
        )


class AmbiguousAssetError(AssetError, LookupError):
    """A prefix that fits several assets."""

    def __init__(self, prefix: str, ids: tuple[str, ...]) -> None:
        super().__init__(prefix, ids)
        self.prefix, self.ids = prefix, ids

    def __str__(self) -> str:
        return f"asset {self.prefix!r} is not unique; it could be: {', '.join(self.ids[:_SHOWN])}"


class StorageError(XetrackError, OSError):
    """The file at *path* cannot be opened, read or written; nothing of the call was stored."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class MissingFileError(StorageError, FileNotFoundError):
    """There is no such file, and reading does not create one."""

    def __init__(self, path: str) -> None:
        XetrackError.__init__(self, path)
        self.path, self.reason = path, "no such file; nothing was created, check the path"

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class NotADatabaseError(StorageError):
    """The file is not an SQLite database, or a damaged one."""


class ForeignFileError(StorageError):
    """An SQLite database that something else made."""


class LaterFormatError(StorageError):
    """A file that a later xetrack wrote."""


class BusyError(StorageError, TimeoutError):
    """Another writer held the file for *waited_s* seconds."""

    def __init__(self, path: str, waited_s: float) -> None:
        XetrackError.__init__(self, path, waited_s)
        self.path, self.waited_s = path, waited_s
        self.reason = f"another writer held the file for {waited_s:g} s; nothing was stored, retry"


class QueryError(XetrackError, ValueError):
    """SQLite refused *query*."""

    def __init__(self, query: str, reason: str) -> None:
        super().__init__(query, reason)
        self.query, self.reason = query, reason

    def __str__(self) -> str:
        return f"SQL refused: {self.reason}; in: {self.query}"


class MissingExtraError(XetrackError, ImportError):
    """*asked* needs *package*, which the extra *extra* installs."""

    def __init__(self, asked: str, package: str, extra: str) -> None:
        super().__init__(asked, package, extra)
        self.asked, self.package, self.extra = asked, package, extra

    def __str__(self) -> str:
        return (
            f"{self.asked} needs the package {self.package}, which is not installed: "
            f"pip install 'xetrack[{self.extra}]'"
        )

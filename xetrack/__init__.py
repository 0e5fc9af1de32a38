"""Track experiments, benchmarks and models into one local SQLite file.

from xetrack import Reader, Tracker

with Tracker("track.db", params={"model": "resnet18"}) as tracker:
    tracker.log({"accuracy": 0.9, "loss": 0.1, "epoch": 1})

Reader("track.db").rows()
"""

from __future__ import annotations

from ._core.errors import (
    AmbiguousAssetError,
    AssetError,
    BusyError,
    DamagedAssetError,
    ForeignFileError,
    KeyNameError,
    LaterFormatError,
    MissingExtraError,
    MissingFileError,
    NotADatabaseError,
    PickleForbiddenError,
    QueryError,
    StorageError,
    StorageWarning,
    TableNameError,
    UnknownAssetError,
    UnknownColumnError,
    UnknownError,
    UnknownRunError,
    UnknownTableError,
    UnpicklableError,
    XetrackError,
)
from ._core.merge import CopyReport, copy
from ._core.reader import Reader
from ._core.shelf import Assets
from ._core.tracker import Tracker

__all__ = [
    "AmbiguousAssetError",
    "AssetError",
    "Assets",
    "BusyError",
    "CopyReport",
    "DamagedAssetError",
    "ForeignFileError",
    "KeyNameError",
    "LaterFormatError",
    "MissingExtraError",
    "MissingFileError",
    "NotADatabaseError",
    "PickleForbiddenError",
    "QueryError",
    "Reader",
    "StorageError",
    "StorageWarning",
    "TableNameError",
    "Tracker",
    "UnknownAssetError",
    "UnknownColumnError",
    "UnknownError",
    "UnknownRunError",
    "UnknownTableError",
    "UnpicklableError",
    "XetrackError",
    "copy",
]

__version__ = "0.1.0"

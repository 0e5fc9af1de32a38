"""Objects that plain pickle cannot store (cloudpickle), and arrays that need no pickle (NumPy).

Each function imports the one package that it needs: a process that has only the other one must be
able to give back what it can.
"""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

KIND = "cloudpickle"
ARRAY_KIND = "npy"

_PROTOCOL = 5
_SPAWNED_MAIN = "__mp_main__"
# NumPy refuses longer headers (of 10,000) when it reads.
_LONGEST_TYPE = 5000
_FIRST_FORMAT, _UNICODE_FORMAT = (1, 0), (3, 0)


class Writable(Protocol):
    """A file to write to."""

    def write(self, data: Any) -> Any:
        """Take *data*, bytes or a buffer."""


def dump(value: object, file: Writable) -> None:
    """Write *value* to *file* as a pickle that brings along what only this process has.

    That is lambdas, local functions and classes, and all that stands in ``__main__``, here or in
    the parent of a spawned process. The same object gives the same bytes again in one process. It
    is written in pieces, and read with ``pickle.load`` where cloudpickle can be imported.

    Raises:
        Exception: whatever the object's own methods raise, ``PicklingError`` and ``TypeError``
            among them, if it cannot be stored.
    """
    import cloudpickle  # type: ignore[import-untyped]  # it has no types, and no stubs

    main = sys.modules.get(_SPAWNED_MAIN)
    if main is not None:
        # What a spawned process calls so no other process can import.
        cloudpickle.register_pickle_by_value(main)
    cloudpickle.CloudPickler(file, protocol=_PROTOCOL).dump(value)


def is_array(value: object) -> bool:
    """Whether *value* is a NumPy array that ``dump_array`` writes and ``load_array`` gives back.

    Not so a subclass, an array of objects, and one whose type a ``.npy`` file would change.
    """
    # Whoever made an array has imported NumPy; we need not.
    numpy = sys.modules.get("numpy")
    if type(value) is not getattr(numpy, "ndarray", ()):
        return False
    dtype: np.dtype[Any] = value.dtype  # type: ignore[attr-defined]  # it is an array
    return not dtype.hasobject and _is_kept(dtype)


def dump_array(value: np.ndarray[Any, Any], file: Writable) -> None:
    """Write an array to *file* in the form of ``numpy.save``, in pieces and without pickle.

    Raises:
        ValueError: it is an array of objects.
    """
    from numpy.lib import format as npy

    # As numpy.save chooses, without its warning about the later format.
    version = _FIRST_FORMAT if _is_latin_1(str(value.dtype.descr)) else _UNICODE_FORMAT
    npy.write_array(file, value, version, allow_pickle=False)


def load_array(file: IO[bytes]) -> np.ndarray[Any, Any]:
    """The array that ``dump_array`` or ``numpy.save`` wrote to *file*, without pickle.

    Raises:
        ValueError: *file* is no ``.npy`` file, is cut off, or holds objects.
    """
    from numpy.lib import format as npy

    return npy.read_array(file, allow_pickle=False)


def _is_kept(dtype: np.dtype[Any]) -> bool:
    """Whether a ``.npy`` file gives back exactly this type."""
    from numpy.lib import format as npy

    if _has_metadata(dtype):
        return False  # which NumPy drops, with a warning
    try:
        described = npy.dtype_to_descr(dtype)
    except ValueError:  # fields that overlap
        return False
    kept = npy.descr_to_dtype(described)
    # Types that other packages define come back as mere bytes.
    is_same = kept == dtype and kept.type is dtype.type
    return is_same and kept.isalignedstruct == dtype.isalignedstruct and _is_short(described)


def _has_metadata(dtype: np.dtype[Any]) -> bool:
    if dtype.metadata is not None:
        return True
    if dtype.subdtype is not None:
        return _has_metadata(dtype.subdtype[0])
    return any(_has_metadata(field[0]) for field in (dtype.fields or {}).values())


def _is_short(described: object) -> bool:
    return len(str(described)) <= _LONGEST_TYPE


def _is_latin_1(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True

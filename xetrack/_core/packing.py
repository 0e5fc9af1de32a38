"""Objects to bytes and back: what an asset is made of. Nothing is unpickled but by ``unpack``."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from . import adapters
from .errors import MissingExtraError, PickleForbiddenError, UnpicklableError
from .values import NotPlainError, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 1 << 20
_IN_MEMORY_BYTES = 8 << 20
_PROTOCOL = 5
_LARGEST_FRAME_BYTES = 1 << 17  # pickle writes names in frames of 64 KiB, long bytes as they are
_MAINS = (b"__main__", b"__mp_main__")

BYTES, TEXT, JSON, PICKLE = "bytes", "text", "json", "pickle"
ARRAY, CLOUDPICKLE = "npy", "cloudpickle"


class Packed:
    """An object as bytes in a temporary file, which stays in memory while it is small."""

    def __init__(self, written: _Hashed, kind: str, value: object) -> None:
        cls = type(value)
        self.sha256 = written.digest.hexdigest()
        self.kind = kind
        self.type_name = f"{cls.__module__}.{cls.__qualname__}".replace("builtins.", "")
        self.size_bytes = written.size_bytes
        self.names_main = written.names_main
        self.file = written.file
        weakref.finalize(self, self.file.close)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, in pieces of ``CHUNK_BYTES``."""
        self.file.seek(0)
        while True:
            chunk = self.file.read(CHUNK_BYTES)
            if not chunk:
                return
            yield chunk


class _Hashed:
    """A file to write to that keeps what is written, its size and its SHA-256."""

    def __init__(self) -> None:
        import hashlib
        from tempfile import SpooledTemporaryFile

        self.file = SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115  # goes to Packed
        self.digest = hashlib.sha256()
        self.size_bytes = 0
        self.names_main = False  # of a program that is run, which another process does not have

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.digest.update(data)
        self.file.write(data)
        if size <= _LARGEST_FRAME_BYTES and not self.names_main:
            self.names_main = any(name in bytes(data) for name in _MAINS)
        self.size_bytes += size
        return size


def pack(value: object) -> Packed:
    """*value* as an asset: an array as ``.npy``, all else pickled.

    What plain pickle cannot do, or only names because it stands in ``__main__``, is done by
    cloudpickle where the extra ``assets`` is installed.

    Raises:
        UnpicklableError: pickle cannot.
    """
    module = adapters.module
    if type(value).__module__ == "numpy" and module("assets").is_array(value):
        return _written(ARRAY, value, lambda file: module("assets").dump_array(value, file))
    try:
        packed = _pickled(value)
    except UnpicklableError:
        if not adapters.is_installed("assets"):
            raise
        packed = None
    if packed is not None and not (packed.names_main and adapters.is_installed("assets")):
        return packed
    brought = _written(CLOUDPICKLE, value, lambda file: module("assets").dump(value, file))
    # What needs nothing of cloudpickle's is the same asset with it and without.
    return packed if packed is not None and packed.sha256 == brought.sha256 else brought


def _pickled(value: object) -> Packed:
    import pickle

    return _written(
        PICKLE, value, lambda file: pickle.Pickler(file, protocol=_PROTOCOL).dump(value)
    )


def _written(kind: str, value: object, dump: Callable[[Any], object]) -> Packed:
    out = _Hashed()
    try:
        dump(out)
    except Exception as error:  # whatever the object's own methods raise
        out.file.close()
        raise UnpicklableError(_described(value), f"{type(error).__name__}: {error}") from error
    return Packed(out, kind, value)


def pack_explicitly(value: object) -> Packed:
    """*value* as bytes, text or JSON where it is that, which need no pickle; else pickled."""
    import json

    try:
        held = plain(value)
    except NotPlainError:
        return pack(value)
    out = _Hashed()
    if isinstance(held, bytes):
        out.write(held)
        return Packed(out, BYTES, value)
    if isinstance(held, str):
        out.write(held.encode("utf-8", "surrogatepass"))
        return Packed(out, TEXT, value)
    out.write(json.dumps(held).encode())
    return Packed(out, JSON, value)


def unpack(kind: str, asset: str, file: IO[bytes], *, allow_pickle: bool) -> Any:
    """The object in *file*, whose bytes have been checked.

    Raises:
        PickleForbiddenError: it is a pickle and *allow_pickle* or the environment forbids that.
    """
    if kind == BYTES:
        return file.read()
    if kind == TEXT:
        return file.read().decode("utf-8", "surrogatepass")
    if kind == JSON:
        import json

        return json.loads(file.read())
    if kind == ARRAY:
        with _explained(f"get({asset!r})", "numpy", "pandas"):
            return adapters.module("assets").load_array(file)
    if not allow_pickle:
        raise PickleForbiddenError(asset, "allow_pickle is False")
    if os.environ.get("XETRACK_ALLOW_PICKLE") == "0":
        raise PickleForbiddenError(asset, "XETRACK_ALLOW_PICKLE=0 forbids it to this process")
    import pickle

    with _explained(f"get({asset!r})", "cloudpickle", "assets"):
        return pickle.load(file)  # noqa: S301  # asked for, allowed, and its SHA-256 checked


@contextmanager
def _explained(asked: str, package: str, extra: str) -> Iterator[None]:
    """Say what to install where *package* is missing to whoever reads what it wrote."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingExtraError(asked, package, extra) from error


def _described(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    return f"{type(value).__name__} {name!r}" if name else f"a {type(value).__qualname__}"

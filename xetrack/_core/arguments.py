"""What the arguments of a call look like in a row."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from .values import NotPlainError, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LONGEST_TEXT = 10_000
_DEEPEST = 8


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, of what is inside a partial, or of a callable object's type."""
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def described(
    function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, Any]:
    """function_name, args and kwargs as text, and the fields of arguments that have fields.

    A dataclass or Pydantic model gives a column for each: ``config_lr`` from the field ``lr`` of
    the argument ``config``.
    """
    row: dict[str, Any] = {
        "function_name": name_of(function),
        "args": "[" + ", ".join(map(text_of, args)) + "]",
        "kwargs": "{" + ", ".join(f"{key!r}: {text_of(kwargs[key])}" for key in kwargs) + "}",
    }
    if any(fields_of(value) is not None for value in (*args, *kwargs.values())):
        for name, value in _named(function, args, kwargs).items():
            fields = fields_of(value)
            if fields is not None:
                row = {**_flattened(name, fields, _DEEPEST), **row}
    return row


def text_of(value: object) -> str:
    """The repr of *value*, cut where it is very long; the call goes on where it fails."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001  # whatever the object's own method raises
        return f"<{type(value).__name__}: its repr raised {type(error).__name__}>"
    left = len(text) - _LONGEST_TEXT
    return text if left <= 0 else f"{text[:_LONGEST_TEXT]}... ({left} characters more)"


def text_of_error(error: BaseException) -> str:
    """Type and message of an exception, as the last line of a traceback has them."""
    kind = type(error)
    ours = kind.__module__ in ("builtins", "__main__")
    name = kind.__qualname__ if ours else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  # whatever its own method raises
        message = "<exception str() failed>"
    return f"{name}: {message}" if message else name


def fields_of(value: object) -> dict[str, object] | None:
    """The fields of a dataclass or Pydantic model, which need not be installed; else None."""
    cls = type(value)
    if hasattr(cls, "__dataclass_fields__"):
        import dataclasses

        names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]
    elif hasattr(cls, "model_fields") and hasattr(cls, "model_dump"):  # Pydantic 2
        names = list(cls.model_fields)
    elif hasattr(cls, "__fields__") and hasattr(cls, "__validators__"):  # Pydantic 1
        names = list(cls.__fields__)
    else:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _named(
    function: Callable[..., Any], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    """Each argument under the name of its parameter."""
    import inspect

    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # no signature to be had, or a call that will fail by itself
        return {**{f"arg{number}": value for number, value in enumerate(args)}, **kwargs}
    named: dict[str, object] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            named.update({f"{name}{number}": item for number, item in enumerate(value)})
        else:
            named[name] = value
    return named


def _flattened(name: str, fields: Mapping[str, object], depth: int) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for field, value in fields.items():
        inner = fields_of(value) if depth else None
        if inner is not None:
            flat.update(_flattened(f"{name}_{field}", inner, depth - 1))
        else:
            flat[f"{name}_{field}"] = _plain_or_text(value)
    return flat


def _plain_or_text(value: object) -> Any:
    try:
        return plain(value)
    except NotPlainError:
        return text_of(value)

"""The command line: ``xt`` and ``python -m xetrack``, a thin layer over the library."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from ..errors import XetrackError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0, 1 for what went wrong, 2 for bad usage."""
    from .parser import build

    args = build().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with warnings.catch_warnings():
        warnings.showwarning = _say_warning
        try:
            code = int(args.run(args))
            sys.stdout.flush()
        except BrokenPipeError:  # "| head" has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt:
            return 130
        except (XetrackError, ValueError, TypeError) as error:
            return fail(str(error))
    return code


def fail(message: str) -> int:
    """Say on stderr, in one line, what went wrong; the exit code for it."""
    print(f"xt: {' '.join(message.split())}", file=sys.stderr)
    return 1


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"xt: {message}", file=sys.stderr)

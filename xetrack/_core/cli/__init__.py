"""The command line: ``xt`` and ``python -m xetrack``, a thin layer over the library."""

from __future__ import annotations

import os
import sys
import warnings
from typing import TYPE_CHECKING

from .. import render
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
            if sys.stdout is not None:  # closed by who started us
                sys.stdout.flush()
        except BrokenPipeError:  # "| head" has seen enough
            _drop_output()
            return 0
        except KeyboardInterrupt:
            return 130
        except (XetrackError, ValueError, TypeError) as error:
            return _fail(str(error))
        except OSError as error:  # of ours each is a StorageError: this one is of stdout
            _drop_output()
            return _fail(f"cannot write the output ({error.strerror})")
    return code


def _fail(message: str) -> int:
    """Say on stderr, in one line, what went wrong; the exit code for it."""
    _say_warning(" ".join(message.split()))
    return 1


def _say_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"xt: {render.printable(str(message))}", file=sys.stderr)


def _drop_output() -> None:
    """Let what is still to be written to stdout go nowhere, also when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

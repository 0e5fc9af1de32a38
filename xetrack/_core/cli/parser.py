"""What can be typed: all commands."""

from __future__ import annotations

import argparse

from . import demo, edit, objects, show
from .commands import Commands, program


def build() -> argparse.ArgumentParser:
    """The parser of all commands; each sets ``run`` to what carries it out."""
    from ... import __version__

    prog = program()
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Look at, edit and merge the files that xetrack writes.",
        epilog=f"try it: {prog} demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xetrack {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (show, edit, objects, demo):
        module.register(Commands(commands, prog))
    return parser

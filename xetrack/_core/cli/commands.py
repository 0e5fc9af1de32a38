"""How a command is added, so that all of them look alike."""

from __future__ import annotations

import argparse
import os
import sys


def program() -> str:
    """How this command line was started: ``xt``, ``python -m xetrack``, ``python x.pyz``."""
    name = sys.argv[0] or "xt"
    if name.endswith("__main__.py"):
        return f"python -m {__name__.split('._core')[0]}"
    is_folder_or_zip = os.path.isdir(name) or name.endswith((".pyz", ".zip"))
    return f"python {name}" if is_folder_or_zip else "xt"


class Commands:
    """Adds commands that all look alike: one sentence, arguments, an example.

    Attributes:
        of_file: a parent with the argument DB.
        of_table: the same with the option --table.
    """

    def __init__(
        self, commands: argparse._SubParsersAction[argparse.ArgumentParser], prog: str
    ) -> None:
        self._commands = commands
        self._prog = prog
        self.of_file = argparse.ArgumentParser(add_help=False)
        self.of_file.add_argument("db", metavar="DB", help="the file")
        self.of_table = argparse.ArgumentParser(add_help=False, parents=[self.of_file])
        self.of_table.add_argument(
            "--table", default="events", help="the event table (default: events)"
        )

    def group(self, name: str, sentence: str, example: str) -> Commands:
        """A new command *name* that has commands of its own."""
        parser = self.add(name, sentence, example)
        return Commands(parser.add_subparsers(metavar="ACTION", required=True), self._prog)

    def add(
        self, name: str, sentence: str, example: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        """A new command *name*; *example* is what comes after the program's name."""
        return self._commands.add_parser(
            name,
            parents=parents,
            help=sentence,
            description=sentence[0].upper() + sentence[1:] + ".",
            epilog=f"example: {self._prog} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

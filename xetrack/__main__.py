"""``python -m xetrack``, ``python path/to/xetrack``, and a zip of the folder that runs."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def _become_a_package() -> str:
    """Make a package of the folder or zip that Python was told to run; the name of it."""
    here = os.path.dirname(os.path.abspath(__file__))
    name = os.path.basename(here)
    if os.path.isdir(here):
        sys.path[0] = os.path.dirname(here)
        return name
    name = "".join(c if c.isidentifier() else "_" for c in name)
    # In a zip of the folder the package itself is the root, which no import can reach by name.
    package = ModuleType(name)
    package.__path__ = [here]
    package.__package__ = name
    sys.modules[name] = package
    loader = globals()["__loader__"]
    exec(loader.get_code("__init__"), package.__dict__)  # noqa: S102  # our own __init__
    return name


if not __package__:
    __package__ = _become_a_package()

from ._core.cli import main  # noqa: E402  # relative imports need the package

if __name__ == "__main__":
    sys.exit(main())

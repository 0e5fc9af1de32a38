"""The tests of an extra are collected only where its package is installed."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = {
    "pandas": ["pandas"],
    "duckdb": ["duckdb"],
    "logs": ["loguru"],
    "system": ["psutil"],
    "assets": ["cloudpickle"],
}

collect_ignore = [
    f"test_{extra}.py"
    for extra, packages in PACKAGES.items()
    if any(find_spec(package) is None for package in packages)
]

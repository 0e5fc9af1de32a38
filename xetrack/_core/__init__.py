"""The core: tracking, reading, assets and the CLI, on the standard library alone."""

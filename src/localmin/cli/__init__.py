"""The command line: one file a command, no logic.

Nothing here imports torch before a command runs, so that ``localmin --help`` answers at once.
"""

from localmin.cli.main import main

__all__ = ["main"]

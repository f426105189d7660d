"""One family of errors: every mistake a user can make arrives as a `LocalminError`.

The command line turns each of them into one line on standard error and exit code 2.
A message says what was expected, what came, and what to do next.
"""

__all__ = [
    "DataError",
    "InputError",
    "LocalminError",
    "MissingDependencyError",
    "OutOfMemoryError",
    "RunFolderError",
    "ShapeError",
    "WorkerError",
]


class LocalminError(Exception):
    """Base of all errors that localmin raises on purpose."""


class InputError(LocalminError, ValueError):
    """An argument or option has a value that cannot be used."""


class ShapeError(InputError):
    """A tensor has the wrong shape or dtype."""


class DataError(InputError):
    """A data set cannot be read, or cannot be used for the job."""


class RunFolderError(InputError):
    """A run folder belongs to another job, or is damaged."""


class MissingDependencyError(LocalminError, ImportError):
    """An optional dependency is needed and is not installed."""


class OutOfMemoryError(LocalminError, MemoryError):
    """Memory ran out, of the machine or of the GPU."""


class WorkerError(LocalminError, RuntimeError):
    """Processes, machines or a database that a search was spread over do not do their work."""

"""Progress on standard error: a bar in a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["TerminalProgress", "stderr_console"]

_SECONDS_BETWEEN_LINES = 30.0


def stderr_console() -> Console:
    """Open the console for everything that is not a result."""
    return Console(stderr=True, soft_wrap=True)


class TerminalProgress:
    """Show how far a long job is.

    Args:
        console: On standard error.
        label: Goes in front: which seed.
    """

    def __init__(self, console: Console, label: str = "") -> None:
        self.console = console
        self.label = label
        self._bar: Progress | None = None
        self._planned = 0.0
        self._done = 0.0
        self._unit = "epochs"
        self._stage = ""
        self._last_line = time.monotonic()

    def begin(self, planned: float, unit: str = "epochs") -> None:
        """Start the bar."""
        self._planned, self._done, self._unit = planned, 0.0, unit
        if not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.label, total=planned)

    def stage(self, name: str) -> None:
        """Say what is being done."""
        self._stage = name
        if self._bar is not None:
            self._bar.update(self._task, description=f"{self.label} {name}".strip())

    def advance(self, amount: float) -> None:
        """Move on."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(self._task, advance=amount)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self.console.print(
                f"{self.label} {self._stage}: {self._done:.0f} of {self._planned:.0f} {self._unit}".strip(),
                highlight=False,
            )

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

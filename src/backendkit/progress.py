"""A counter on the terminal for work that takes long."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from backendkit import clock

_PAUSE = 0.2  # seconds between two looks


class Progress:
    """
    A line on a terminal that is written over, and nothing elsewhere.

    :param stream: where to write; nothing is if it is no terminal.
    :param what: what is being done.
    :param total: how much there is to do; None if nobody knows.
    :param unit: what is counted; bytes if not given, shown as megabytes.
    """

    def __init__(
        self,
        stream: TextIO,
        what: str,
        total: int | None = None,
        *,
        unit: str | None = None,
    ) -> None:
        self._stream = stream
        self._what = what
        self._total = total
        self._unit = unit
        self._live = stream.isatty()
        self._done = 0
        self._began = self._shown = clock.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def add(self, size: int = 0) -> None:
        """Note that so much more is done."""
        self._done += size
        now = clock.monotonic()
        if not self._live or now - self._shown < _PAUSE:
            return
        self._shown = now
        if self._unit is None:
            text = f"{self._what}: {self._done / 1e6:,.1f} MB"
        else:
            text = f"{self._what}: {self._done:,} {self._unit}"
        if self._total:
            text += f", {100 * self._done // self._total} %"
        self._stream.write(f"\r\x1b[K{text}, {now - self._began:.0f} s")
        self._stream.flush()

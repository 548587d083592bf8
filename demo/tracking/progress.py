"""A progress bar of one line; where nobody watches, a line per quarter."""

import shutil
import time


class Progress:
    """
    Counts towards a total.

    :param stream: where to write, with Django's ``OutputWrapper`` methods.
    :param label: what is counted.
    :param total: how many there will be.
    """

    def __init__(self, stream, label, total):
        self.stream = stream
        self.label = label
        self.total = total
        self.done = 0
        self.shown = -1.0
        self.interactive = stream.isatty()
        self.quarter = 0

    def add(self, count):
        """Move on by ``count``."""
        self.done += count
        if self.interactive:
            # Ten times a second is what an eye can follow.
            if time.monotonic() - self.shown > 0.1 or self.done >= self.total:
                self.shown = time.monotonic()
                self._draw()
        elif self.total and self.done * 4 // self.total > self.quarter:
            self.quarter = self.done * 4 // self.total
            self._line()

    def close(self):
        """End the line."""
        if self.interactive:
            self._draw()
            self.stream.write("\n", ending="")

    def _share(self):
        return min(self.done / self.total, 1.0) if self.total else 1.0

    def _draw(self):
        text = f" {self._share():4.0%}  {self.done:,} of {self.total:,} {self.label}"
        width = max(min(shutil.get_terminal_size().columns - len(text) - 4, 40), 8)
        bar = "█" * round(self._share() * width)
        self.stream.write(f"\r  {bar:░<{width}}{text}", ending="")
        self.stream.flush()

    def _line(self):
        self.stream.write(
            f"  {self._share():4.0%}  {self.done:,} of {self.total:,} {self.label}"
        )

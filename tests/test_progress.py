"""The counter on the terminal."""

import io
import itertools

import pytest

from backendkit import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("total", "unit", "text"),
    [
        (4_000_000, None, "copying: 1.0 MB, 25 %, 1 s"),
        (None, "rows", "copying: 1,000,000 rows, 1 s"),
    ],
)
def test_it_is_for_terminals(monkeypatch, total, unit, text):
    clock = itertools.count()
    monkeypatch.setattr(progress.clock, "monotonic", lambda: next(clock))
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        with progress.Progress(stream, "copying", total, unit=unit) as shown:
            shown.add(1_000_000)
    assert file.getvalue() == ""
    assert terminal.getvalue() == f"\r\x1b[K{text}\r\x1b[K"

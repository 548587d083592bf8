"""
A file of expectations as a text to edit: what isn't edited stays as it is written.

tomlkit keeps comments and layout, but puts all tables of a name beside each other. So
a file is cut at its ``[[headers]]`` here, and tomlkit edits one table at a time.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from ._errors import UsageError

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*(\w+)[ \t]*\]\]", re.MULTILINE)

# Comments and empty lines at the end of a table: they are about what follows.
_TRAILING = re.compile(r"^(?:[ \t]*(?:#.*)?\n)*\Z", re.MULTILINE)

# As ruff's; a list that gets longer is written with a test a line.
_WIDTH = 88


def tomlkit() -> Any:
    """
    The module that edits.

    Raises:
        UsageError: it isn't installed.

    """
    try:
        import tomlkit  # noqa: PLC0415  # an optional dependency
    except ImportError as e:
        raise UsageError(
            "--update needs tomlkit: pip install 'django-backendkit[conformance]'"
        ) from e
    return tomlkit


class Table:
    """One ``[[table]]`` and what is written after it."""

    def __init__(self, kind: str, number: int, text: str) -> None:
        self.kind = kind
        #: Among its kind, from 1; 0 for one that was added.
        self.number = number
        trailing = _TRAILING.search(text)
        assert trailing is not None  # it may be empty
        self.trailing = trailing[0]
        self._set(text[: trailing.start()])

    def _set(self, body: str) -> None:
        self.body = body
        #: As the file's reader sees it.
        self.data: dict[str, Any] = tomllib.loads(body)[self.kind][0]

    @property
    def tests(self) -> list[str]:
        return list(self.data["tests"])

    @property
    def about(self) -> dict[str, Any]:
        """All but the tests."""
        return {key: value for key, value in self.data.items() if key != "tests"}

    def replace(self, tests: Mapping[str, Sequence[str]]) -> None:
        """Put others in the place of some tests, or none."""
        document = tomlkit().parse(self.body)
        array = document[self.kind][0]["tests"]
        for test, others in tests.items():
            index = list(array).index(test)
            if not others:
                del array[index]
                continue
            array[index] = others[0]
            for offset, other in enumerate(others[1:], 1):
                array.insert(index + offset, other)
        self._keep(document, array)

    def append(self, tests: Sequence[str]) -> None:
        document = tomlkit().parse(self.body)
        array = document[self.kind][0]["tests"]
        array.extend(tests)
        self._keep(document, array)

    def set(self, key: str, value: str) -> None:
        document = tomlkit().parse(self.body)
        document[self.kind][0][key] = value
        self._set(document.as_string())

    def written(self) -> dict[str, str]:
        """All but the tests, in the spelling of the file."""
        table = tomlkit().parse(self.body)[self.kind][0]
        return {k: v.as_string() for k, v in table.items() if k != "tests"}

    def _keep(self, document: Any, array: Any) -> None:
        text = array.as_string()
        if "\n" not in text and len(f"tests = {text}") > _WIDTH:
            array.multiline(True)
        self._set(document.as_string())


class Text:
    """A file's text; ``str()`` gives what has become of it."""

    def __init__(self, text: str) -> None:
        """
        Cut a text into its tables.

        Raises:
            UsageError: it isn't written as ``[[tables]]``.

        """
        if text and not text.endswith("\n"):
            text += "\n"
        headers = list(_HEADER.finditer(text))
        starts = [*(header.start() for header in headers), len(text)]
        self._head = text[: starts[0]]
        self.tables: list[Table] = []
        parts: dict[str, list[Any]] = {}
        try:
            for header, end in zip(headers, starts[1:], strict=True):
                same = parts.setdefault(header[1], [])
                table = Table(header[1], len(same) + 1, text[header.start() : end])
                same.append(table.data)
                self.tables.append(table)
        except ValueError:
            parts = {}
        # A header may be a line of some text, and a list may have none.
        if parts != tomllib.loads(text):
            raise UsageError("can't be edited: write each entry as a [[table]]")

    def __str__(self) -> str:
        text = "".join([self._head, *(t.body + t.trailing for t in self.tables)])
        return text.rstrip("\n") + "\n" if text.strip("\n") else ""

    def remove(self, table: Table) -> None:
        """Take a table out, and leave the comments around it."""
        index = self.tables.index(table)
        del self.tables[index]
        trailing = table.trailing
        before = self.tables[index - 1].trailing if index else self._head
        if f"\n{before}".endswith("\n\n") or not (index or before):
            trailing = trailing.lstrip("\n")
        if index:
            self.tables[index - 1].trailing += trailing
        else:
            self._head += trailing

    def add(
        self,
        kind: str,
        about: Mapping[str, str],
        tests: Sequence[str],
        after: Table | None = None,
    ) -> None:
        """
        List tests, in a table that says the same of others if there is one.

        Args:
            kind: the table's name.
            about: its other keys, with their values as TOML.
            tests: ids.
            after: where a new table goes; at the end if that is None.

        """
        table = Table(kind, 0, _written(kind, about, tests))
        for other in self.tables:
            if (other.kind, other.about) == (kind, table.about):
                other.append([test for test in tests if test not in other.tests])
                return
        index = len(self.tables) if after is None else self.tables.index(after) + 1
        if index:
            # What is written after that one stays before what it is about.
            before = self.tables[index - 1]
            if after is not None:
                before.trailing, table.trailing = "\n", before.trailing or "\n"
            elif not f"\n{before.trailing}".endswith("\n\n"):
                before.trailing += "\n"
        elif self._head.strip("\n"):
            self._head = self._head.rstrip("\n") + "\n\n"
        self.tables.insert(index, table)


def quote(text: str) -> str:
    """A text as TOML, as easy to read as it can be."""
    # A regular expression's backslashes are doubled in the other kind.
    literal = "\\" in text and "'" not in text and text.isprintable()
    quoted: str = tomlkit().string(text, literal=literal).as_string()
    return quoted


def _written(kind: str, about: Mapping[str, str], tests: Sequence[str]) -> str:
    listed = [f"tests = [{quote(tests[0])}]"]
    if len(tests) > 1:
        listed = ["tests = [", *(f"    {quote(test)}," for test in tests), "]"]
    lines = [f"[[{kind}]]", *listed, *(f"{k} = {v}" for k, v in about.items())]
    return "\n".join(lines) + "\n"

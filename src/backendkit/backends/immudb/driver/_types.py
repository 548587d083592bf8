"""PEP 249's type objects and constructors."""

from __future__ import annotations

import datetime

# The names are PEP 249's.


class TypeObject:
    """Equals the names of the column types that it stands for."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TypeObject):
            return self.names == other.names
        return other in self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"TypeObject({', '.join(sorted(self.names))})"


STRING = TypeObject("VARCHAR", "UUID", "JSON")
BINARY = TypeObject("BLOB")
NUMBER = TypeObject("INTEGER", "FLOAT", "BOOLEAN")
DATETIME = TypeObject("TIMESTAMP")
# A row has no id but its primary key, which has the type of its column.
ROWID = TypeObject()

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:  # noqa: N802  # PEP 249's name
    """Return the local date of a time in seconds since 1970."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:  # noqa: N802  # PEP 249's name
    """Return the local time of day of a time in seconds since 1970."""
    return datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:  # noqa: N802  # PEP 249's name
    """Return the local date and time of a time in seconds since 1970."""
    return datetime.datetime.fromtimestamp(ticks)

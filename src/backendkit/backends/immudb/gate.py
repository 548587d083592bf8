"""
The gate, which is closed while a large transaction is applied.

immudb limits how many entries a transaction has. A larger one of ours is several of
immudb's: first its changes are written to a journal, where nobody looks (see
:mod:`.journal`). Then one transaction of immudb's, in which all was read, closes the gate
and names the journal: from that moment the changes are committed. Then they are applied
in parts, and the last part opens the gate.

* **Who writes** reads the gate in the transaction, so that immudb refuses a commit if
  the gate has been closed or opened since.
* **Who reads** has looked at the gate at most :data:`LEASE` seconds before the answer
  came, by its own clock; else it looks again behind the read, and repeats it if a large
  transaction was there. Who applies waits longer than that between closing the gate and
  the first part. So no read sees a part without the rest, and none needs a call more.
* **Who has read more** than immudb takes note of in a transaction (100,000 entries) closes
  the gate first, with a progress of :data:`UNDECIDED`. Then nobody commits, and what was read
  is compared with the log. Only then the changes are committed.
* **Who finds it closed** waits as long as it sees progress; without any, it applies the
  rest itself.
"""

from __future__ import annotations

from typing import NamedTuple

from backendkit.stores import ConflictError, DataError, Error, ProgrammingError

from .catalog import META, OWN, Reader

#: Seconds for which a look at the gate is good.
LEASE = 0.25
#: Seconds between closing the gate and the first part: clocks don't run alike.
PAUSE = LEASE * 1.2

#: Rows of ``META``: ids.
VERSION, GATE, PROGRESS, TOTAL = 1, 2, 3, 4
#: The progress while it isn't known yet whether the changes are committed.
UNDECIDED = -1


class Gate(NamedTuple):
    """
    What a look at the gate has shown.

    :param version: of the catalog; 0 if there is none yet.
    :param journal: the number of the journal that is applied; 0 or less if the gate is
        open: then it is the last one's, negative.
    :param progress: how many rows of it are applied.
    :param total: how many rows it has, times 256, and the version of its format.
    """

    version: int = 0
    journal: int = 0
    progress: int = 0
    total: int = 0

    @property
    def closed(self) -> bool:
        """Whether a large transaction is being applied, or is going to be."""
        return self.journal > 0

    @property
    def undecided(self) -> bool:
        """Whether it is closed, but nothing is committed yet."""
        return self.closed and self.progress < 0


def read_gate(reader: Reader, until: int | None = None) -> Gate:
    """
    Look at the gate, and at the catalog's version.

    :param until: the transaction as of which to look; now if not given.
    """
    past = "" if until is None else f" UNTIL TX {until}"
    try:
        rows = reader.query(f"SELECT id, version FROM {META}{past}").rows
    except ProgrammingError as error:
        if "does not exist" not in str(error):
            raise
        return Gate()
    return _gate(dict(rows))


def read_gate_and_names(reader: Reader) -> tuple[Gate, frozenset[str]]:
    """
    Look at the gate, and at immudb's names of all tables but our own, in one call.

    :raises ProgrammingError: there is no gate yet.
    """
    # The columns of both have to be of the same types.
    sql = f"SELECT CAST(id AS VARCHAR), version, TRUE FROM {META}"
    rows = reader.query(f"{sql} UNION ALL SELECT name, 0, FALSE FROM TABLES()").rows
    found = {int(name): value for name, value, is_ours in rows if is_ours}
    names = frozenset(name for name, _, is_ours in rows if not is_ours)
    return _gate(found), names - OWN


def _gate(found: dict[int, int]) -> Gate:
    return Gate(*(found.get(one, 0) for one in (VERSION, GATE, PROGRESS, TOTAL)))


#: What immudb says if a condition of :func:`require_open` doesn't hold.
_CHANGED, _CLOSED = "backendkit: other tables", "backendkit: gate"
_FAILS = "CAST('{}' AS INTEGER) = 0"


def require_open(version: int) -> tuple[str, tuple[int, ...]]:
    """
    Return a statement that fails unless the gate is open and the catalog is the same.

    It deletes nothing: if a row is another one than it has to be, a value that is no
    number is converted to one. So it reads the gate, as :func:`read_gate` would, in the
    call of the statements behind it. See :func:`raise_changed`.

    :param version: the catalog's.
    """
    sql = (
        f"DELETE FROM {META}"
        f" WHERE (id = ? AND version != ? AND {_FAILS.format(_CHANGED)})"
        f" OR (id = ? AND version > ? AND {_FAILS.format(_CLOSED)})"
    )
    return sql, (VERSION, version, GATE, 0)


def is_other_catalog(error: Error) -> bool:
    """Whether :func:`require_open` has failed because tables have changed."""
    if isinstance(error, ProgrammingError):
        return META in str(error) and "does not exist" in str(error)
    return isinstance(error, DataError) and f"'{_CHANGED}'" in str(error)


def raise_conflict(error: Error) -> None:
    """Raise ConflictError if :func:`require_open` has failed."""
    if is_other_catalog(error):
        raise ConflictError(
            "the tables have changed since the transaction began"
        ) from error
    if isinstance(error, DataError) and f"'{_CLOSED}'" in str(error):
        raise ConflictError("a large transaction is being applied") from error

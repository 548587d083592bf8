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

from backendkit.stores import ProgrammingError

from .catalog import META, Reader

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
    found = dict(rows)
    return Gate(*(found.get(one, 0) for one in (VERSION, GATE, PROGRESS, TOTAL)))

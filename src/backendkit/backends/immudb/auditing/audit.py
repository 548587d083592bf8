"""An audit: all transactions are proven, and all that is answered is compared with them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from backendkit.backends.immudb.names import logical
from backendkit.stores import DatabaseError, InternalError

from .comparing import Compared, Comparer, Difference
from .history import History, row_key

if TYPE_CHECKING:
    from backendkit.backends.immudb.driver import Connection
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

#: How often a table may be found changed while it is compared.
_PATIENCE = 10

Step = Callable[[], None]


class Audit:
    """
    An audit of a database, which others may read and write meanwhile.

    :param reader: whose answers aren't trusted; another connection than ``prover``.
    :param history: what was proven before; it goes on from there.
    """

    def __init__(
        self, reader: Connection, prover: Connection, history: History
    ) -> None:
        self._reader = reader
        self._prover = prover
        self.history = history

    def last(self) -> int:
        """Return the last transaction, as the server tells."""
        return int(self._reader.state().txId)

    def resume(self, path: str) -> None:
        """
        Prove that what was proven before is the beginning of the database.

        :param path: of the checkpoint from which it comes.
        :raises Unproven: something contradicts it.
        """
        state = self.history.state
        assert state is not None
        with self._unproven(
            f"The checkpoint {path} was made of another history than the database has. If"
            " you have restored or recreated the database, remove the checkpoint, too. "
        ):
            self._prover.prove_state(state)

    def prove(self, step: Step | None = None) -> None:
        """
        Prove all transactions up to the last one of now.

        :param step: called after each transaction.
        :raises Unproven: one isn't.
        """
        with self._unproven():
            self.history.advance(self._prover, step)

    @contextlib.contextmanager
    def _unproven(self, before: str = "") -> Iterator[None]:
        from backendkit.backends.immudb.driver import (  # noqa: PLC0415  # gRPC is loaded when it is used
            TamperedError,
        )

        try:
            yield
        except (TamperedError, InternalError) as error:
            problem = f"{before}{error}"
            raise Unproven(Difference("history", None, None, None, problem)) from error

    def tables(self) -> list[str]:
        """Return immudb's names of the tables, in the order of ours."""
        return sorted(self.history.tables, key=logical)

    def compare(self, name: str, step: Step) -> Compared | None:
        """
        Compare a table as of the last proven transaction.

        :param name: immudb's.
        :param step: called after each row.
        :return: None if it is dropped by now.
        :raises Unproven: what was committed meanwhile isn't proven.
        :raises DatabaseError: the server can't answer.
        """
        for _ in range(_PATIENCE):
            table = self.history.tables.get(name)
            if table is None:
                return None
            before = self.history.definitions[table.id]
            comparer = Comparer(self._reader, self.history, name, step)
            found, failure = comparer.found, None
            try:
                comparer.run()
            except DatabaseError as error:
                # The server closes a table that is dropped while it is read.
                failure = error
            if not found.count and failure is None:
                return found
            # Its definition may have changed since: rows and columns are those of now.
            self.prove()
            if self.history.definitions[table.id] == before:
                if failure is not None:
                    raise failure
                self._explain(comparer)
                return found
        return Compared(logical(name), self.history.tx, unsettled=True)

    def compare_names(self) -> list[Difference] | None:
        """
        Compare the server's list of tables.

        :return: None if it changes all the time, so that it can't be compared.
        :raises Unproven: what was committed meanwhile isn't proven.
        """
        for _ in range(_PATIENCE):
            before = self.history.definitions.total()
            try:
                rows = self._reader.query("SELECT name FROM TABLES()").rows
            except InternalError as error:
                problem = f"The server's list of tables can't be read: {error}"
                return [Difference("table", None, None, None, problem)]
            # Whatever it is that the server lists.
            answered = {str(row[0]) for row in rows if row}
            if answered == self.history.tables.keys():
                return []
            self.prove()
            if answered == self.history.tables.keys():
                return []
            if self.history.definitions.total() == before:
                return list(self._names(answered))
        return None

    def _names(self, answered: Collection[str]) -> Iterator[Difference]:
        for name in sorted(self.history.tables.keys() - answered):
            yield Difference(
                "table",
                logical(name),
                None,
                None,
                "the server leaves the table out of its list of tables",
            )
        for name in sorted(answered - self.history.tables.keys()):
            yield Difference(
                "table",
                logical(name),
                None,
                None,
                "the server lists a table that no transaction made",
            )

    def _explain(self, comparer: Comparer) -> None:
        """Find out which of the altered rows are older versions."""
        table = self.history.tables[comparer.name]
        wanted = {row_key(table, key): key for key in comparer.suspects}
        if not wanted:
            return
        older: dict[bytes, int] = {}

        def visit(tx: pb.Tx, definitions: object) -> None:
            for entry in tx.entries:
                key = wanted.get(entry.key)
                if key is not None and entry.hValue == comparer.suspects[key]:
                    older[key] = tx.header.id

        with self._unproven():
            self._prover.prove_history(visit)
        named = {comparer.primary_key(key): tx for key, tx in older.items()}
        found = comparer.found
        found.differences = [
            dataclasses.replace(
                one,
                kind="stale",
                problem=(
                    f"the server returned the version that transaction {tx} wrote, but"
                    f" transaction {one.tx} wrote the last one"
                ),
            )
            if one.kind == "altered"
            and one.primary_key is not None
            and (tx := named.get(one.primary_key)) is not None
            else one
            for one in found.differences
        ]


class Unproven(Exception):
    """It carries the :class:`Difference` after which nothing more can be compared."""

    def __init__(self, found: Difference) -> None:
        super().__init__(str(found))
        self.found = found

"""Rows that the client has proven itself."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from backendkit import stores
from backendkit.clock import real

from . import immudb_pb2 as pb
from ._beyond import BeyondSQL
from ._catalog import CATALOG, Catalog
from ._errors import TamperedError
from ._link import Settings
from ._methods import UNARY_QUERY
from ._proofs import (
    ProofError,
    State,
    check_entry,
    check_link,
    require,
    sha256,
    state_of,
)
from ._rows import SIZED, Column, Table, same_key
from ._signatures import PublicKey
from ._state import Known, Memory, States
from ._values import bind_value, parse
from ._walk import Walk

# How often a table may be found changed during one call.
PATIENCE = 10


@dataclasses.dataclass(frozen=True, slots=True)
class VerifiedRow:
    """
    A row that was proven.

    :param row: its values by the names of the columns.
    :param tx: the transaction that wrote it.
    :param time: when, to the second, in UTC and naive, by the server's clock.
    """

    row: dict[str, Any]
    tx: int
    time: datetime.datetime


class Verifier(BeyondSQL):
    """The part of a connection that trusts nobody."""

    def __init__(
        self,
        settings: Settings,
        timeout: float | None,
        *,
        states: str | os.PathLike[str] | None,
        identity: str | None,
        public_key: str | os.PathLike[str] | None,
        require_state: bool,
    ) -> None:
        #: Whether a database that nothing is known of is an error.
        self.require_state = require_state
        self._states = States(states)
        self._identity = identity or settings.target
        self._public_key = None if public_key is None else PublicKey(public_key)
        super().__init__(settings, timeout)

    @property
    def _remembered_as(self) -> str:
        return f"{self._identity}/{self.database}"

    def verified_state(self) -> tuple[int, bytes] | None:
        """Return the last transaction that was verified and its hash, if there is one."""
        memory = self._states.load(self._remembered_as)
        return None if memory is None else (memory.state.tx, memory.state.hash)

    def forget_state(self) -> None:
        """
        Forget what was verified of this database: the next answer is trusted.

        For a database that was deleted and made again, or restored from a backup.
        """
        self._usable()
        self._states.forget(self._remembered_as)

    def adopt_state(self, tx: int, digest: bytes) -> None:
        """
        Remember a state that another client has verified, as far as it is proven.

        The server has to prove that it is of one history with the state that is
        remembered here. If it is an older one, nothing changes. If nothing is remembered
        here, it is trusted as long as the server still has it.

        :param tx: the last transaction that the other client has verified.
        :param digest: its hash, 32 bytes.
        :raises TamperedError: that isn't proven; nothing is remembered of it.
        """
        theirs = State(tx, digest)
        while True:
            before = self._states.load(self._remembered_as)
            trusted = theirs if before is None else before.state
            try:
                self._last(theirs)
                answer = self._transaction_of(tx, trusted, values=False)
                header, _ = self._linked(answer, tx, trusted)
                require(
                    state_of(header) == theirs,
                    f"the state of transaction {tx} is another one",
                )
            except ProofError as error:
                raise self._tampered(error) from error
            if before is not None and before.state.tx >= tx:
                return
            memory = Memory(theirs, {} if before is None else before.tables)
            if self._states.save(
                self._remembered_as, memory, before, imported=before is None
            ):
                return

    def follow_tables(self) -> None:
        """
        Go through the transactions since the known tables were known, for all at once.

        After a change of their definitions, no :meth:`verified_get` has to do it then.

        :raises TamperedError: they aren't proven; nothing of them is remembered.
        """
        while True:
            before = self._states.load(self._remembered_as)
            if before is None:
                return
            # One that was dropped stays known as it is, for the case that it is made
            # again. That the server says so just leaves this to verified_get().
            there = self._names()
            tables = {name: one for name, one in before.tables.items() if name in there}
            try:
                after = self._followed_all(before, tables)
            except ProofError as error:
                raise self._tampered(error) from error
            if self._states.save(self._remembered_as, after, before):
                return

    def verify_table(self, table: str) -> None:
        """
        Prove what a table looks like, which is trusted otherwise when it is first read.

        It goes through all transactions of the database, some 5,000 in a second.

        :raises TamperedError: they aren't proven; the state is left as it was.
        :raises ProgrammingError: there is no such table.
        """
        self.verify_tables([table])

    def verify_tables(
        self, tables: Iterable[str], step: Callable[[], None] | None = None
    ) -> None:
        """
        Prove what several tables look like, at once, see :meth:`verify_table`.

        :param step: called after each transaction.
        """
        names = list(tables)
        before = self._states.load(self._remembered_as)
        memory = before or self._first()
        try:
            last = self._last(memory.state)
            state, found = self._found(names, last, memory.state, step)
        except ProofError as error:
            raise self._tampered(error) from error
        proven = {}
        for name, table in found.items():
            if table is None:
                raise stores.ProgrammingError(f"there is no table {name}")
            proven[name] = Known(last, table)
        self._remember(before, memory, state, last, proven)

    def _remember(
        self,
        before: Memory | None,
        memory: Memory,
        reached: State,
        last: int,
        proven: Mapping[str, Known],
    ) -> None:
        """
        Remember a state that was proven, and the tables.

        :param before: what was remembered when the proof began, and what it trusted.
        :param reached: the state after the last transaction.
        """
        state = reached
        while not self._states.save(
            self._remembered_as, Memory(state, {**memory.tables, **proven}), before
        ):
            # Another one has gone on meanwhile: it has to be the same history.
            before = self._states.load(self._remembered_as)
            memory = before or self._first()
            try:
                answer = self._transaction_of(last, memory.state, values=False)
                header, state = self._linked(answer, last, memory.state)
                require(state_of(header) == reached, "two different histories")
            except ProofError as error:
                raise self._tampered(error) from error

    def verified_get(
        self,
        table: str,
        primary_key: tuple[Any, ...],
        *,
        at: int = 0,
        wait: bool = True,
    ) -> VerifiedRow:
        """
        Return a row whose proof was checked, and remember the state that it proves.

        It is read outside of an open transaction. A database that is verified for the
        first time is trusted as it is then, and so is what a table looks like.

        :param table: its name, in lower case as immudb keeps it.
        :param primary_key: its values in the order of the primary key's columns.
        :param at: the transaction that wrote the row; the last one if not given.
        :param wait: whether what was committed before this call has to be seen. If not,
            one call less is made; what an earlier call has waited for is seen.
        :raises TamperedError: the answer isn't proven; the state is left as it was.
        :raises ProgrammingError: there is no such row, says the server. That can't be
            proven.
        :raises DataError: a value isn't of its column's type.
        :raises OperationalError: the state can't be read or written, or there is none
            and ``require_state`` is set.
        """
        changes = 0
        while True:
            before = self._states.load(self._remembered_as)
            memory = before or self._first()
            entry = self._ask(table, primary_key, memory.state, at, wait)
            try:
                if memory.state.tx == 0:
                    # The first transaction was committed just now.
                    changes += 1
                    require(changes < PATIENCE, "a row without a transaction")
                    continue
                claimed = Table.of(entry)
                known = memory.tables.get(table)
                if known is None:
                    known = Known(memory.state.tx, claimed)
                    if not self._agrees(table, claimed):
                        changes += 1
                        require(
                            changes < PATIENCE, "two different definitions of the table"
                        )
                        continue
                if known.table == claimed:
                    found, state = self._proven(
                        entry, claimed, primary_key, at, memory.state
                    )
                    tables = {**memory.tables, table: known}
                else:
                    found = None
                    changes += 1
                    require(
                        changes < PATIENCE,
                        "the definition of the table changes all the time",
                    )
                    state, tables = self._followed(memory, table)
            except ProofError as error:
                raise self._tampered(error) from error
            after = Memory(state, tables)
            # If another one was faster, its state has to be proven against, too.
            saved = after == before or self._states.save(
                self._remembered_as, after, before
            )
            if saved and found is not None:
                return found

    def _tampered(self, error: Exception) -> TamperedError:
        return TamperedError(
            f"{self._remembered_as} contradicts what was verified before: {error}. If"
            " you have restored or recreated the database, call forget_state() to"
            " trust its current state."
        )

    def _first(self) -> Memory:
        """
        Return what to trust of a database that nothing is known of.

        :raises OperationalError: nothing, because a state is required.
        """
        if self.require_state:
            raise stores.OperationalError(
                f"{self._states.path} has no verified state of {self._remembered_as},"
                " but require_state is set, so the server's isn't trusted. Restore the"
                " file from a backup, or import the state of another client with"
                " manage.py immudb_state. If this is the first contact, leave"
                " require_state out once."
            )
        answer = self.state()
        state = State(answer.txId, answer.txHash)
        if state.tx:
            try:
                require(len(state.hash) == 32, "a hash of the wrong length")
                if self._public_key is not None:
                    self._public_key.check(answer.signature, self.database, state)
            except ProofError as error:
                raise self._tampered(error) from error
        return Memory(state, {})

    def _ask(
        self,
        table: str,
        primary_key: tuple[Any, ...],
        trusted: State,
        at: int,
        wait: bool,
    ) -> pb.VerifiableSQLEntry:
        try:
            return self.verifiable_get(
                table, primary_key, since=trusted.tx, at=at, wait=wait
            )
        except stores.DatabaseError as error:
            raise self._unless_forgotten(error, trusted) from error

    def _unless_forgotten(
        self, error: stores.DatabaseError, trusted: State
    ) -> stores.DatabaseError:
        """Return the error, or another one if the server has lost what it had."""
        if not str(error).startswith(("illegal state", "tx not found")):
            return error
        return self._tampered(
            ProofError(f"the server has no transaction {trusted.tx} any more")
        )

    def _agrees(self, table: str, claimed: Table) -> bool:
        """
        Whether SQL says the same of a table as an answer does.

        It proves nothing, but a single answer that was altered is found.
        """
        request = pb.SQLQueryRequest(
            sql="SELECT * FROM COLUMNS(@name)",
            params=[pb.NamedParam(name="name", value=bind_value(table))],
        )
        decoder, rows = parse(self._outside(UNARY_QUERY, request))
        told = [dict(zip(decoder.names, row, strict=True)) for row in rows]
        columns = {
            Column(
                each["name"],
                each["type"],
                each["max_length"] if each["type"] in SIZED else 0,
            )
            for each in told
        }
        key = {each["name"] for each in told if each["primary"]}
        return columns == set(claimed.columns.values()) and key == {
            claimed.columns[number].name for number in claimed.key
        }

    def _proven(
        self,
        entry: pb.VerifiableSQLEntry,
        table: Table,
        primary_key: tuple[Any, ...],
        at: int,
        trusted: State,
    ) -> tuple[VerifiedRow, State]:
        """Return the row of an answer, and the state that it proves."""
        tx, value = entry.sqlEntry.tx, entry.sqlEntry.value
        require(at in (0, tx), "a row of another transaction")
        key = table.row_key(primary_key)
        header, state = self._linked(entry.verifiableTx, tx, trusted)
        check_entry(entry.inclusionProof, header, key, value)
        row = table.decode(value)
        require(same_key(table, row, primary_key), "a row of another key")
        time = real.datetime(1970, 1, 1) + datetime.timedelta(seconds=header.ts)
        return VerifiedRow(row, tx, time), state

    def _linked(
        self, answer: pb.VerifiableTx, tx: int, trusted: State
    ) -> tuple[pb.TxHeader, State]:
        """
        Check that a transaction belongs to the history that we trust.

        :return: its header, and the later one of the two states.
        """
        proof = answer.dualProof
        if tx < trusted.tx:
            header, state = proof.sourceTxHeader, trusted
            require(header.id == tx, "a proof of another transaction")
            check_link(proof, state_of(header), trusted)
        else:
            header = proof.targetTxHeader
            state = state_of(header)
            require(header.id == tx, "a proof of another transaction")
            check_link(proof, trusted, state)
        if self._public_key is not None:
            self._public_key.check(answer.signature, self.database, state)
        return header, state

    # The catalog

    def _followed(self, memory: Memory, table: str) -> tuple[State, dict[str, Known]]:
        """
        Go through the transactions since the table was known.

        :return: the state after them, and what is known of the tables then.
        """
        known = memory.tables[table]
        last = self._last(memory.state)
        require(last > known.since, "a table that was changed without a transaction")
        catalog = Catalog(table, known.table)
        state = self._walk(catalog, range(known.since + 1, last + 1), memory.state)
        try:
            found = catalog.find(table)
        except LookupError:
            # A table that is older has got this name.
            state, tables = self._found([table], last, state)
            found = tables[table]
        # One that was dropped stays known as it was, until it is made again.
        changed = Known(last, known.table if found is None else found.checked())
        return state, {**memory.tables, table: changed}

    def _followed_all(self, memory: Memory, known: dict[str, Known]) -> Memory:
        """Return what is known after the last transaction, if these tables are known."""
        state, last = memory.state, self._last(memory.state)
        catalog = Catalog()
        ends = [*sorted({one.since for one in known.values()}), last]
        for since, end in itertools.pairwise(ends):
            for name, one in known.items():
                if one.since == since:
                    catalog.add(name, one.table)
            if since < end:
                state = self._walk(catalog, range(since + 1, end + 1), state)
        found: dict[str, Table | None] = {}
        older = []
        for name in known:
            try:
                found[name] = catalog.find(name)
            except LookupError:
                older.append(name)
        if older:
            state, others = self._found(older, last, state)
            found |= others
        changed = {
            name: Known(last, table.checked())
            for name, table in found.items()
            if table is not None
        }
        return Memory(state, {**memory.tables, **changed})

    def _names(self) -> set[str]:
        """Return the names of the tables that there are, says the server."""
        request = pb.SQLQueryRequest(sql="SELECT name FROM TABLES()")
        _, rows = parse(self._outside(UNARY_QUERY, request))
        return {name for (name,) in rows}

    def _last(self, trusted: State) -> int:
        """Return the last transaction; a server may hide new ones, but none we know."""
        last: int = self.state().txId
        require(
            last >= trusted.tx, f"the server has no transaction {trusted.tx} any more"
        )
        return last

    def _found(
        self,
        names: Iterable[str],
        last: int,
        trusted: State,
        step: Callable[[], None] | None = None,
    ) -> tuple[State, dict[str, Table | None]]:
        """Return what all transactions made of tables, by name, and the state then."""
        catalog = Catalog()
        state = self._walk(catalog, range(1, last + 1), trusted, step)
        try:
            return state, {name: catalog.find(name) for name in names}
        except LookupError as error:
            raise ProofError("a table without columns") from error

    def _walk(
        self,
        catalog: Catalog,
        transactions: range,
        trusted: State,
        step: Callable[[], None] | None = None,
    ) -> State:
        """Take what these transactions did to the catalog; return the state then."""
        walk = Walk(self, trusted)
        for tx in walk.through(transactions.start, transactions.stop - 1):
            for key, value, deleted in self._definitions(tx, walk.state):
                catalog.apply(key, value, deleted=deleted)
            if step is not None:
                step()
        return walk.state

    def _definitions(
        self, tx: pb.Tx, trusted: State
    ) -> Iterator[tuple[bytes, bytes, bool]]:
        """Return keys and values of a proven transaction's entries of the catalog."""
        entries = [entry for entry in tx.entries if entry.key.startswith(CATALOG)]
        if not entries:
            return
        full = self._transaction_of(tx.header.id, trusted, values=True)
        values = {entry.key: entry.value for entry in full.tx.entries}
        for entry in entries:
            deleted = entry.metadata.deleted
            value = values.get(entry.key, b"")
            require(
                deleted or sha256(value) == entry.hValue, "another value of an entry"
            )
            yield entry.key, value, deleted

    def _transaction_of(
        self, tx: int, trusted: State, *, values: bool
    ) -> pb.VerifiableTx:
        try:
            return self.verifiable_tx(tx, since=trusted.tx, values=values)
        except stores.DatabaseError as error:
            raise self._unless_forgotten(error, trusted) from error

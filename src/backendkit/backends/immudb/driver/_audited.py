"""All of a ledger's history, proven transaction by transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from . import immudb_pb2 as pb
from ._proofs import ProofError, State, require, state_of
from ._rows import Table
from ._signatures import fingerprint
from ._state import Known
from ._verified import Verifier
from ._walk import Walk

#: A key and a value of the catalog, and whether the entry is deleted.
Definition = tuple[bytes, bytes, bool]


class Auditor(Verifier):
    """The part of a connection that goes through all transactions."""

    @property
    def remembered_as(self) -> str:
        """The name of the database in the file of states."""
        return self._remembered_as

    def signer(self) -> tuple[str | None, bool]:
        """
        Return who signs the states, and whether their signatures are checked.

        :return: the SHA-256 of the public key's DER form, in hexadecimal; None if the
            server doesn't sign.
        """
        if self._public_key is not None:
            return self._public_key.fingerprint, True
        return fingerprint(self.state().signature), False

    def prove_history(
        self,
        visit: Callable[[pb.Tx, Sequence[Definition]], None],
        *,
        after: State | None = None,
        tables: Callable[[], Mapping[str, Table]] = dict,
        step: Callable[[], None] | None = None,
    ) -> State | None:
        """
        Prove each transaction up to the last one of now, and remember the state.

        :param visit: called with each transaction, its entries without values, and with
            those of its entries that define tables. What it was called with is proven.
        :param after: the state to begin behind, which was proven before.
        :param tables: called at the end; what it returns is remembered as the tables'
            definitions, by immudb's names.
        :param step: called after each transaction.
        :return: the state after the last transaction; None if there is none.
        :raises TamperedError: they aren't proven; the remembered state is as it was.
        """
        before = self._states.load(self._remembered_as)
        memory = before or self._first()
        trusted = memory.state
        try:
            last = self._last(trusted)
            if trusted.tx == 0:
                return None
            if after is not None:
                self._has(last, after)
            walk = Walk(self, trusted, after)
            for tx in walk.through(1 if after is None else after.tx + 1, last):
                visit(tx, list(self._definitions(tx, walk.state)))
                if step is not None:
                    step()
        except ProofError as error:
            raise self._tampered(error) from error
        reached = walk.reached
        assert reached is not None
        known = {name: Known(last, table) for name, table in tables().items()}
        self._remember(before, memory, reached, last, known)
        return reached

    def prove_state(self, state: State) -> None:
        """
        Prove that a state is one that this database has had.

        :raises TamperedError: it isn't, or the server has lost it.
        """
        memory = self._states.load(self._remembered_as) or self._first()
        try:
            last = self._last(memory.state)
            self._has(last, state)
            answer = self._transaction_of(state.tx, memory.state, values=False)
            header, _ = self._linked(answer, state.tx, memory.state)
            require(
                state_of(header) == state,
                f"its transaction {state.tx} is another one",
            )
        except ProofError as error:
            raise self._tampered(error) from error

    def _has(self, last: int, state: State) -> None:
        require(last >= state.tx, f"the server has no transaction {state.tx} any more")

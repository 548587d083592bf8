"""
The ledger's transactions in their order, each proven before it is handed on.

A transaction's hash is made of its own header and the hash of the one before it. So if
the last of some transactions is proven to belong to the history that we trust, and each
names the hash of the one before it, then all of them do. One proof, and one call, is
enough for hundreds of transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from backendkit.stores import DatabaseError

from . import immudb_pb2 as pb
from ._proofs import ProofError, State, check_entries, require, state_of

#: Bytes that an answer should have.
_ANSWER = 1_000_000
#: Transactions of the first answer, and the most of any: nobody knows how large the next
#: ones are, and behind many small ones may come as many large ones.
_FIRST, _MOST = 16, 250


class Prover(Protocol):
    """What a walk needs of a connection."""

    def transactions(
        self, start: int, limit: int, *, digests: bool = False
    ) -> list[pb.Tx]: ...
    def _unless_forgotten(
        self, error: DatabaseError, trusted: State
    ) -> DatabaseError: ...
    def _transaction_of(
        self, tx: int, trusted: State, *, values: bool
    ) -> pb.VerifiableTx: ...
    def _linked(
        self, answer: pb.VerifiableTx, tx: int, trusted: State
    ) -> tuple[pb.TxHeader, State]: ...


class Walk:
    """
    A walk through transactions.

    :param trusted: a state that is trusted.
    :param reached: that after which it begins, if it is known.
    :ivar state: the latest state that is proven, which grows with the walk.
    :ivar reached: the state after the last transaction that was handed on.
    """

    def __init__(
        self, prover: Prover, trusted: State, reached: State | None = None
    ) -> None:
        self._prover = prover
        self.state = trusted
        self.reached = reached

    def through(self, first: int, last: int) -> Iterator[pb.Tx]:
        """
        Go through transactions; their entries have digests, not values.

        :raises ProofError: they aren't proven; the message says which one isn't.
        """
        limit = _FIRST
        while first <= last:
            found = self._scan(first, min(limit, last - first + 1))
            states = self._check(found)
            for one, state in zip(found, states, strict=True):
                self.reached = state
                yield one
            first += len(found)
            size = sum(one.ByteSize() for one in found)
            limit = max(1, min(_MOST, limit * 4, limit * _ANSWER // max(size, 1)))

    def _scan(self, first: int, count: int) -> list[pb.Tx]:
        try:
            found = self._prover.transactions(first, count, digests=True)
        except DatabaseError as error:
            raise self._prover._unless_forgotten(error, self.state) from error
        ids = [one.header.id for one in found]
        require(
            bool(ids)
            and ids == [*range(first, first + len(ids))]
            and len(ids) <= count,
            f"the server left out transaction {first} or a later one",
        )
        return found

    def _check(self, found: Sequence[pb.Tx]) -> list[State]:
        """Check transactions that follow each other; return the state after each."""
        before = self.reached
        states: list[State] = []
        for one in found:
            header = one.header
            try:
                check_entries(one, header)
                state = state_of(header)
            except ProofError as error:
                raise ProofError(f"transaction {header.id}: {error}") from error
            states.append(state)
            if before is not None and header.prevAlh != before.hash:
                # Either of them: their proofs tell.
                raise self._wrong([before, state])
            before = state
        if self._proven(states[-1].tx) != states[-1]:
            raise self._wrong(states)
        return states

    def _proven(self, tx: int) -> State:
        """Return the state after a transaction as it is proven."""
        answer = self._prover._transaction_of(tx, self.state, values=False)
        header, self.state = self._prover._linked(answer, tx, self.state)
        return state_of(header)

    def _wrong(self, states: Sequence[State]) -> ProofError:
        """Return an error with the first transaction that isn't the one that is proven."""
        wrong = (one.tx for one in states if self._proven(one.tx) != one)
        tx = next(wrong, states[-1].tx)
        return ProofError(f"transaction {tx}: it isn't the one of the history")

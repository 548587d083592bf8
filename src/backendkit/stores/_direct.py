"""``DirectSession``: for databases without transactions, whose tables are given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable
from typing import Any, NoReturn

from ._errors import InterfaceError, NotSupportedError
from ._schema import Catalog, Table
from ._session import Session


class DirectSession(Session):
    """
    A session of a database that applies each change at once, such as an HTTP service.

    A subclass implements :meth:`_catalog`, and :class:`Session`'s ``query``, ``insert``,
    ``update``, ``delete`` and ``get``; each of these calls :meth:`require` first, and changes
    nothing if it fails. The store's capabilities say ``transactions=False``. All changes of
    tables are refused.
    """

    _active = _writing = False

    @abstractmethod
    def _catalog(self) -> Catalog:
        """Return the tables. Called often: cheap."""

    def require(self, *, write: bool = False) -> None:
        """
        Check that a transaction has begun.

        :param write: whether the transaction has to be one that writes.
        :raises InterfaceError: no transaction has begun, or one that only reads.
        """
        if not self._active:
            raise InterfaceError("there is no transaction")
        if write and not self._writing:
            raise InterfaceError("the transaction was begun for reading only")

    def begin(self, *, write: bool) -> None:
        if self._closed or self._active:
            raise InterfaceError("the session is closed, or already in a transaction")
        self._active, self._writing = True, write

    def upgrade(self) -> None:
        self.require()
        self._writing = True

    def commit(self) -> None:
        self.require()
        self._active = False

    def rollback(self) -> None:
        self._active = False  # what was written stays

    def savepoint(self) -> Hashable:
        self.require()
        return 0

    def rollback_to(self, mark: Hashable) -> None:
        self.require()  # the same

    def catalog(self) -> Catalog:
        self.require()
        return self._catalog()

    def estimated_rows(self, table: Table) -> int:
        """Return a guess. Override it where the database knows."""
        return 1000

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise NotSupportedError(
            f"the tables of {type(self.store).__name__} can't be changed"
        )

    create_table = drop_table = alter_table = reset_sequence = _refuse

"""
Foreign keys, checked when the transaction commits.

All are taken as DEFERRABLE INITIALLY DEFERRED, which is how Django declares
them (https://www.sqlite.org/foreignkeys.html#fk_deferred). Within the
transaction only the key values are noted whose rows might have come to miss
their partner; at its end each of these is looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from backendkit.stores import (
    Catalog,
    DataError,
    FilterShape,
    ForeignKey,
    IntegrityError,
    Precision,
    Row,
    Session,
    Table,
    matcher,
)

from .comparing import Bound, comparison
from .values import TO_SQLITE, to_store

#: How many values that refer to something are remembered while a table is checked.
_KNOWN = 10_000


class Reference(NamedTuple):
    """A foreign key with the table that has it."""

    table: Table
    key: ForeignKey


class Violation(NamedTuple):
    """A row whose foreign key refers to nothing."""

    table: Table
    key: ForeignKey
    row: Row


class _Noted(NamedTuple):
    """
    Values of a foreign key that are to be looked up.

    :param table: name of the table that has the foreign key.
    :param of_parent: whether they are those of the row that was referred to.
    """

    table: str
    key: ForeignKey
    values: tuple[Any, ...]
    of_parent: bool


class ForeignKeys:
    """The foreign keys of a catalog, and what a transaction has to check."""

    def __init__(self) -> None:
        self._pending: dict[_Noted, None] = {}
        self._catalog: Catalog | None = None
        self._referring: dict[str, list[Reference]] = {}
        #: Whether foreign keys are enforced at all.
        self.enforced = True

    def use(self, catalog: Catalog) -> None:
        """Take the foreign keys from this catalog from now on."""
        if catalog is self._catalog:
            return
        self._catalog = catalog
        self._referring = {}
        for table in catalog.tables.values():
            for key in table.foreign_keys:
                reference = Reference(table, key)
                self._referring.setdefault(key.table.lower(), []).append(reference)

    def referring(self, table: Table) -> Sequence[Reference]:
        """Return the foreign keys that refer to a table."""
        return self.referring_to(table.name)

    def referring_to(self, name: str) -> Sequence[Reference]:
        """Return the foreign keys that refer to a table of this name."""
        return self._referring.get(name.lower(), ())

    # Noting

    def clear(self) -> None:
        """Forget what was noted: the transaction is over."""
        self._pending.clear()

    def note_child(self, table: Table, row: Row, old: Row | None = None) -> None:
        """Note a new or changed row with foreign keys."""
        if not self.enforced:
            return
        positions = table.positions
        for key in table.foreign_keys:
            values = tuple(row[positions[name]] for name in key.columns)
            if None in values:
                continue
            if old is not None and values == tuple(
                old[positions[name]] for name in key.columns
            ):
                continue
            self._pending[_Noted(table.name, key, values, of_parent=False)] = None

    def note_parent(self, table: Table, old: Row, new: Row | None) -> None:
        """Note a deleted or changed row that others may refer to."""
        if not self.enforced:
            return
        for child, key in self.referring(table):
            places = _places(table, key)
            if places is None:
                continue
            values = tuple(old[place] for place in places)
            if None in values:
                continue
            if new is not None and values == tuple(new[place] for place in places):
                continue
            self._pending[_Noted(child.name, key, values, of_parent=True)] = None

    # Checking

    def check(self, session: Session, catalog: Catalog) -> None:
        """
        Look up what was noted.

        :raises IntegrityError: a row refers to nothing.
        """
        if not self._pending:
            return
        tables = {name.lower(): table for name, table in catalog.tables.items()}
        for noted in self._pending:
            child = tables.get(noted.table.lower())
            if child is None:
                continue  # dropped
            for key in child.foreign_keys:
                if key.columns == noted.key.columns:
                    parent = tables.get(key.table.lower())
                    row = self._broken(session, child, key, parent, noted)
                    if row is not None:
                        raise IntegrityError(_message(Violation(child, key, row)))

    @staticmethod
    def _broken(
        session: Session,
        child: Table,
        key: ForeignKey,
        parent: Table | None,
        noted: _Noted,
    ) -> Row | None:
        """Return a row that has what was noted and refers to nothing, or None."""
        values = noted.values
        if parent is None:
            # Dropped, and what it was called isn't known any more.
            return (
                None if noted.of_parent else _first(session, child, key.columns, values)
            )
        if not noted.of_parent:
            if _refers(session, child, key, parent, values):
                return None
            return _first(session, child, key.columns, values)
        if _first(session, parent, references_of(key, parent), values) is not None:
            return None
        return next(rows_referring(session, child, key, parent, values), None)

    def violations(
        self, session: Session, catalog: Catalog, table: Table
    ) -> Iterator[Violation]:
        """Check every row of a table, noted or not."""
        tables = {name.lower(): other for name, other in catalog.tables.items()}
        if not table.foreign_keys:
            return
        names = [column.name for column in table.columns]
        query = session.query(table, names, session.access(table, ()))
        known: set[tuple[int, tuple[Any, ...]]] = set()
        for row in query.fetch():
            for number, key in enumerate(table.foreign_keys):
                values = tuple(row[table.positions[name]] for name in key.columns)
                if None in values or (number, values) in known:
                    continue
                parent = tables.get(key.table.lower())
                if _refers(session, table, key, parent, values):
                    if len(known) >= _KNOWN:
                        known.clear()
                    known.add((number, values))
                else:
                    yield Violation(table, key, row)


def rows_where(
    session: Session, table: Table, columns: Sequence[str], values: Sequence[Any]
) -> Iterator[Row]:
    """Return the rows in which columns equal values of their types, none NULL."""
    capabilities = session.store.capabilities
    precisions = [
        capabilities.precision(table.column(name).type, "exact") for name in columns
    ]
    shapes = [
        FilterShape(name, "exact")
        for name, precision in zip(columns, precisions, strict=True)
        if precision is not Precision.NONE
    ]
    access = session.access(table, shapes)
    query = session.query(table, [c.name for c in table.columns], access)
    tests = []
    for name, value, precision in zip(columns, values, precisions, strict=True):
        if precision is not Precision.NONE:
            query.add_filter(name, "exact", False, table.column(name).type, value)
        if precision is not Precision.EXACT:
            tests.append((table.positions[name], matcher("exact", value)))
    rows = query.fetch()
    if not tests:
        return rows
    return (row for row in rows if all(test(row[place]) for place, test in tests))


def references_of(key: ForeignKey, parent: Table) -> tuple[str, ...]:
    """Return the columns that a foreign key refers to, as the table spells them."""
    names = key.references or parent.primary_key
    if all(name in parent.positions for name in names):
        return names
    spelt = {column.name.lower(): column.name for column in parent.columns}
    return tuple(spelt.get(name.lower(), name) for name in names)


def rows_referring(
    session: Session,
    child: Table,
    key: ForeignKey,
    parent: Table,
    values: tuple[Any, ...],
) -> Iterator[Row]:
    """
    Return the rows of a table that refer to a row of another.

    :param values: what they refer to, of the other table's types; none NULL.
    """
    references = references_of(key, parent)
    try:
        same = [
            child.column(mine).type is parent.column(theirs).type
            for mine, theirs in zip(key.columns, references, strict=True)
        ]
    except (KeyError, ValueError):
        return iter(())
    if all(same):
        return rows_where(session, child, key.columns, values)
    # Several values of another type may come to one: '1' and '01' to 1.
    found = rows_where(
        session,
        child,
        [name for name, one in zip(key.columns, same, strict=True) if one],
        [value for value, one in zip(values, same, strict=True) if one],
    )
    places = [child.positions[name] for name in key.columns]

    def refers(row: Row) -> bool:
        own = tuple(row[place] for place in places)
        return None not in own and _translate(child, key, parent, own) == values

    return filter(refers, found)


def _refers(
    session: Session,
    child: Table,
    key: ForeignKey,
    parent: Table | None,
    values: tuple[Any, ...],
) -> bool:
    if parent is None:
        return False
    wanted = _translate(child, key, parent, values)
    return wanted is not None and (
        _first(session, parent, references_of(key, parent), wanted) is not None
    )


def _first(
    session: Session, table: Table, columns: Sequence[str], values: tuple[Any, ...]
) -> Row | None:
    if tuple(columns) == table.primary_key:
        return session.get(table, values)
    return next(rows_where(session, table, columns, values), None)


def _places(table: Table, key: ForeignKey) -> tuple[int, ...] | None:
    try:
        return tuple(table.positions[name] for name in references_of(key, table))
    except KeyError:
        return None  # refers to a column that isn't there (any more)


def _translate(
    child: Table, key: ForeignKey, parent: Table, values: tuple[Any, ...]
) -> tuple[Any, ...] | None:
    """
    Return a foreign key's values as those of the columns it refers to.

    As SQLite does: with the affinity of these. None if they can't have them.
    """
    references = references_of(key, parent)
    if len(references) != len(values):
        return None
    result = []
    for mine, theirs, value in zip(key.columns, references, values, strict=True):
        try:
            own, column = child.column(mine), parent.column(theirs)
        except KeyError:
            return None
        if own.type is column.type:
            result.append(value)
            continue
        convert = TO_SQLITE.get(own.type)
        written = convert(value) if convert else value
        lookup, wanted = comparison(column, "exact", written)
        if wanted is Bound.NOTHING:
            return None
        if lookup != "exact" or wanted is Bound.ANYTHING:
            try:
                wanted = to_store(parent.name, column, written)
            except DataError:
                return None
        result.append(wanted)
    return tuple(result)


def _message(violation: Violation) -> str:
    table, key, row = violation
    values = tuple(row[table.positions[name]] for name in key.columns)
    columns = ", ".join(f"{table.name}.{name}" for name in key.columns)
    shown = repr(values[0]) if len(values) == 1 else repr(values)
    return (
        f"FOREIGN KEY constraint failed: {columns} = {shown} has no corresponding"
        f" row in {key.table}"
    )

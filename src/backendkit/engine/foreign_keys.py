"""
Foreign keys, checked when the transaction commits.

All are taken as DEFERRABLE INITIALLY DEFERRED, which is how Django declares
them (https://www.sqlite.org/foreignkeys.html#fk_deferred). Within the
transaction only the key values are noted whose rows might have come to miss
their partner; at its end each of these is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from backendkit.stores import (
    Catalog,
    DataError,
    FilterShape,
    ForeignKey,
    IntegrityError,
    NonrelQuery,
    Precision,
    Row,
    Session,
    Table,
    batches,
    matcher,
    row_getter,
    shown,
    weigher,
)

from .comparing import Bound, comparison
from .values import TO_SQLITE, is_same_type, to_store

#: How many values that refer to something are remembered while a table is checked.
_KNOWN = 10_000
#: How many values are looked up at once.
_BATCH = 500

#: Given a row: the values of some columns.
_Getter = Callable[[Row], tuple[Any, ...]]


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
    A foreign key of which values are to be looked up.

    :param table: name of the table that has it.
    :param columns: its columns.
    :param of_parent: whether the values are those of rows that were referred to.
    """

    table: str
    columns: tuple[str, ...]
    of_parent: bool


#: Values of some columns of a row.
_Values = tuple[Any, ...]


class ForeignKeys:
    """The foreign keys of a catalog, and what a transaction has to check."""

    def __init__(self) -> None:
        self._noted: dict[_Noted, dict[_Values, None]] = {}
        #: For each change of the schema in the transaction, what was noted before it.
        self._noted_before: list[dict[_Noted, dict[_Values, None]]] = []
        #: Dropped tables by name: what rows refer to that refer to nothing now.
        self._dropped: dict[str, Table] = {}
        #: Tables whose rows may refer to nothing since they weren't enforced.
        self._unchecked: dict[str, None] = {}
        self._referring: dict[str, list[Reference]] = {}
        #: By table, its foreign keys and what gets their values from a row.
        self._own: dict[str, tuple[Table, list[tuple[_Noted, _Getter]]]] = {}
        #: Whether foreign keys are enforced at all.
        self.enforced = True

    @property
    def settled(self) -> bool:
        """Whether all rows refer to something, as far as this connection knows."""
        return self.enforced and not self._noted and not self._unchecked

    def use(self, gone: Sequence[Table], new: Sequence[Table]) -> None:
        """
        Take the foreign keys of other tables from now on.

        :param gone: tables that aren't there any more, as they were.
        :param new: tables that are there now.
        """
        for table in gone:
            self._own.pop(table.name, None)
            for key in table.foreign_keys:
                parent = key.table.lower()
                left = [
                    one
                    for one in self._referring.pop(parent, ())
                    if one.table.name != table.name
                ]
                if left:
                    self._referring[parent] = left
        for table in new:
            for key in table.foreign_keys:
                reference = Reference(table, key)
                self._referring.setdefault(key.table.lower(), []).append(reference)

    def referring(self, table: Table) -> Sequence[Reference]:
        """Return the foreign keys that refer to a table."""
        return self.referring_to(table.name)

    def referring_to(self, name: str) -> Sequence[Reference]:
        """Return the foreign keys that refer to a table of this name."""
        return self._referring.get(name.lower(), ())

    def refers_to(self, table: Table, numbers: Collection[int]) -> bool:
        """Whether a foreign key refers to one of these columns of a table."""
        return any(
            not set(_places(table, key) or ()).isdisjoint(numbers)
            for _, key in self.referring(table)
        )

    # Noting

    def clear(self) -> None:
        """Forget what was noted: the transaction is over."""
        self._noted = {}
        self._noted_before.clear()
        self._dropped.clear()

    def take_unchecked(self) -> list[str]:
        """
        Return tables that were written while foreign keys weren't enforced.

        Their rows may refer to nothing. They are forgotten.
        """
        names, self._unchecked = self._unchecked, {}
        return list(names)

    def keep_unchecked(self, names: Collection[str]) -> None:
        """Forget those tables but these."""
        self._unchecked = {name: None for name in self._unchecked if name in names}

    def note_unchecked(self, parent: Table) -> None:
        """Note that rows which others may refer to were changed, but not enforced."""
        self._unchecked.update(
            (child.name, None) for child, _ in self.referring(parent)
        )

    def _own_of(self, table: Table) -> list[tuple[_Noted, _Getter]]:
        known, own = self._own.get(table.name, (None, []))
        if known is not table:
            own = [
                (
                    _Noted(table.name, key.columns, of_parent=False),
                    row_getter([table.positions[name] for name in key.columns]),
                )
                for key in table.foreign_keys
            ]
            self._own[table.name] = table, own
        return own

    def note_children(self, table: Table, rows: Sequence[Row]) -> None:
        """Note new rows with foreign keys."""
        if not self.enforced:
            self._unchecked[table.name] = None
            return
        for noted, get in self._own_of(table):
            # A NULL refers to nothing. Those are left out when they are looked up.
            self._values(noted).update(dict.fromkeys(map(get, rows)))

    def note_child(self, table: Table, row: Row, old: Row) -> None:
        """Note a changed row with foreign keys."""
        if not self.enforced:
            self._unchecked[table.name] = None
            return
        for noted, get in self._own_of(table):
            values = get(row)
            if values != get(old):
                self._values(noted)[values] = None

    def note_parent(self, table: Table, old: Row, new: Row | None) -> None:
        """Note a deleted or changed row that others may refer to."""
        if not self.enforced:
            self.note_unchecked(table)
            return
        for child, key in self.referring(table):
            places = _places(table, key)
            if places is None:
                continue
            values = tuple(old[place] for place in places)
            if new is not None and values == tuple(new[place] for place in places):
                continue
            noted = _Noted(child.name, key.columns, of_parent=True)
            self._values(noted)[values] = None

    def _values(self, noted: _Noted) -> dict[_Values, None]:
        found = self._noted.get(noted)
        if found is None:
            found = self._noted[noted] = {}
        return found

    # Changes of the schema: what was noted of a table stays its own

    def created(self, name: str) -> None:
        """Forget what was noted of a table that had the name of a new one."""
        self._redefine(name, None, {})

    def dropped(self, table: Table) -> None:
        """Forget what was noted of a table that was dropped."""
        self._redefine(table.name, None, {})
        self._dropped[table.name.lower()] = table

    def altered(self, name: str, new_name: str, renames: Mapping[str, str]) -> None:
        """
        Follow a table, and its columns, to new names.

        :param renames: new names of columns by their old ones.
        """
        if name != new_name or renames:
            self._redefine(name, new_name, renames)

    def _redefine(
        self, name: str, new_name: str | None, renames: Mapping[str, str]
    ) -> None:
        self._noted_before.append(self._noted)
        gone = {name.lower(), (new_name or name).lower()}
        kept = {
            noted: values
            for noted, values in self._noted.items()
            if noted.table.lower() not in gone
        }
        if new_name is not None:
            for noted, values in self._noted.items():
                if noted.table.lower() == name.lower():
                    columns = tuple(renames.get(one, one) for one in noted.columns)
                    kept[_Noted(new_name, columns, noted.of_parent)] = values
        self._noted = kept

    def mark(self) -> int:
        """Return a mark for :meth:`rollback_to`."""
        return len(self._noted_before)

    def rollback_to(self, mark: int) -> None:
        """
        Give what was noted the names back that tables and columns had at a mark.

        What was noted since is kept: it is looked up, and found to be right.
        """
        if mark < len(self._noted_before):
            # Rows that were written since the schema changed aren't there any more.
            self._noted = self._noted_before[mark]
            del self._noted_before[mark:]

    # Checking

    def check(self, session: Session, catalog: Catalog) -> None:
        """
        Look up what was noted.

        :raises IntegrityError: a row refers to nothing.
        """
        for noted, values in self._noted.items():
            child = catalog.named(noted.table)
            if child is None:
                continue  # dropped
            keys = [key for key in child.foreign_keys if key.columns == noted.columns]
            complete = (one for one in values if None not in one)
            while some := list(islice(complete, _BATCH)):
                for key in keys:
                    parent = catalog.named(key.table)
                    if parent is None and noted.of_parent:
                        gone = self._dropped.get(key.table.lower())
                        row = _orphan(session, child, key, gone, some)
                    else:
                        row = _broken(
                            session, child, key, parent, some, noted.of_parent
                        )
                    if row is not None:
                        raise IntegrityError(_message(Violation(child, key, row)))

    def violations(
        self, session: Session, catalog: Catalog, table: Table
    ) -> Iterator[Violation]:
        """Check every row of a table, noted or not."""
        own = self._own_of(table)
        if not own:
            return
        names = [column.name for column in table.columns]
        rows = session.query(table, names, session.access(table, ())).fetch()
        parents = [catalog.named(key.table) for key in table.foreign_keys]
        known: list[set[_Values]] = [set() for _ in own]
        for some in batches(rows, _BATCH, weigher(table.columns)):
            lost = []
            for (_, get), key, parent, there in zip(
                own, table.foreign_keys, parents, known, strict=True
            ):
                wanted = {one for one in map(get, some) if None not in one} - there
                missing = set(_lost(session, table, key, parent, wanted))
                if len(there) >= _KNOWN:
                    there.clear()
                there.update(wanted - missing)
                lost.append(missing)
            for row in some:
                for (_, get), key, missing in zip(
                    own, table.foreign_keys, lost, strict=True
                ):
                    if get(row) in missing:
                        yield Violation(table, key, row)


def _broken(
    session: Session,
    child: Table,
    key: ForeignKey,
    parent: Table | None,
    noted: Sequence[_Values],
    of_parent: bool,
) -> Row | None:
    """Return a row that has one of the values noted and refers to nothing, or None."""
    if of_parent and parent is not None:
        there = _present(session, parent, references_of(key, parent), noted)
        gone = [values for values in noted if values not in there]
        return next(rows_referring(session, child, key, parent, gone), None)
    lost = _lost(session, child, key, parent, noted)
    if len(lost) > 1 and len(key.columns) == 1:
        (name,) = key.columns
        columns = [column.name for column in child.columns]
        query = _query_in(session, child, columns, name, [value for (value,) in lost])
        if query is not None:
            return next(query.fetch(), None)
    for values in lost:
        # The row may have been deleted since.
        found = _first(session, child, key.columns, values)
        if found is not None:
            return found
    return None


def _orphan(
    session: Session,
    child: Table,
    key: ForeignKey,
    dropped: Table | None,
    noted: Sequence[_Values],
) -> Row | None:
    """Return a row that refers to one of the rows of a dropped table, or None."""
    if dropped is None:
        return None  # not in this transaction: its rows had been deleted before
    return next(rows_referring(session, child, key, dropped, noted), None)


def _lost(
    session: Session,
    child: Table,
    key: ForeignKey,
    parent: Table | None,
    values: Collection[_Values],
) -> list[_Values]:
    """Return those of a foreign key's values that refer to nothing; none NULL."""
    if parent is None:
        return list(values)
    references = references_of(key, parent)
    if _same_types(child, key.columns, parent, references):
        there = _present(session, parent, references, values)
        return [one for one in values if one not in there]
    wanted = {one: _translate(child, key, parent, one) for one in values}
    translated = [one for one in wanted.values() if one is not None]
    there = _present(session, parent, references, translated)
    return [one for one, other in wanted.items() if other not in there]


def _same_types(
    child: Table, columns: Sequence[str], parent: Table, references: Sequence[str]
) -> bool:
    mine, theirs = child.positions, parent.positions
    return len(columns) == len(references) and all(
        one in mine
        and other in theirs
        and is_same_type(child.columns[mine[one]], parent.columns[theirs[other]])
        for one, other in zip(columns, references, strict=True)
    )


def _present(
    session: Session, table: Table, columns: Sequence[str], wanted: Collection[_Values]
) -> set[_Values]:
    """
    Return those values that some row has in these columns.

    :param wanted: values of the columns' types, none NULL.
    """
    if len(wanted) > 1 and len(columns) == 1:
        (name,) = columns
        query = _query_in(session, table, columns, name, [one for (one,) in wanted])
        if query is not None:
            return set(query.fetch())
    return {
        values
        for values in wanted
        if _first(session, table, columns, values) is not None
    }


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
    wanted: Sequence[_Values],
) -> Iterator[Row]:
    """
    Return the rows of a table that refer to one of some rows of another.

    Without an index all of them are found by one scan.

    :param wanted: what they refer to, of the other table's types; none NULL.
    """
    references = references_of(key, parent)
    if not wanted or not (
        child.positions.keys() >= {*key.columns}
        and parent.positions.keys() >= {*references}
        and len(key.columns) == len(references)
    ):
        return iter(())
    if _same_types(child, key.columns, parent, references):
        if len(wanted) == 1:
            return rows_where(session, child, key.columns, wanted[0])
        if len(key.columns) == 1:
            (name,) = key.columns
            columns = [column.name for column in child.columns]
            query = _query_in(session, child, columns, name, [one for (one,) in wanted])
            if query is not None:
                return query.fetch()
        shapes = [FilterShape(name, "exact") for name in key.columns]
        if session.access(child, shapes).equalities:
            return chain.from_iterable(
                rows_where(session, child, key.columns, values) for values in wanted
            )
    # Several values of another type may come to one: '1' and '01' to 1.
    places = [child.positions[name] for name in key.columns]
    values = {*wanted}

    def refers(row: Row) -> bool:
        own = tuple(row[place] for place in places)
        return None not in own and _translate(child, key, parent, own) in values

    return filter(refers, rows_where(session, child, (), ()))


def rows_of_keys(
    session: Session, table: Table, keys: Sequence[_Values]
) -> Iterator[Row]:
    """Return the rows of some primary keys that are there, if it can be in one call."""
    if len(keys) > 1 and len(table.primary_key) == 1:
        (name,) = table.primary_key
        columns = [column.name for column in table.columns]
        query = _query_in(session, table, columns, name, [value for (value,) in keys])
        if query is not None:
            return query.fetch()
    found = (session.get(table, key) for key in keys)
    return (row for row in found if row is not None)


def _query_in(
    session: Session,
    table: Table,
    columns: Sequence[str],
    name: str,
    values: Sequence[Any],
) -> NonrelQuery | None:
    """Return a query of the rows in which a column has one of these values, or None."""
    kind = table.column(name).type
    if session.store.capabilities.precision(kind, "in") is not Precision.EXACT:
        return None
    access = session.access(table, [FilterShape(name, "in")])
    query = session.query(table, columns, access)
    query.add_filter(name, "in", False, kind, values)
    return query


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
        if is_same_type(own, column):
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
    return (
        f"FOREIGN KEY constraint failed: {columns} = {', '.join(map(shown, values))} has no corresponding"
        f" row in {key.table}"
    )

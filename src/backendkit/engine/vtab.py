"""Virtual tables: how SQLite reads and writes a table of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from backendkit.stores import (
    Access,
    FilterShape,
    Key,
    NotSupportedError,
    Precision,
    Row,
    Table,
    ValueType,
    weigher,
)

from .item_search import used_indexes
from .limits import covered, index_columns
from .scan import Scan
from .seeking import Lookup, SQLRow, lookup_of
from .tokens import quote
from .values import declaration, orders_alike, row_converter

if TYPE_CHECKING:
    from .connection import Connection

_LOOKUPS = {
    apsw.SQLITE_INDEX_CONSTRAINT_EQ: "exact",
    apsw.SQLITE_INDEX_CONSTRAINT_GT: "gt",
    apsw.SQLITE_INDEX_CONSTRAINT_GE: "gte",
    apsw.SQLITE_INDEX_CONSTRAINT_LT: "lt",
    apsw.SQLITE_INDEX_CONSTRAINT_LE: "lte",
}
# Types whose comparisons the store answers just as SQLite does, whatever the
# other side is (see comparing.py): SQLite needn't check them again.
_SAME_ANSWER = frozenset({ValueType.INTEGER, ValueType.FLOAT})
#: SQLite tells the columns after the 63rd only together.
_LAST_TOLD_COLUMN = 63
#: One in so many rows is expected to pass the compiler's filters, text patterns all.
_HANDED = 20
#: And one in so many has a value that no index finds. What the store leaves out costs
#: less, and in a join all keys are found by one scan, see seeking.py.
_UNINDEXED = 4


@dataclass(frozen=True)
class Plan:
    """
    How one use of a table in a statement reads it; made when it is prepared.

    :param shapes: filters whose values come with each run, in their order.
    :param fixed: filters without a value (IS NULL, IS NOT NULL).
    :param columns: numbers of the columns that SQLite will ask for.
    :param ordering: the order that the store keeps; () for any.
    :param handed: whether the first value names filters of the compiler.
    :param limit: whether a LIMIT comes behind the filters' values.
    :param offset: whether an OFFSET does, last.
    :param label: what to call the index.
    :param limited: whether rows that it reads may turn out not to be wanted.
    :param sorting: the order that SQLite brings the rows into; () for none.
    :param items: names of item indexes that the compiler's filters may be looked up in.
    """

    shapes: tuple[FilterShape, ...]
    fixed: tuple[FilterShape, ...]
    columns: tuple[int, ...]
    access: Access
    ordering: tuple[tuple[str, bool], ...]
    handed: bool
    limit: bool
    offset: bool
    label: str = ""
    limited: bool = False
    sorting: tuple[tuple[str, bool], ...] = ()
    items: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return the plan for people, as EXPLAIN QUERY PLAN shows it."""
        access = self.access
        rows = access.rows
        if access.equalities or access.ranged:
            words = [f"seek {self.label or 'primary key'}"]
        elif self.items:
            # If an item turns out to be in most rows, they are scanned.
            words = [f"seek items in {', '.join(self.items)}"]
            rows /= _HANDED
        else:
            words = [f"scan {self.label}" if self.label else "scan"]
        tests = [_SHAPES[s.lookup, s.negated].format(s.column) for s in self.shapes]
        tests += [_SHAPES[s.lookup, s.negated].format(s.column) for s in self.fixed]
        if tests:
            words.append(f"({' AND '.join(tests)})")
        if self.handed:
            words.append("with the compiler's filters")
        if self.ordering:
            names = [f"{name} DESC" if desc else name for name, desc in self.ordering]
            words.append(f"in order of {', '.join(names)}")
        if self.limit:
            words.append("with LIMIT")
        words.append(f"~{max(int(rows), 1)} rows")
        return " ".join(words)


_SHAPES = {
    ("exact", False): "{}=?",
    ("exact", True): "{}<>?",
    ("in", False): "{} IN ?",
    ("gt", False): "{}>?",
    ("gte", False): "{}>=?",
    ("lt", False): "{}<?",
    ("lte", False): "{}<=?",
    ("isnull", False): "{} IS NULL",
    ("isnull", True): "{} IS NOT NULL",
}


#: What may be left of a comparison of row values, which tells nothing of the rest: less is
#: asked for than the statement wants (``allocateIndexInfo`` in SQLite's ``where.c``).
_PERHAPS_OF_ROW_VALUES = frozenset(
    {apsw.SQLITE_INDEX_CONSTRAINT_GE, apsw.SQLITE_INDEX_CONSTRAINT_LE}
)


class Layout(NamedTuple):
    """
    What a scan fetches.

    :param columns: names of the columns, in the order of the rows.
    :param places: where each column is in a row, by its number; None for what isn't
        asked for, for the hidden column behind them, and for the rowid, -1.
    :param key: where the key's values are, in the store's terms.
    :param convert: turns a row into SQLite's terms; None for identity.
    :param lookup: how rows are found by key; None if the plan does something else.
    :param weigh: tells how much long text is in a row; None if there is none.
    :param handed: whether the first value names filters of the compiler.
    """

    columns: tuple[str, ...]
    places: tuple[int | None, ...]
    key: tuple[int, ...]
    convert: Callable[[Row], SQLRow] | None
    lookup: Lookup | None
    weigh: Callable[[SQLRow], int] | None
    handed: bool


class Module:
    """
    The module of one table: registered under the table's name as *eponymous*.

    So SQLite finds it when a statement first names it, and 500 tables cost
    nothing before (https://www.sqlite.org/vtab.html#eponymous_virtual_tables).
    """

    def __init__(self, connection: Connection, table: Table) -> None:
        self.connection = connection
        self.table = table

    def Connect(  # apsw's name
        self, _db: apsw.Connection, _module: str, _database: str, _name: str, *_: Any
    ) -> tuple[str, VirtualTable]:
        """Declare the table to SQLite."""
        virtual = VirtualTable(self.connection, self.table)
        return virtual.declaration, virtual

    Create = Connect


class VirtualTable:
    """One table of the store, as one connection's SQLite sees it."""

    def __init__(self, connection: Connection, table: Table) -> None:
        self.connection = connection
        self.table = table
        self.visible = tuple(c for c in table.columns if not c.hidden)
        self.collations = connection.tables.collations(table)
        names = {column.name.lower() for column in self.visible}
        handle = "backendkit_filters"
        while handle in names:
            handle += "_"
        columns = [self._declare(column.name) for column in self.visible]
        columns.append(f"{quote(handle)} HIDDEN")
        self.declaration = f"CREATE TABLE t ({', '.join(columns)})"
        # Constraints declared in CREATE TABLE have no name that says anything.
        self._labels = {
            index.name: f"unique ({', '.join(index.columns)})"
            for index in table.indexes
            if not index.sql
        }
        key = table.key_positions
        self.rowid_column = (
            key[0]
            if len(key) == 1 and table.columns[key[0]].type is ValueType.INTEGER
            else None
        )

    def _declare(self, name: str) -> str:
        column = self.table.column(name)
        collation = self.collations.get(name)
        suffix = f" COLLATE {quote(collation)}" if collation else ""
        return f"{quote(name)} {declaration(column)}{suffix}"

    # Planning

    def BestIndexObject(self, info: apsw.IndexInfo) -> bool:
        """Answer SQLite's planner: what can be used, in what order, at what cost."""
        capabilities = self.connection.store.capabilities
        count = len(self.visible)
        shapes: list[FilterShape] = []
        fixed: list[FilterShape] = []
        used: list[tuple[int, bool]] = []
        used_fixed: list[tuple[int, bool]] = []
        #: Columns for which more rows than wanted may be returned.
        coarse: set[str] = set()
        handed = limit = offset = -1
        exact = True
        #: Whether there is a condition that only SQLite looks at.
        left = False
        for number in range(info.nConstraint):
            op = info.get_aConstraint_op(number)
            if op == apsw.SQLITE_INDEX_CONSTRAINT_LIMIT:
                limit = number
                continue
            if op == apsw.SQLITE_INDEX_CONSTRAINT_OFFSET:
                offset = number
                continue
            position = info.get_aConstraint_iColumn(number)
            if position == count:
                if not info.get_aConstraint_usable(number):
                    return False
                handed = number
                continue
            if not info.get_aConstraint_usable(number):
                exact = False
                continue
            if position == -1:
                if self.rowid_column is None:
                    exact, left = False, True
                    continue
                position = self.rowid_column
            column = self.table.columns[position]
            if column.name in self.collations:
                exact, left = False, True
                continue
            lookup, negated = _LOOKUPS.get(op), False
            if op == apsw.SQLITE_INDEX_CONSTRAINT_ISNULL:
                lookup = "isnull"
            elif op == apsw.SQLITE_INDEX_CONSTRAINT_ISNOTNULL:
                lookup, negated = "isnull", True
            if lookup is None or info.get_aConstraint_collation(number) != "BINARY":
                exact, left = False, True
                continue
            is_list = (
                lookup == "exact"
                and self.connection.active.whole_lists
                and info.get_aConstraintUsage_in(number)
            )
            precision = capabilities.precision(
                column.type, "in" if is_list else lookup, negated
            )
            if precision is Precision.NONE:
                exact, left = False, True
                continue
            same = precision is Precision.EXACT and (
                lookup == "isnull" or column.type in _SAME_ANSWER
            )
            # SQLite makes "a >= 1" of "(a, b) > (1, 2)", and checks the whole itself.
            exact = exact and same and op not in _PERHAPS_OF_ROW_VALUES
            if lookup == "isnull":
                fixed.append(FilterShape(column.name, lookup, negated))
                used_fixed.append((number, same))
                continue
            if is_list:
                info.set_aConstraintUsage_in(number, True)
                lookup = "in"
            shapes.append(FilterShape(column.name, lookup))
            used.append((number, same))
            if not same:
                coarse.add(column.name)
        ordering = self._ordering(info)
        access = self.connection.active.session.access(
            self.table, shapes + fixed, ordering, few=limit >= 0
        )
        argument = 1
        if handed >= 0:
            info.set_aConstraintUsage_argvIndex(handed, argument)
            info.set_aConstraintUsage_omit(handed, True)
            argument += 1
        # Their value says nothing, but only so SQLite knows that they are used,
        # and that an outer join's must not be.
        for number, omit in used + used_fixed:
            info.set_aConstraintUsage_argvIndex(number, argument)
            info.set_aConstraintUsage_omit(number, omit)
            argument += 1
        consumed = bool(ordering) and access.ordered
        has_limit = (
            limit >= 0
            and exact
            and handed < 0
            and capabilities.limit
            and (consumed or info.nOrderBy == 0)
            and info.get_aConstraint_usable(limit)
            and (offset < 0 or info.get_aConstraint_usable(offset))
        )
        if has_limit:
            info.set_aConstraintUsage_argvIndex(limit, argument)
            argument += 1
            if offset >= 0:
                info.set_aConstraintUsage_argvIndex(offset, argument)
                info.set_aConstraintUsage_omit(offset, True)
        asked = info.colUsed
        plan = Plan(
            tuple(shapes),
            tuple(fixed),
            tuple(
                n
                for n in range(count)
                if n in asked or (n >= _LAST_TOLD_COLUMN and _LAST_TOLD_COLUMN in asked)
            ),
            access,
            ordering if consumed else (),
            handed >= 0,
            has_limit,
            has_limit and offset >= 0,
            self._labels.get(access.index, access.index),
            left or has_limit or not covered(self.table, access, shapes + fixed),
            () if consumed else ordering,
            used_indexes(self.connection.active, self.table) if handed >= 0 else (),
        )
        # How many rows there are is no part of a plan: they would be as many as rows.
        key = replace(plan, access=replace(access, rows=0.0, cost=0.0))
        plans, running = self.connection.plans, self.connection.active
        known = plans.number(self, key)
        if known is None:
            known = plans.add(self, key, plan, self._layout(plan))
        if running.plans is not plans:
            # Those that it began with aren't those of other statements any more.
            running.plans.keep(known, plans)
        info.idxNum = known
        info.idxStr = plan.describe()
        info.orderByConsumed = consumed
        rows, cost = access.rows, access.cost
        if handed >= 0:
            rows /= _HANDED
        if plan.items:
            cost = min(cost, rows)
        if not (access.equalities or access.ranged) and shapes:
            rows, cost = rows / _UNINDEXED, cost / _UNINDEXED
        info.estimatedCost = cost
        info.estimatedRows = max(int(rows), 1)
        if access.unique and not coarse.intersection(
            index_columns(self.table, access.index)
        ):
            info.idxFlags = apsw.SQLITE_INDEX_SCAN_UNIQUE
        return True

    def _ordering(self, info: apsw.IndexInfo) -> tuple[tuple[str, bool], ...]:
        ordering = []
        for number in range(info.nOrderBy):
            position = info.get_aOrderBy_iColumn(number)
            if position == -1 and self.rowid_column is not None:
                position = self.rowid_column
            if not 0 <= position < len(self.visible):
                return ()
            column = self.visible[position]
            name = column.name
            if name in self.collations:
                return ()
            if column.type is ValueType.ANY and not orders_alike(column):
                return ()
            ordering.append((name, bool(info.get_aOrderBy_desc(number))))
        return tuple(ordering)

    # Running

    def _layout(self, plan: Plan) -> Layout:
        """Return what to fetch for a plan: what SQLite asks for, and the key."""
        table = self.table
        names = [table.columns[number].name for number in plan.columns]
        convert = row_converter([table.columns[number] for number in plan.columns])
        columns = list(dict.fromkeys([*names, *table.primary_key]))
        key = [columns.index(name) for name in table.primary_key]
        if convert is not None:
            # What of the key is converted is kept as it was behind the row.
            again = [
                place
                for place in key
                if place < len(names)
                and row_converter([table.column(columns[place])]) is not None
            ]
            if again:
                key = [
                    len(columns) + again.index(place) if place in again else place
                    for place in key
                ]
                columns += [columns[place] for place in again]
        columns += [name for name, _ in plan.ordering if name not in columns]
        places: list[int | None] = [None] * (len(self.visible) + 2)
        for place, number in enumerate(plan.columns):
            places[number] = place
        return Layout(
            tuple(columns),
            tuple(places),
            tuple(key),
            convert,
            lookup_of(plan, table),
            weigher([table.column(name) for name in columns]),
            plan.handed,
        )

    def Open(self) -> Scan:
        """Begin one use of the table in a running statement."""
        return Scan(self, self.connection.active)

    def Disconnect(self) -> None:
        """Nothing is held that isn't garbage collected."""

    Destroy = Disconnect

    # Writing: SQLite has collected the rows to change before it calls these.

    def UpdateInsertRow(self, rowid: int | None, fields: tuple[Any, ...]) -> int:
        """Insert a row for raw SQL; ``rowid`` if the statement names it so."""
        key = {} if rowid is None else {self._settable_rowid(): rowid}
        row = self.connection.active.insert(
            self.table, fields[: len(self.visible)], key
        )
        if row is None or self.rowid_column is None:
            # Nothing that SQLite would tell as the last row.
            return self.connection.sqlite.last_insert_rowid()
        return int(row[self.rowid_column])

    def UpdateChangeRow(
        self, rowid: int, new_rowid: int, fields: tuple[Any, ...]
    ) -> None:
        """Change a row for raw SQL; unchanged columns are ``apsw.no_change``."""
        changes = {
            number: value
            for number, value in enumerate(fields[: len(self.visible)])
            if value is not apsw.no_change
        }
        if new_rowid != rowid:
            changes[self._settable_rowid()] = new_rowid
        self.connection.active.change(self.table, self._key(rowid), changes)

    def UpdateDeleteRow(self, rowid: int) -> None:
        """Delete a row for raw SQL."""
        self.connection.active.delete(self.table, self._key(rowid))

    def _settable_rowid(self) -> int:
        """Return the number of the column that is called rowid in a statement."""
        number = self.rowid_column
        if number is None or self.table.columns[number].hidden:
            raise NotSupportedError(
                f"The rowid of {self.table.name} can't be set: it has no column for it."
            )
        return number

    def _key(self, rowid: int) -> Key:
        if self.rowid_column is not None:
            return (rowid,)
        return self.connection.active.key(rowid)

"""How a table will be read: the choice of an access path, without its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ._capabilities import Capabilities, Order
from ._schema import Table

_EQUALITIES = frozenset({"exact", "in"})
_RANGES = frozenset({"gt", "gte", "lt", "lte"})
#: Rows that a slice is guessed to have.
_FEW = 100.0
#: What it costs to find a row by key. What joins remember included: a row more of the
#: table that is read first costs as much again, whatever is read for it.
_UNIQUE = 3.0
_NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class FilterShape:
    """A filter without its value. A negated ``isnull`` is IS NOT NULL."""

    column: str
    lookup: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """
    How a table is read.

    :param index: name of the index; "" for the primary key or a full scan.
    :param equalities: how many leading columns of it are fixed by ``exact``,
        ``in`` or ``isnull`` filters.
    :param ranged: whether the next column is bounded by a range.
    :param rows: how many rows are expected to be returned.
    :param cost: the cost of reading them, in units of reading one row of a scan.
    :param unique: whether at most one row can be returned.
    :param ordered: whether the rows have the requested order.
    :param reverse: whether the index is read backwards for this order.
    """

    index: str = ""
    equalities: int = 0
    ranged: bool = False
    rows: float = 1.0
    cost: float = 1.0
    unique: bool = False
    ordered: bool = False
    reverse: bool = False


def choose_access(  # one argument per thing that decides
    table: Table,
    capabilities: Capabilities,
    total: int,
    filters: Sequence[FilterShape],
    ordering: Sequence[tuple[str, bool]] = (),
    usable: frozenset[str] | None = None,
    *,
    few: bool = False,
    different: Mapping[str, int] = _NOTHING,
) -> Access:
    """
    Choose how to read a table, from its indexes, the filters and the order.

    :param total: estimated number of rows in the table.
    :param filters: those that will be given to the query.
    :param ordering: pairs of column and *descending*, outermost first.
    :param usable: names of the indexes that may be used; None for all.
    :param few: whether only the first few rows are wanted.
    :param different: about how many values a column has, by name, where that is known.
    :returns: the cheapest access. The estimates follow SQLite's defaults for
        tables without statistics (https://www.sqlite.org/queryplanner-ng.html).
    """
    total = max(total, 1)
    fixed: dict[str, float] = {}
    bounds: dict[str, int] = {}
    for shape in filters:
        if shape.negated:
            continue
        if shape.lookup in {"exact", "isnull"}:
            fixed[shape.column] = 1.0
        elif shape.lookup == "in":
            fixed.setdefault(shape.column, 5.0)
        elif shape.lookup in _RANGES:
            bounds[shape.column] = bounds.get(shape.column, 0) + 1
    isnull = {s.column for s in filters if s.lookup == "isnull" and not s.negated}
    candidates: list[tuple[str, tuple[str, ...], bool]] = [
        ("", table.primary_key, True)
    ]
    for index in table.indexes:
        if usable is not None and index.name not in usable:
            continue
        if capabilities.indexed or index.unique:
            candidates.append((index.name, index.columns, index.unique))
    best: Access | None = None
    for name, columns, is_unique in candidates:
        access = _access(
            name,
            columns,
            is_unique,
            capabilities,
            total,
            fixed,
            bounds,
            isnull,
            ordering,
            table.primary_key,
            different,
        )
        if name and not access.equalities and not access.ranged and not access.ordered:
            continue
        if few and access.ordered and not filters:
            # It can be left as soon as they are read; what isn't in order is read
            # to the end. With filters, who knows how far off the first row is.
            cost = min(access.cost, _FEW * (2.0 if name else 1.0))
            access = replace(access, cost=cost)
        if best is None or access.cost < best.cost:
            best = access
    assert best is not None  # the primary key is always a candidate
    return best


def distinct_values(
    table: Table,
    filters: Sequence[FilterShape],
    tables: Mapping[str, Table],
    estimated_rows: Callable[[Table], int],
) -> dict[str, int]:
    """
    Return about how many values the columns of foreign keys have, at most.

    :param filters: only their columns are looked up.
    :param tables: those that may be referred to, by name.
    """
    found = {}
    for key in table.foreign_keys:
        (column, *others) = key.columns
        if others or not any(one.column == column for one in filters):
            continue
        referred = tables.get(key.table)
        if referred is not None:
            found[column] = estimated_rows(referred)
    return found


def _access(  # the inner half of choose_access
    name: str,
    columns: tuple[str, ...],
    is_unique: bool,
    capabilities: Capabilities,
    total: int,
    fixed: dict[str, float],
    bounds: dict[str, int],
    isnull: set[str],
    ordering: Sequence[tuple[str, bool]],
    primary_key: tuple[str, ...],
    different: Mapping[str, int],
) -> Access:
    equalities = 0
    seeks = values = least = 1.0
    for column in columns:
        if column not in fixed:
            break
        equalities += 1
        seeks *= fixed[column]
        if column in different and column not in isnull:
            values *= max(different[column], 1)
        else:
            # Each further column narrows the index; ten rows are SQLite's guess.
            values, least = values * 100.0, 10.0
    if not capabilities.indexed and equalities < len(columns):
        # Without ordered indexes only a whole key can be looked up.
        equalities, seeks = 0, 1.0
    whole = equalities == len(columns)
    ranged = capabilities.indexed and not whole and columns[equalities] in bounds
    if whole and is_unique and not isnull.intersection(columns):
        rows = min(seeks, total)
    elif equalities:
        rows = min(seeks * max(least, total / values), total)
    else:
        rows = float(total)
    if ranged:
        rows = max(rows / 4.0 ** min(bounds[columns[equalities]], 2), 1.0)
    keyed = bool(equalities) or ranged
    # A secondary index costs a second look-up for each row.
    cost = rows * (2.0 if name else 1.0) + seeks * 3.0 if keyed else total * 1.0
    ordered = reverse = False
    if capabilities.order is Order.ANY:
        ordered = True
    elif capabilities.order is Order.INDEX and ordering and seeks == 1.0:
        ordered, reverse = _orders(columns + primary_key, equalities, ordering, fixed)
        if ordered and not keyed and name:
            cost = total * 2.0
    if ordering and not ordered:
        cost += rows * 0.5
    unique = whole and is_unique and seeks == 1.0 and not isnull.intersection(columns)
    if unique:
        # Never worse than a scan, however small the table is.
        cost = min(_UNIQUE, total * 0.9)
    return Access(name, equalities, ranged, rows, cost, unique, ordered, reverse)


def _orders(
    columns: tuple[str, ...],
    equalities: int,
    ordering: Sequence[tuple[str, bool]],
    fixed: dict[str, float],
) -> tuple[bool, bool]:
    """
    Return whether the index's order is the wanted one, and if reversed.

    Entries of one value of an index come in the order of the primary key.
    """
    wanted = [
        (column, descending)
        for column, descending in ordering
        if fixed.get(column) != 1.0
    ]
    rest = columns[equalities:]
    if len(wanted) > len(rest):
        return False, False
    directions = {descending for _, descending in wanted}
    if len(directions) > 1:
        return False, False
    if any(name != column for (name, _), column in zip(wanted, rest, strict=False)):
        return False, False
    return True, directions == {True}

"""``RecordQuery``: filters and orders on key ranges of rows and indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from backendkit.stores import (
    PYTHON_TYPES,
    Access,
    DataError,
    Error,
    InterfaceError,
    InternalError,
    NonrelQuery,
    NotSupportedError,
    ProgrammingError,
    Row,
    Table,
    batches,
    is_nan,
    safe_call,
)

from .bounds import Filter, KeyRanges, exact_value, key_ranges
from .codec import NO_ROW, DamagedRowError
from .filtering import Residual
from .indexes import ANY_DIGEST, DIGESTS, is_shortened, primary_key_of
from .keys import AFTER

if TYPE_CHECKING:
    from .engine import KeyValueTransaction
    from .indexes import IndexMaintainer
    from .session import RecordSession

_first = itemgetter(0)
_second = itemgetter(1)

#: Rows of the first chunk, and at most of a later one.
_FIRST_CHUNK, _LAST_CHUNK = 8, 512


class Scan:
    """
    How far a query in a writing transaction has read its index.

    Entries that are added ahead of it while it is read would be met later: a
    loop that moves each row forward would never end. They are left out.

    :param prefix: of the rows' or the index's keys.
    :param reverse: whether they are read backwards.
    """

    __slots__ = ("_prefix", "_reverse", "position", "skipped")

    def __init__(self, prefix: bytes, reverse: bool) -> None:
        self._prefix = prefix
        self._reverse = reverse
        self.position = prefix + AFTER if reverse else prefix
        self.skipped: set[bytes] = set()

    def added(self, key: bytes) -> None:
        """Take note of a key that was written and had not been there."""
        ahead = key < self.position if self._reverse else key > self.position
        if ahead and key.startswith(self._prefix):
            self.skipped.add(key)


class RecordQuery(NonrelQuery):
    """A query on a table of the record layer."""

    session: RecordSession

    def __init__(
        self,
        session: RecordSession,
        table: Table,
        columns: Sequence[str],
        access: Access,
    ) -> None:
        self.session = session
        self.table = table
        self.columns = tuple(columns)
        self.access = access
        self.driver_errors = session.driver_errors  # type: ignore[misc]  # the engine's, known when it is opened
        self.record = session.record(table)
        self._filters: list[Filter] = []
        self._prefix = self.record.prefix
        self._maintainer: IndexMaintainer | None = None
        self._in_order = False
        #: How long bounds may be to be compared with keys that may be shortened; None
        #: if there are none.
        self._longest: int | None = None
        if access.index:
            try:
                self._maintainer = self.record.maintainer[access.index]
            except KeyError:
                raise ProgrammingError(f"no such index: {access.index}") from None
            self._prefix = self._maintainer.prefix
            longest = session.max_key
            if self._maintainer.may_be_shortened(self.record.primary_key, longest):
                self._longest = longest - DIGESTS - len(self._prefix)

    def add_filter(
        self,
        column: str,
        lookup_type: str,
        negated: bool,
        db_type: str,  # the table says it
        value: Any,
    ) -> None:
        if lookup_type == "in":
            value = [None if is_nan(one) else one for one in value]
        elif is_nan(value):
            value = None
        self._filters.append(Filter(column, lookup_type, negated, value))

    def order_by(self, ordering: Sequence[tuple[str, bool]]) -> None:
        if ordering and not self.access.ordered:
            raise NotSupportedError(
                "this query returns rows only in the order of the index"
            )
        self._in_order = bool(ordering)

    @safe_call
    def fetch(self, low_mark: int = 0, high_mark: int | None = None) -> Iterator[Row]:
        if len(self._filters) == 1 and not low_mark and high_mark != 0:
            key = self._single_key(self._filters[0])
            if key is not None:
                return self._single(key)
        plan = self._plan()
        points = plan.points and (self._maintainer is None or self._maintainer.unique)
        if not points:
            plan = self._readable(plan)
        residual = self._residual(plan)
        # Writing, a query sees what was written since the row before.
        ahead = self.at_once or not self.session.writing
        if points:
            datas = self._points(plan)
        elif self._in_order and self._longest is not None:
            datas = self._sorted(plan)
        elif residual is None:
            # Entries that are skipped lead to rows that aren't even looked up.
            datas = self._datas(plan, low_mark, high_mark, ahead=ahead)
            low_mark, high_mark = 0, None
        else:
            datas = self._datas(plan, ahead=ahead)
        if residual is not None:
            datas = residual.kept(datas, ahead=ahead)
        if low_mark or high_mark is not None:
            datas = islice(datas, low_mark, high_mark)
        rows = self._read(datas)
        return self._guarded(rows)

    @safe_call
    def count(self) -> int:
        if not self._filters:
            return self.session.numbers(self.record).rows
        plan = self._readable(self._plan())
        residual = self._residual(plan)
        transaction = self.session.transaction
        try:
            if residual is not None:
                return _length(residual.kept(self._datas(plan, ahead=True), ahead=True))
            if self.looked_at is not None:
                return _length(self._pairs(plan))
            prefix = self._prefix
            count = self.session.active().count
            return sum(
                count(prefix + start, prefix + stop) for start, stop in plan.ranges
            )
        except Error:
            raise
        except Exception as error:
            raise self._translated(error, transaction) from error

    @safe_call
    def update(self, changes: Mapping[str, Any]) -> int:
        session = self.session
        session.writer()
        record = self.record
        check = record.check
        values = {
            record.table.positions[name]: (
                None
                if value is None
                else check.convert(record.table.column(name), value)
            )
            for name, value in changes.items()
        }
        if len(self._filters) == 1:
            key = self._single_key(self._filters[0])
            if key is not None:
                found = list(self._stored([key]))
                session.change(record, values, found)
                return len(found)
        chunks = self._chunks()
        maintainer = self._maintainer
        if maintainer is not None and not values.keys().isdisjoint(
            maintainer.expression.positions
        ):
            # Its entries move: a row could be met again. Its key stays.
            keys = [key for chunk in chunks for key, _ in chunk]
            chunks = ([one] for one in self._stored(keys))
        number = 0
        for chunk in chunks:
            session.change(record, values, chunk)
            number += len(chunk)
        return number

    # Planning

    def _plan(self) -> KeyRanges:
        maintainer = self._maintainer
        if maintainer is None:
            return key_ranges(self.record.primary_key, self.access, self._filters)
        return key_ranges(maintainer.expression, self.access, self._filters)

    def _readable(self, plan: KeyRanges) -> KeyRanges:
        """Return what to read by key ranges, shortened entries included."""
        return plan if self._longest is None else plan.within(self._longest)

    def _residual(self, plan: KeyRanges) -> Residual | None:
        """Return what is left to look at in each row."""
        absorbed = plan.absorbed
        left = [
            one for one in self._filters if not any(one is other for other in absorbed)
        ]
        return Residual(self.record, left) if left else None

    def _read(self, datas: Iterable[bytes]) -> Iterator[Row]:
        """Read the wanted columns of stored rows."""
        record = self.record
        if self.columns == record.names:
            return map(record.whole, map(record.read, datas))
        wanted = tuple(record.table.positions[name] for name in self.columns)
        if not wanted:
            return (() for _ in datas)
        rows = record.part(wanted)(datas)
        return rows if len(wanted) > 1 else zip(rows, strict=True)

    # Reading

    def _single_key(self, one: Filter) -> bytes | None:
        """Return the row's key, if all that is wanted is one primary key."""
        expression = self.record.primary_key
        if (
            one.lookup != "exact"
            or one.negated
            or (one.column,) != expression.columns
            or self._maintainer is not None
            or type(one.value) is not PYTHON_TYPES[expression.types[0]]
        ):
            return None
        value = exact_value(expression.types[0], one.value)
        return None if value is None else self._prefix + expression.of_values((value,))

    def _single(self, key: bytes) -> Iterator[Row]:
        if len(key) > self.session.max_key:
            return iter(())
        data = self.session.active().get(key)
        if data is None:
            return iter(())
        return self._guarded(self._read((data,)))

    def _points(self, plan: KeyRanges) -> Iterator[bytes]:
        """Read rows by whole keys: one look-up each, two through an index."""
        get = self.session.active().get
        longest = self.session.max_key
        prefix = self.record.prefix
        for key, _ in self._ranges(plan):
            if self._maintainer is not None:
                entry = self._maintainer.prefix + key
                if len(entry) > longest:
                    yield from self._shortened(self._maintainer, key)
                    continue
                primary_key = get(entry)
                if primary_key is None:
                    continue
                key = primary_key  # noqa: PLW2901  # of the row, from here on
            key = prefix + key  # noqa: PLW2901  # complete from here on
            data = get(key) if len(key) <= longest else None
            if data is not None:
                yield data

    def _shortened(self, maintainer: IndexMaintainer, key: bytes) -> Iterator[bytes]:
        """Read the rows of a key that is too long for an entry."""
        stem = maintainer.stem(key, self.session.max_key)
        pairs = self.session.active().range(stem, stem + ANY_DIGEST)
        read = self.record.read
        for data in self._rows_of(map(_second, pairs)):
            if maintainer.expression(read(data))[0] == key:
                yield data

    def _sorted(self, plan: KeyRanges) -> Iterator[bytes]:
        """Read rows in the order of an index that may have shortened entries."""
        # Those that begin with so many bytes alike may be in another order.
        alike = self.session.max_key - DIGESTS
        prefix, get = self.record.prefix, self.session.active().get
        group: list[tuple[bytes, bytes]] = []
        for pair in self._pairs(plan):
            key, primary_key = pair
            if group and not key.startswith(group[0][0][:alike]):
                yield from self._rows_of_group(group)
                group = []
            if len(key) >= alike:
                group.append(pair)
                continue
            data = get(prefix + primary_key)
            if data is None:
                raise self._no_row()
            yield data
        yield from self._rows_of_group(group)

    def _rows_of_group(self, group: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """Read the rows of entries that begin alike."""
        values = [value for _, value in group]
        if not any(map(is_shortened, values)):
            yield from self._rows_of(values)
            return
        assert self._maintainer is not None
        expression, read = self._maintainer.expression, self.record.read
        primary_keys = list(map(primary_key_of, values))
        datas = self._rows_of(values)
        places = sorted(
            (
                (expression(read(data))[0] + primary_key, primary_key)
                for data, primary_key in zip(datas, primary_keys, strict=True)
            ),
            reverse=self.access.reverse,
        )
        get = self.session.active().get
        for _, primary_key in places:
            data = get(self.record.prefix + primary_key)
            # Deleted since, maybe.
            if data is not None:
                yield data

    def _datas(
        self, plan: KeyRanges, low: int = 0, high: int | None = None, *, ahead: bool
    ) -> Iterator[bytes]:
        """
        Read rows, or an index's entries and their rows, by key ranges.

        :param low: how many to skip.
        :param high: where to stop; None for at the end.
        :param ahead: whether more may be read than is asked for.
        """
        datas = self._values(plan) if ahead else map(_second, self._pairs(plan))
        if low or high is not None:
            datas = islice(datas, low, high)
        return datas if self._maintainer is None else self._rows_of(datas)

    def _values(self, plan: KeyRanges) -> Iterator[bytes]:
        """Iterate over the values of what is in the key ranges."""
        values = self.session.active().values
        prefix = self._prefix
        reverse = self.access.reverse
        datas: Iterator[bytes] = chain.from_iterable(
            values(prefix + start, prefix + stop, reverse)
            for start, stop in self._ranges(plan)
        )
        return datas if self.looked_at is None else self.looked_at(datas)

    def _rows_of(self, values: Iterable[bytes]) -> Iterator[bytes]:
        """Read the rows that the entries of an index lead to, from their values."""
        prefix = self.record.prefix
        # That of this moment's snapshot: an upgrade changes the transaction's.
        get = self.session.active().get
        for value in values:
            # As primary_key_of(), without a call for each row.
            data = get(prefix + (value if value < AFTER else value[1:]))
            if data is None:
                raise self._no_row()
            yield data

    def _no_row(self) -> InternalError:
        return InternalError(
            f"{self.table.name}: index {self.access.index} has an entry without a row"
        )

    # Reading in order to write: some rows at a time

    def _chunks(self) -> Iterator[list[tuple[bytes, bytes]]]:
        """Return keys and stored rows of those that match."""
        plan = self._readable(self._plan())
        residual = self._residual(plan)
        transaction = self.session.active()
        prefix = self._prefix
        for first, last in plan.ranges:
            start, stop = prefix + first, prefix + last
            size = _FIRST_CHUNK
            while pairs := transaction.first(start, stop, size):
                start = pairs[-1][0] + b"\x00"
                if self.looked_at is not None:
                    pairs = list(self.looked_at(pairs))
                size = min(size * 4, _LAST_CHUNK)
                if self._maintainer is None:
                    yield _kept(residual, pairs)
                    continue
                keys = [
                    self.record.prefix + primary_key_of(value) for _, value in pairs
                ]
                rows = zip(keys, self._rows_of(map(_second, pairs)), strict=True)
                for some in batches(rows, _LAST_CHUNK, lambda pair: len(pair[1])):
                    yield _kept(residual, some)

    def _stored(self, keys: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Return keys and stored rows, of those that are there."""
        get = self.session.active().get
        for key in keys:
            data = get(key) if len(key) <= self.session.max_key else None
            if data is not None:
                yield key, data

    def _ranges(self, plan: KeyRanges) -> Iterator[tuple[bytes, bytes]]:
        return reversed(plan.ranges) if self.access.reverse else iter(plan.ranges)

    def _pairs(self, plan: KeyRanges) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over what is in the key ranges."""
        session = self.session
        transaction = session.active()
        reverse = self.access.reverse
        prefix = self._prefix
        pairs: Iterator[tuple[bytes, bytes]] = chain.from_iterable(
            transaction.range(prefix + start, prefix + stop, reverse)
            for start, stop in self._ranges(plan)
        )
        if self.looked_at is not None:
            pairs = self.looked_at(pairs)
        return self._tracked(pairs) if session.writing else pairs

    def _tracked(
        self, pairs: Iterator[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
        scans = self.session.scans
        scan = Scan(self._prefix, self.access.reverse)
        skipped = scan.skipped
        scans.append(scan)
        try:
            for pair in pairs:
                if skipped and pair[0] in skipped:
                    continue
                scan.position = pair[0]
                yield pair
        finally:
            if scan in scans:
                scans.remove(scan)

    def _guarded(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Translate what goes wrong while rows are read."""
        transaction = self.session.transaction
        try:
            yield from rows
        except Error:
            raise
        except Exception as error:
            raise self._translated(error, transaction) from error

    def _translated(
        self, error: Exception, transaction: KeyValueTransaction | None
    ) -> Exception:
        if self.session.transaction is not transaction:
            return InterfaceError("the transaction of this query has ended")
        if isinstance(error, TypeError):
            return DataError(
                f"{self.table.name}: the value of a filter can't be compared with the"
                f" column: {error}"
            )
        if isinstance(error, NO_ROW):
            return DamagedRowError(str(error), self.table.name)
        for driver_error, ours in self.driver_errors.items():
            if isinstance(error, driver_error):
                return ours(str(error))
        return error


def _length(items: Iterable[Any]) -> int:
    number = 0
    for _ in items:
        number += 1
    return number


def _kept(
    residual: Residual | None, pairs: list[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return pairs of key and row, of those rows that are left to take."""
    if residual is None:
        return pairs
    keys, datas = list(map(_first, pairs)), list(map(_second, pairs))
    found = []
    place = 0
    for data in residual.kept(iter(datas), ahead=True):
        # Each has its primary key in it: no two are equal.
        place = datas.index(data, place)
        found.append((keys[place], data))
    return found

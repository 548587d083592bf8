"""A session equals a model of dicts, whatever is done to it in whatever order."""

import contextlib
import copy
import datetime
import itertools
import tempfile
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from backendkit.backends.lmdb.store import LMDBStore
from backendkit.kv import RecordStore
from backendkit.stores import (
    Access,
    Column,
    FilterShape,
    Index,
    Table,
    UniqueViolation,
    ValueType,
    matcher,
    sort_key,
)
from tests.effort import examples

from .memory import MemoryEngine

#: Too long for a key of 64 bytes, twice of it for one of 511.
LONG = "x" * 300
#: Few values, so that they meet.
VALUES = {
    ValueType.INTEGER: [-300, -1, 0, 1, 2, 255, 256],
    ValueType.STRING: [
        *("", "a", "a\0", "ab", "b", "é", LONG, LONG + "a", LONG + "\0", LONG * 2),
        *(LONG * 2 + "a", LONG * 2 + "b", "漢" * 400),
    ],
    ValueType.FLOAT: [-1.5, -0.0, 0.0, 2.0, 1e300],
    ValueType.DECIMAL: [
        *(Decimal("-1.5"), Decimal(1), Decimal("1.00"), Decimal("1.5")),
        *(Decimal("1." + "0" * 200 + "1"), Decimal("-1." + "0" * 200 + "1")),
    ],
    ValueType.DATE: [datetime.date(1, 1, 1), datetime.date(2024, 2, 29)],
    ValueType.BOOL: [False, True],
}
TYPES = st.sampled_from(sorted(VALUES))
COMPARISONS = ["exact", "gt", "gte", "lt", "lte"]


@dataclass
class Model:
    table: Table
    rows: dict = field(default_factory=dict)
    last: int = 0

    def violated(self, row, but=None):
        for index in self.table.indexes:
            if not index.unique:
                continue
            mine = [row[self.table.positions[name]] for name in index.columns]
            if None in mine:
                continue
            for key, other in self.rows.items():
                if key != but and mine == [
                    other[self.table.positions[name]] for name in index.columns
                ]:
                    return True
        return False


class SessionMachine(RuleBasedStateMachine):
    def make_store(self):
        return RecordStore(MemoryEngine())

    @initialize()
    def open(self):
        self.store = self.make_store()
        self.session = self.store.session()
        self.committed = {}
        self.names = itertools.count(1)
        self.begin(True)

    def begin(self, write):
        self.session.begin(write=write)
        self.models = copy.deepcopy(self.committed)
        self.marks = []
        self.writing = write

    def write(self):
        if not self.writing:
            self.session.upgrade()
            self.writing = True

    def teardown(self):
        if hasattr(self, "session"):
            self.session.close()
            self.store.close()

    def pick(self, data):
        return self.models[data.draw(st.sampled_from(sorted(self.models)), "table")]

    def value(self, data, column):
        return data.draw(st.none() | st.sampled_from(VALUES[column.type]), column.name)

    def row(self, data, model):
        number = data.draw(st.none() | st.integers(1, 30), "id")
        others = model.table.columns[1:]
        return (number, *(self.value(data, column) for column in others))

    has_tables = precondition(lambda self: getattr(self, "models", None))

    # Transactions

    @rule(write=st.booleans())
    def commit(self, write):
        self.session.commit()
        self.committed = self.models
        self.begin(write)

    @rule(write=st.booleans())
    def rollback(self, write):
        self.session.rollback()
        self.begin(write)

    @rule()
    def savepoint(self):
        self.marks.append((self.session.savepoint(), copy.deepcopy(self.models)))

    @precondition(lambda self: getattr(self, "marks", None))
    @rule(data=st.data())
    def rollback_to(self, data):
        at = data.draw(st.integers(0, len(self.marks) - 1))
        mark, models = self.marks[at]
        self.session.rollback_to(mark)
        del self.marks[at + 1 :]
        self.models = copy.deepcopy(models)

    @precondition(lambda self: getattr(self, "marks", None))
    @rule(data=st.data())
    def release(self, data):
        at = data.draw(st.integers(0, len(self.marks) - 1))
        self.session.release(self.marks[at][0])
        del self.marks[at:]

    # Schema

    @rule(types=st.lists(TYPES, min_size=1, max_size=3))
    def create_table(self, types):
        self.write()
        if len(self.models) >= 2:
            return
        names = [f"c{next(self.names)}" for _ in types]
        columns = [Column("id", ValueType.INTEGER, False, True)]
        columns += [Column(name, kind) for name, kind in zip(names, types, strict=True)]
        index = Index(f"i{next(self.names)}", (names[0],))
        table = Table(f"t{next(self.names)}", tuple(columns), ("id",), (index,))
        self.session.create_table(table)
        self.models[table.name] = Model(table)

    @has_tables
    @rule(data=st.data())
    def drop_table(self, data):
        self.write()
        name = self.pick(data).table.name
        self.session.drop_table(name)
        del self.models[name]

    def alter(self, model, table, rows, **arguments):
        self.session.alter_table(model.table.name, table, **arguments)
        del self.models[model.table.name]
        self.models[table.name] = Model(table, rows, model.last)

    @has_tables
    @rule(data=st.data(), kind=TYPES)
    def add_column(self, data, kind):
        self.write()
        model = self.pick(data)
        column = Column(f"c{next(self.names)}", kind)
        value = self.value(data, column)
        at = data.draw(st.integers(1, len(model.table.columns)))
        columns = (*model.table.columns[:at], column, *model.table.columns[at:])
        rows = {key: (*row[:at], value, *row[at:]) for key, row in model.rows.items()}
        fill = {} if value is None else {column.name: value}
        self.alter(model, replace(model.table, columns=columns), rows, fill=fill)

    @has_tables
    @rule(data=st.data())
    def drop_column(self, data):
        self.write()
        model = self.pick(data)
        used = {name for index in model.table.indexes for name in index.columns}
        free = [name for name in model.table.positions if name not in used | {"id"}]
        if not free:
            return
        name = data.draw(st.sampled_from(free))
        at = model.table.positions[name]
        columns = (*model.table.columns[:at], *model.table.columns[at + 1 :])
        rows = {key: (*row[:at], *row[at + 1 :]) for key, row in model.rows.items()}
        self.alter(model, replace(model.table, columns=columns), rows)

    @has_tables
    @rule(data=st.data(), rename_table=st.booleans())
    def rename(self, data, rename_table):
        self.write()
        model = self.pick(data)
        old = data.draw(
            st.sampled_from([c.name for c in model.table.columns[1:]] or ["id"])
        )
        new = old if old == "id" else f"c{next(self.names)}"
        table = replace(
            model.table,
            name=f"t{next(self.names)}" if rename_table else model.table.name,
            columns=tuple(
                replace(column, name=new) if column.name == old else column
                for column in model.table.columns
            ),
            indexes=tuple(
                replace(
                    index,
                    columns=tuple(
                        new if name == old else name for name in index.columns
                    ),
                )
                for index in model.table.indexes
            ),
        )
        self.alter(model, table, model.rows, renames={old: new})

    @has_tables
    @rule(data=st.data(), unique=st.booleans())
    def create_index(self, data, unique):
        self.write()
        model = self.pick(data)
        names = [column.name for column in model.table.columns]
        columns = data.draw(
            st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
        )
        index = Index(f"i{next(self.names)}", tuple(columns), unique)
        table = replace(model.table, indexes=(*model.table.indexes, index))
        changed = Model(table, model.rows, model.last)
        bad = any(changed.violated(row, key) for key, row in model.rows.items())
        mark = self.session.savepoint() if data.draw(st.booleans()) else None
        if bad:
            with pytest.raises(UniqueViolation):
                self.session.create_index(table.name, index)
            if mark is not None:
                self.session.rollback_to(mark)
        else:
            self.session.create_index(table.name, index)
            self.models[table.name] = changed
        if mark is not None:
            self.session.release(mark)

    @has_tables
    @rule(data=st.data())
    def drop_index(self, data):
        self.write()
        model = self.pick(data)
        if not model.table.indexes:
            return
        index = data.draw(st.sampled_from(model.table.indexes))
        self.session.drop_index(model.table.name, index.name)
        rest = tuple(one for one in model.table.indexes if one is not index)
        model.table = replace(model.table, indexes=rest)

    # Rows

    @has_tables
    @rule(data=st.data(), count=st.integers(1, 6))
    def insert(self, data, count):
        self.write()
        model = self.pick(data)
        rows = [self.row(data, model) for _ in range(count)]
        table = model.table
        done, last, fails = dict(model.rows), model.last, False
        trial = Model(table, done)
        for row in rows:
            number = row[0]
            if number is None:
                last += 1
                number = last
            last = max(last, number)
            wanted = (number, *row[1:])
            if (number,) in done or trial.violated(wanted):
                fails = True
                break
            done[number,] = wanted
        mark = self.session.savepoint()
        if fails:
            with pytest.raises(UniqueViolation):
                self.session.insert(table, rows)
            self.session.rollback_to(mark)
        else:
            keys = self.session.insert(table, rows)
            assert keys == list(done)[len(model.rows) :]
            model.rows, model.last = done, last
        self.session.release(mark)

    @has_tables
    @rule(data=st.data(), guarded=st.booleans())
    def update(self, data, guarded):
        """A violation changes nothing, with a savepoint or without."""
        self.write()
        model = self.pick(data)
        if not model.rows:
            return
        key = data.draw(st.sampled_from(sorted(model.rows)))
        row = self.row(data, model)
        if row[0] is None:
            row = (key[0], *row[1:])
        mark = self.session.savepoint() if guarded else None
        if guarded:
            # What is undone leaves no trace.
            self.try_update(model, key, self.row(data, model))
            self.session.rollback_to(mark)
        taken = row[:1] != key and row[:1] in model.rows
        if taken or model.violated(row, key):
            with pytest.raises(UniqueViolation):
                self.session.update(model.table, key, row)
        else:
            self.session.update(model.table, key, row)
            del model.rows[key]
            model.rows[row[:1]] = row
            model.last = max(model.last, row[0])
        if mark is not None:
            self.session.release(mark)

    def try_update(self, model, key, row):
        row = row if row[0] is not None else (key[0], *row[1:])
        with contextlib.suppress(UniqueViolation):
            self.session.update(model.table, key, row)

    @has_tables
    @rule(data=st.data())
    def delete(self, data):
        self.write()
        model = self.pick(data)
        keys = data.draw(st.lists(st.integers(0, 30).map(lambda n: (n,)), max_size=8))
        wanted = {key for key in keys if key in model.rows}
        assert self.session.delete(model.table, keys) == len(wanted)
        for key in wanted:
            del model.rows[key]

    @has_tables
    @rule(data=st.data())
    def reset_sequence(self, data):
        self.write()
        model = self.pick(data)
        model.last = max((key[0] for key in model.rows), default=0)
        self.session.reset_sequence(model.table, model.last)

    # Queries

    @has_tables
    @rule(data=st.data())
    def update_where(self, data):
        self.write()
        model = self.pick(data)
        table = model.table
        if not table.columns[1:]:
            return
        filters, wanted = self.filters(data, model)
        columns = data.draw(
            st.lists(st.sampled_from(table.columns[1:]), min_size=1, unique=True)
        )
        changes = {column.name: self.value(data, column) for column in columns}
        access = self.access(data, model, filters, [])
        query = self.session.query(table, ["id"], access)
        query.add_filters((*one[:3], "", one[3]) for one in filters)
        changed = Model(table, dict(model.rows), model.last)
        for row in wanted:
            values = dict(zip(table.positions, row, strict=True)) | changes
            changed.rows[row[:1]] = tuple(values.values())
        mark = self.session.savepoint() if data.draw(st.booleans()) else None
        if any(changed.violated(row, key) for key, row in changed.rows.items()):
            mark = self.session.savepoint() if mark is None else mark
            with pytest.raises(UniqueViolation):
                query.update(changes)
            self.session.rollback_to(mark)
        else:
            assert query.update(changes) == len(wanted)
            model.rows = changed.rows
            if mark is not None and data.draw(st.booleans()):
                self.session.rollback_to(mark)
                assert query.update(changes) == len(wanted)
        if mark is not None:
            self.session.release(mark)

    def filters(self, data, model):
        """Return filters and the rows for which they hold."""
        table = model.table
        filters = []
        for _ in range(data.draw(st.integers(0, 3))):
            column = data.draw(st.sampled_from(table.columns))
            lookup = data.draw(st.sampled_from([*COMPARISONS, "exact", "in", "isnull"]))
            negated = data.draw(st.integers(0, 4)) == 0
            if lookup == "isnull":
                value = True
            elif lookup == "in":
                value = [self.value(data, column) for _ in range(3)]
            else:
                value = self.value(data, column)
                if (
                    column.type is ValueType.INTEGER
                    and value
                    and data.draw(st.booleans())
                ):
                    value += data.draw(st.sampled_from([0.5, -0.5, 0.0]))
            filters.append((column.name, lookup, negated, value))
        tests = [
            (table.positions[name], matcher(lookup, value, negated))
            for name, lookup, negated, value in filters
        ]
        wanted = [
            row
            for row in model.rows.values()
            if all(test(row[position]) for position, test in tests)
        ]
        return filters, wanted

    @has_tables
    @rule(data=st.data())
    def query(self, data):
        model = self.pick(data)
        table = model.table
        filters, wanted = self.filters(data, model)
        names = [column.name for column in table.columns]
        ordering = data.draw(
            st.lists(
                st.tuples(st.sampled_from(names), st.booleans()),
                max_size=2,
                unique_by=lambda pair: pair[0],
            )
        )
        access = self.access(data, model, filters, ordering)
        query = self.session.query(table, names, access)
        query.add_filters((*one[:3], "", one[3]) for one in filters)
        found = list(query.fetch())
        assert {row[0]: row for row in found} == {row[0]: row for row in wanted}
        assert len(found) == len(wanted)
        assert query.count() == len(wanted)
        if access.ordered:
            query.order_by(ordering)
            expected = list(found)
            for name, descending in reversed(ordering):
                at = table.positions[name]
                expected.sort(key=lambda row: sort_key(row[at]), reverse=descending)
            at = [table.positions[name] for name, _ in ordering]
            assert [[row[i] for i in at] for row in found] == [
                [row[i] for i in at] for row in expected
            ]
        low = data.draw(st.integers(0, 3))
        high = data.draw(st.none() | st.integers(0, 5))
        some = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        query = self.session.query(table, some, access)
        query.add_filters((*one[:3], "", one[3]) for one in filters)
        at = [table.positions[name] for name in some]
        assert list(query.fetch(low, high)) == [
            tuple(row[i] for i in at) for row in found[low:high]
        ]

    def access(self, data, model, filters, ordering):
        """Any access that could have been chosen has to give the same rows."""
        table = model.table
        if data.draw(st.booleans()):
            index = data.draw(st.sampled_from([None, *table.indexes]))
            columns = index.columns if index else table.primary_key
            return Access(
                index.name if index else "",
                data.draw(st.integers(0, len(columns))),
                data.draw(st.booleans()),
                reverse=data.draw(st.booleans()),
            )
        shapes = [
            FilterShape(name, lookup, negated) for name, lookup, negated, _ in filters
        ]
        return self.session.access(table, shapes, ordering)

    @invariant()
    def equal(self):
        if not hasattr(self, "models"):
            return
        tables = self.session.catalog().tables
        assert tables == {name: model.table for name, model in self.models.items()}
        for model in self.models.values():
            assert self.session.estimated_rows(model.table) == len(model.rows)
            names = tuple(column.name for column in model.table.columns)
            for index in ("", *(index.name for index in model.table.indexes)):
                query = self.session.query(model.table, names, Access(index))
                rows = list(query.fetch())
                assert len(rows) == len(model.rows)
                assert {row[:1]: row for row in rows} == model.rows
            for key, row in model.rows.items():
                assert self.session.get(model.table, key) == row


class ShortKeysMachine(SessionMachine):
    """Most entries of an index of several columns are shortened."""

    def make_store(self):
        return RecordStore(MemoryEngine(max_key_bytes=64))


class LMDBMachine(SessionMachine):
    def make_store(self):
        self.directory = tempfile.TemporaryDirectory()
        return LMDBStore.open(self.directory.name + "/db", {"sync": False})

    def teardown(self):
        super().teardown()
        if hasattr(self, "directory"):
            self.directory.cleanup()


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        (SessionMachine, examples(test=20, check=120, soak=5000)),
        (ShortKeysMachine, examples(test=20, check=120, soak=5000)),
        (LMDBMachine, examples(test=10, check=50, soak=2000)),
    ],
)
def test_session_equals_model(machine, number):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=number,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )

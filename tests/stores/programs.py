"""Random programs for two sessions: one that is tested, and one that is right."""

from dataclasses import replace

from hypothesis import strategies as st

from backendkit.stores import (
    COMPARISONS,
    PATTERNS,
    Column,
    Error,
    FilterShape,
    Index,
    InterfaceError,
    Precision,
    Table,
    ValueType,
    matcher,
    sort_key,
)

INTEGERS = (None, 0, 1, 2, 3, 4, -1, 7)
STRINGS = (None, "a", "b", "B", "ab", "", "c", "d")
VALUES = {ValueType.INTEGER: INTEGERS, ValueType.STRING: STRINGS}
LOOKUPS = [*sorted(COMPARISONS), "startswith", "iexact"]
NAMES = ("x", "y", "code", "note", "z")

THINGS = Table(
    "things",
    (
        Column("id", ValueType.INTEGER, nullable=False, auto_increment=True),
        Column("code", ValueType.STRING),
        Column("kind", ValueType.STRING),
        Column("size", ValueType.INTEGER),
    ),
    ("id",),
    (Index("things_code", ("code",), unique=True), Index("k", ("kind", "size"))),
)
PAIRS = Table(
    "pairs",
    (
        Column("note", ValueType.STRING),
        Column("left", ValueType.INTEGER, nullable=False),
        Column("right", ValueType.STRING, nullable=False),
        Column("a", ValueType.INTEGER),
        Column("b", ValueType.INTEGER),
    ),
    ("right", "left"),
    (Index("pairs_a_b", ("a", "b"), unique=True),),
)

small = st.integers(0, 7)
#: Eight small numbers.
numbers = st.integers(0, 8**8 - 1).map(lambda n: [n >> 3 * i & 7 for i in range(8)])
table = st.integers(0, 1)
condition = st.tuples(small, st.integers(0, len(LOOKUPS) - 1), st.booleans(), small)
query = st.tuples(
    table,
    st.lists(condition, max_size=2),
    st.lists(st.tuples(small, st.booleans()), max_size=2),
    st.sampled_from([(0, None), (0, 1), (1, 3), (0, 3), (2, None), (0, 0)]),
    st.lists(small, max_size=3),
)
write = st.one_of(
    st.tuples(st.just("insert"), table, st.lists(numbers, max_size=3)),
    st.tuples(st.just("insert"), table, st.lists(numbers, max_size=3)),
    st.tuples(st.just("update"), table, numbers, numbers),
    st.tuples(st.just("update"), table, numbers, numbers),
    st.tuples(st.just("delete"), table, st.lists(numbers, max_size=3)),
    st.tuples(st.just("reset"), table),
    st.tuples(st.just("update_where"), query, small, small),
    st.tuples(st.just("set_columns"), table, st.lists(numbers, max_size=3), small),
)
mark = st.one_of(
    st.tuples(st.just("savepoint")),
    st.tuples(st.just("rollback_to"), small),
    st.tuples(st.just("release"), small),
)
ddl = st.one_of(
    st.tuples(st.just("add_column"), table, small, st.booleans(), small),
    st.tuples(st.just("drop_column"), table, small),
    st.tuples(st.just("rename_columns"), table, small, small),
    st.tuples(st.just("create_index"), table, small, small, st.booleans()),
    st.tuples(st.just("drop_index"), table, small),
    st.tuples(st.just("rename_table"), table, small),
    st.tuples(st.just("recreate"), table),
)
end = st.sampled_from([("commit",), ("commit",), ("rollback",)])
read = st.one_of(
    st.tuples(st.just("query"), query),
    st.tuples(st.just("query"), query),
    st.tuples(
        st.just("iterate"), query, small, st.lists(st.one_of(write, mark), max_size=4)
    ),
)
step = st.one_of(
    write, write, write, write, read, read, read, mark, mark, st.one_of(end, ddl, ddl)
)
#: What is committed at the beginning, and what is done then.
programs = st.tuples(
    st.lists(st.tuples(table, numbers), min_size=4, max_size=14),
    st.lists(step, min_size=6, max_size=30),
)


class Pair:
    """
    A session that is tested beside one that is right.

    :param tested: a session of a new store.
    :param right: one of the reference store, new as well.
    """

    def __init__(self, tested, right):
        self.tested, self.right = tested, right
        self.capabilities = tested.store.capabilities
        self.marks = []
        #: The largest number that was ever seen, by table's place.
        self.largest = [0, 0]
        self.names = ["things", "pairs"]
        self.begin()
        for session in (tested, right):
            session.create_table(THINGS)
            session.create_table(PAIRS)
        self.commit()

    def begin(self):
        self.tested.begin(write=True)
        self.right.begin(write=True)
        self.marks.clear()
        self.began = list(self.names)

    def run(self, rows, steps):
        for place, row in rows:
            self.insert(place, [row])
        self.commit()
        for step in steps:
            getattr(self, step[0])(*step[1:])
            self.check()
        self.commit()
        self.check()
        self.rollback()

    # What is compared

    def table(self, place):
        return self.right.catalog().tables[self.names[place]]

    def check(self):
        """Check that everything is the same."""
        tables = self.right.catalog().tables
        assert self.tested.catalog().tables == tables
        for one in tables.values():
            found = self.select(self.tested, one)
            assert sorted(found, key=repr) == sorted(
                self.select(self.right, one), key=repr
            )
            for row in found:
                assert self.tested.get(one, one.key_of(row)) == row

    def select(self, session, one):
        return list(
            session.query(one, [*one.positions], session.access(one, ())).fetch()
        )

    def statement(self, work, *, numbered=None):
        """Run the same with both sessions: the same result, or the same error."""
        results = []
        for session in (self.tested, self.right):
            mark = session.savepoint()
            try:
                results.append(work(session))
            except Error as error:
                session.rollback_to(mark)
                results.append((type(error), str(error)))
            session.release(mark)
            if numbered is not None and session is self.tested:
                work = numbered(results[0])
        assert results[0] == results[1]
        return results[0]

    # Writing

    def values(self, one, given, *, auto=True):
        row = []
        for column, number in zip(one.columns, given, strict=False):
            values = VALUES[column.type]
            if not column.nullable and not (column.auto_increment and auto):
                values = values[1:]
            row.append(values[number % len(values)])
        return tuple(row)

    def key(self, one, given):
        """Return a key, mostly that of a row."""
        rows = sorted(self.select(self.right, one), key=repr)
        if rows and given[7]:
            return one.key_of(rows[(given[0] + 8 * given[1]) % len(rows)])
        return one.key_of(self.values(one, given, auto=False))

    def insert(self, place, rows):
        one = self.table(place)
        given = [self.values(one, row) for row in rows]
        at = one.auto_increment
        if at is not None:
            # A number that a row brings may be the one that was just given.
            given.sort(key=lambda row: row[at] is None)

        def numbered(keys):
            """Let the right session give the same numbers, if they are good ones."""
            if at is None or not isinstance(keys, list):
                return lambda session: session.insert(one, given)
            complete = []
            for row, key in zip(given, keys, strict=True):
                if row[at] is None:
                    assert key[0] > self.largest[place]
                self.largest[place] = max(self.largest[place], key[0])
                complete.append((*row[:at], key[0], *row[at + 1 :]))
            return lambda session: session.insert(one, complete)

        self.statement(lambda session: session.insert(one, given), numbered=numbered)

    def update(self, place, key, row):
        one = self.table(place)
        new = self.values(one, row, auto=False)
        key = self.key(one, key)
        if row[7] % 2:  # leave the key as it is
            for at, value in zip(one.key_positions, key, strict=True):
                new = (*new[:at], value, *new[at + 1 :])
        self.statement(lambda session: session.update(one, key, new))
        if one.auto_increment is not None:
            found = [r[one.auto_increment] for r in self.select(self.right, one)]
            self.largest[place] = max([self.largest[place], *found])

    def update_where(self, given, name, number):
        """Change a column of all rows that match."""
        one = self.table(given[0])
        names = [column for column in one.positions if column not in one.primary_key]
        if not names:
            return
        name = names[name % len(names)]
        value = VALUES[one.column(name).type][number]

        def work(session):
            asked, columns, wanted, _, _, exact = self.prepare(
                session, (*given[:2], [], (0, None), [])
            )
            if not exact:
                return None
            if session is self.tested and self.capabilities.update:
                return asked.update({name: value})
            for row in wanted:
                key = tuple(row[columns.index(column)] for column in one.primary_key)
                new = list(session.get(one, key))
                new[one.positions[name]] = value
                session.update(one, key, tuple(new))
            return len(wanted)

        self.statement(work)

    def set_columns(self, place, keys, number):
        """Change a column of some rows, each in its own way."""
        one = self.table(place)
        names = [column for column in one.positions if column not in one.primary_key]
        if not names:
            return
        name = names[number % len(names)]
        choices = VALUES[one.column(name).type]
        changes = {
            self.key(one, key): [choices[(number + at) % len(choices)]]
            for at, key in enumerate(keys)
        }
        self.statement(lambda session: session.set_columns(one, [name], changes))

    def delete(self, place, keys):
        one = self.table(place)
        keys = [self.key(one, key) for key in keys]
        self.statement(lambda session: session.delete(one, keys))

    def reset(self, place):
        one = self.table(place)
        if one.auto_increment is None:
            return
        numbers = [row[one.auto_increment] for row in self.select(self.right, one)]
        value = max([0, *numbers])
        self.statement(lambda session: session.reset_sequence(one, value))
        self.largest[place] = value

    # Transactions

    def savepoint(self):
        largest, names = list(self.largest), list(self.names)
        self.marks.append(
            (self.tested.savepoint(), self.right.savepoint(), largest, names)
        )

    def rollback_to(self, number):
        if self.marks:
            place = number % len(self.marks)
            tested, right, largest, names = self.marks[place]
            self.tested.rollback_to(tested)
            self.right.rollback_to(right)
            del self.marks[place + 1 :]
            self.names = list(names)
            self.largest = [self.actual(n, was) for n, was in enumerate(largest)]

    def actual(self, place, was):
        """Return the largest number there is: others may be given again."""
        one = self.table(place)
        if one.auto_increment is None:
            return was
        return max(
            [0, *(row[one.auto_increment] for row in self.select(self.right, one))]
        )

    def release(self, number):
        if self.marks:
            place = number % len(self.marks)
            tested, right, *_ = self.marks[place]
            self.tested.release(tested)
            self.right.release(right)
            del self.marks[place:]

    def commit(self):
        self.tested.commit()
        self.right.commit()
        self.begin()

    def rollback(self):
        self.tested.rollback()
        self.right.rollback()
        self.names = list(self.began)
        self.begin()
        self.largest = [self.actual(n, was) for n, was in enumerate(self.largest)]

    # Schema

    def add_column(self, place, name, text, value):
        one = self.table(place)
        name = NAMES[name % len(NAMES)]
        if name in one.positions or len(one.columns) > 6:
            return
        kind = ValueType.STRING if text else ValueType.INTEGER
        column = Column(name, kind)
        columns = [column, *one.columns] if value % 2 else [*one.columns, column]
        fill = {name: VALUES[kind][value]}
        new = replace(one, columns=tuple(columns))
        self.statement(lambda session: session.alter_table(one.name, new, None, fill))

    def drop_column(self, place, number):
        one = self.table(place)
        used = {*one.primary_key, *(c for index in one.indexes for c in index.columns)}
        names = [name for name in one.positions if name not in used]
        if names:
            name = names[number % len(names)]
            columns = tuple(c for c in one.columns if c.name != name)
            new = replace(one, columns=columns)
            self.statement(lambda session: session.alter_table(one.name, new))

    def rename_columns(self, place, number, name):
        """Rename a column; to the name of another one: exchange them."""
        one = self.table(place)
        names = [*one.positions]
        old, new = names[number % len(names)], NAMES[name % len(NAMES)]
        renames = {old: new}
        if new in names:
            renames[new] = old
        for _index in one.indexes:
            if old == new:
                return
        table = replace(
            one,
            columns=tuple(
                replace(c, name=renames.get(c.name, c.name)) for c in one.columns
            ),
            primary_key=tuple(renames.get(c, c) for c in one.primary_key),
            indexes=tuple(
                replace(i, columns=tuple(renames.get(c, c) for c in i.columns))
                for i in one.indexes
            ),
        )
        self.statement(lambda session: session.alter_table(one.name, table, renames))

    def create_index(self, place, first, second, unique):
        one = self.table(place)
        names = [*one.positions]
        columns = tuple(dict.fromkeys(names[n % len(names)] for n in (first, second)))
        name = f"index_{first}"
        if all(name != index.name for index in one.indexes):
            index = Index(name, columns, unique)
            self.statement(lambda session: session.create_index(one.name, index))

    def drop_index(self, place, number):
        one = self.table(place)
        if one.indexes:
            name = one.indexes[number % len(one.indexes)].name
            self.statement(lambda session: session.drop_index(one.name, name))

    def rename_table(self, place, number):
        one = self.table(place)
        name = ("things", "pairs", "other", "more")[number % 4]
        if name not in self.names:
            new = replace(one, name=name)
            self.statement(lambda session: session.alter_table(one.name, new))
            self.names[place] = name

    def recreate(self, place):
        one = self.table(place)

        def work(session):
            session.drop_table(one.name)
            session.create_table(one)

        self.statement(work)
        self.largest[place] = 0

    # Reading

    def prepare(self, session, given):
        """Return a query, what it has to find at least, and whether just that."""
        place, conditions, ordering, marks, columns = given
        one = self.table(place)
        filters, exact = [], True
        for at, name, negated, number in conditions:
            column, lookup = one.columns[at % len(one.columns)], LOOKUPS[name]
            if lookup in PATTERNS and column.type is not ValueType.STRING:
                continue
            values = VALUES[column.type]
            value = values[number]
            if lookup == "in":
                value = [values[(number * n + n) % 8] for n in range(number % 4 + 1)]
            elif lookup == "isnull":
                value = True
            precision = self.capabilities.precision(column.type, lookup, negated)
            if precision is not Precision.NONE:
                exact = exact and precision is Precision.EXACT
                filters.append((column.name, lookup, negated, column.type, value))
        order = {}
        for column, descending in ordering:
            order.setdefault(one.columns[column % len(one.columns)].name, descending)
        shapes = [FilterShape(c, lookup, n) for c, lookup, n, _, _ in filters]
        access = session.access(one, shapes, list(order.items()))
        names = [one.columns[n % len(one.columns)].name for n in columns]
        names = list(dict.fromkeys([*names, *one.primary_key, *order]))
        asked = session.query(one, names, access)
        asked.add_filters(filters)
        order = list(order.items()) if access.ordered else []
        if order:
            asked.order_by(order)
        if not (self.capabilities.limit and exact):
            marks = (0, None)
        tests = [(one.positions[c], matcher(lu, v, n)) for c, lu, n, _, v in filters]
        at = [one.positions[name] for name in names]
        wanted = [
            tuple(row[n] for n in at)
            for row in self.select(self.right, one)
            if all(test(row[n]) for n, test in tests)
        ]
        for name, descending in reversed(order):
            place = names.index(name)
            wanted.sort(key=lambda row: sort_key(row[place]), reverse=descending)
        return asked, names, wanted, order, marks, exact

    def query(self, given):
        asked, names, wanted, order, marks, exact = self.prepare(self.tested, given)
        self.compare(list(asked.fetch(*marks)), names, wanted, order, marks, exact)
        if exact:
            assert asked.count() == len(wanted)
        else:
            assert asked.count() >= len(wanted)

    def compare(self, found, names, wanted, order, marks, exact):
        assert len(set(found)) == len(found)
        if not exact:
            assert set(wanted) <= set(found)
            return
        low, high = marks
        assert len(found) == len(wanted[low:high])
        assert set(found) <= set(wanted)
        at = [names.index(name) for name, _ in order]
        assert [[row[n] for n in at] for row in found] == [
            [row[n] for n in at] for row in wanted[low:high]
        ]

    def iterate(self, given, number, steps):
        """Read a part, write, and read the rest: rows come as they were."""
        asked, names, wanted, order, marks, exact = self.prepare(self.tested, given)
        depth = len(self.marks)
        rows = asked.fetch(*marks)
        found = []
        for row in rows:
            found.append(row)
            if len(found) == number:
                break
        undone = False
        for step in steps:
            if step[0] == "rollback_to" and self.marks:
                undone = undone or step[1] % len(self.marks) < depth
            getattr(self, step[0])(*step[1:])
            depth = min(depth, len(self.marks))
        try:
            found += rows
        except InterfaceError:
            assert undone
            return
        self.compare(found, names, wanted, order, marks, exact)

"""An audit: each lie of a server is found and named, and an honest one is never accused."""

import contextlib
import datetime
import threading
import uuid

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)
from backendkit.backends.immudb.auditing.audit import Audit, Unproven  # noqa: E402  # after the skip
from backendkit.backends.immudb.auditing.checkpoint import load, save  # noqa: E402  # after the skip
from backendkit.backends.immudb.auditing.history import History  # noqa: E402  # after the skip
from backendkit.backends.immudb.auditing.versions import Versions  # noqa: E402  # after the skip
from backendkit.backends.immudb.driver import immudb_pb2 as pb  # noqa: E402  # after the skip
from backendkit.backends.immudb.driver._values import parse  # noqa: E402  # after the skip
from tests.effort import chance as seeded  # noqa: E402  # after the skip
from tests.effort import effort, examples  # noqa: E402  # after the skip

from .proxies import Proxy  # noqa: E402  # after the skip

HISTORIES = examples(test=2, check=12, soak=400)
STEPS = effort(test=12, check=25, soak=40)
FLIPS = examples(test=20, check=200, soak=10_000)
LIES = examples(test=1, check=10, soak=300)


@pytest.fixture(scope="module")
def way(server, tmp_path_factory):
    """A proxy, and two connections through it, which all tests of this module share."""
    one = Proxy(f"{server.host}:{server.port}")
    with contextlib.ExitStack() as stack:
        stack.callback(one.close)
        reader, prover = (
            stack.enter_context(
                driver.connect(
                    port=one.port,
                    password=server.password,
                    autocommit=True,
                    states=tmp_path_factory.mktemp("states") / "states.json",
                )
            )
            for _ in range(2)
        )
        yield one, reader, prover


@pytest.fixture
def proxy(way):
    yield way[0]
    way[0].honest()


@pytest.fixture(scope="module")
def known(way, tmp_path_factory):
    """What the tests before have left, which isn't proven again, and a file for it."""
    with Versions() as versions:
        path = tmp_path_factory.mktemp("known") / "checkpoint"
        yield Audit(way[1], way[2], History(versions)), str(path)


@pytest.fixture
def open_audit(way, known, proxy, connection):
    """Begin audits, behind the proxy, of what is done from now on."""
    before, path = known
    before.prove()
    if before.history.state is not None:
        save(path, "known", before.history)
    proxy.changed = 0
    with contextlib.ExitStack() as stack:

        def begin():
            history = load(path, "known") or History(Versions())
            stack.enter_context(history.versions)
            return Audit(way[1], way[2], history)

        yield begin


def run(audit):
    """Audit all tables; return the differences."""
    found = []
    try:
        audit.prove()
        for name in audit.tables():
            compared = audit.compare(name, lambda: None)
            found += compared.differences if compared else []
        found += audit.compare_names() or []
    except Unproven as error:
        found.append(error.found)
    return found


def named(differences):
    return [(one.kind, one.table, one.primary_key) for one in differences]


class TestLies:
    """What a server may answer instead of the truth; its transactions are proven."""

    @pytest.fixture
    def audit(self, connection, open_audit):
        connection.run("CREATE TABLE t (id INTEGER, v VARCHAR, PRIMARY KEY id)")
        connection.run("CREATE TABLE other (id INTEGER, PRIMARY KEY id)")
        for number in range(1, 8):
            connection.run("INSERT INTO t (id, v) VALUES (?, 'first')", (number,))
        connection.run("INSERT INTO other (id) VALUES (1)")
        return open_audit()

    def answered(self, audit, proxy):
        return proxy.rows("t", lambda: run(audit))

    def test_none(self, audit, proxy):
        assert run(audit) == []
        assert proxy.changed == 0

    def test_an_older_version_of_a_row(self, audit, connection, proxy):
        old = self.answered(audit, proxy)[4]
        wrote = audit.history.tx - 3
        changed = connection.run("UPDATE t SET v = 'second' WHERE id = 5").tx
        proxy.put("t", 4, old)
        (found,) = run(audit)
        assert (found.kind, found.table, found.primary_key) == ("stale", "t", (5,))
        assert found.tx == changed
        assert str(found) == (
            f"t: row 5: the server returned the version that transaction {wrote} wrote,"
            f" but transaction {changed} wrote the last one"
        )

    def test_a_row_that_was_deleted(self, audit, connection, proxy):
        old = self.answered(audit, proxy)[4]
        deleted = connection.run("DELETE FROM t WHERE id = 5").tx
        proxy.add("t", 4, old)
        (found,) = run(audit)
        assert (found.kind, found.primary_key, found.tx) == ("stale", (5,), deleted)
        assert str(found).endswith(f"a row that transaction {deleted} deleted")

    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_a_row_that_is_left_out(self, audit, proxy, place):
        proxy.leave_out("t", place)
        (found,) = run(audit)
        assert (found.kind, found.primary_key) == ("hidden", (place + 1,))
        assert str(found).endswith(
            f"the server left out the row that transaction {found.tx} wrote"
        )

    def test_all_rows_are_left_out(self, audit, proxy):
        proxy.edit_rows("t", lambda rows: [])
        assert named(run(audit)) == [("hidden", "t", (n,)) for n in range(1, 8)]

    @pytest.mark.parametrize(("key", "place"), [(0, 0), (99, 7)])
    def test_a_row_that_is_added(self, audit, proxy, key, place):
        values = pb.SQLValue(n=key), pb.SQLValue(s="first")
        proxy.add("t", place, [one.SerializeToString() for one in values])
        assert named(run(audit)) == [("added", "t", (key,))]

    def test_a_value_that_is_another_one(self, audit, connection, proxy):
        row = self.answered(audit, proxy)[4]
        proxy.put("t", 4, [row[0], pb.SQLValue(s="never").SerializeToString()])
        (found,) = run(audit)
        assert (found.kind, found.primary_key) == ("altered", (5,))
        assert str(found) == (
            "t: row 5: v: the server returned other values than transaction"
            f" {found.tx} wrote"
        )

    def test_a_value_that_is_null(self, audit, proxy):
        row = self.answered(audit, proxy)[4]
        proxy.put("t", 4, [row[0], pb.SQLValue(null=0).SerializeToString()])
        assert named(run(audit)) == [("altered", "t", (5,))]

    def test_a_row_that_comes_twice(self, audit, proxy):
        row = self.answered(audit, proxy)[4]
        proxy.add("t", 5, row)
        assert named(run(audit)) == [("repeated", "t", (5,))]

    def test_rows_in_another_order(self, audit, proxy):
        """Nobody gets other rows, but pages of them would be others."""
        proxy.edit_rows("t", lambda rows: rows[::-1])
        assert {kind for kind, *_ in named(run(audit))} == {"hidden", "repeated"}

    def test_a_value_of_another_type(self, audit, proxy):
        row = self.answered(audit, proxy)[4]
        proxy.put("t", 4, [row[0], pb.SQLValue(n=5).SerializeToString()])
        (found,) = run(audit)
        assert (found.kind, found.primary_key) == ("altered", (5,))
        assert "values of other types" in str(found)
        proxy.put("t", 4, [pb.SQLValue(s="5").SerializeToString(), row[1]])
        found = run(audit)
        assert named(found) == [("altered", "t", None), ("hidden", "t", (5,))]
        assert str(found[0]) == "t: its row 5 has a primary key of other types"

    def test_a_hidden_table(self, audit, proxy):
        proxy.hide("t")
        found = run(audit)
        assert named(found) == [("table", "t", None)] * 2
        assert "denies that it exists" in str(found[0])
        assert str(found[1]).endswith("leaves the table out of its list of tables")

    def test_a_table_that_is_not_listed(self, audit, proxy):
        proxy.hide("t")
        proxy.ask = None
        (found,) = run(audit)
        assert str(found) == (
            "t: the server leaves the table out of its list of tables"
        )

    def test_a_column_that_is_hidden(self, audit, proxy):
        def change(name, data):
            if name != "SQLQuery":
                return data
            answer = pb.SQLQueryResult.FromString(data)
            if b"(t." in answer.columns[0]:
                del answer.columns[1]
                for place, one in enumerate(answer.rows):
                    row = pb.Row.FromString(one)
                    answer.rows[place] = pb.Row(
                        values=row.values[:1]
                    ).SerializeToString()
            return answer.SerializeToString()

        proxy.change = change
        (found,) = run(audit)
        assert str(found) == (
            "t: the server returned other columns than the table has: v"
        )

    def test_an_old_snapshot(self, audit, connection, proxy):
        assert run(audit) == []
        past = audit.history.tx
        connection.run("UPDATE t SET v = 'second' WHERE id = 2")
        connection.run("DELETE FROM t WHERE id = 3")
        connection.run("INSERT INTO t (id, v) VALUES (9, 'new')")
        proxy.set_back(past)
        assert named(run(audit)) == [
            ("stale", "t", (2,)),
            ("stale", "t", (3,)),
            ("hidden", "t", (9,)),
        ]

    def test_an_old_state(self, audit, connection, proxy, open_audit):
        """Also to an audit that begins anew: the state is remembered."""
        old = connection.state()
        connection.run("UPDATE t SET v = 'second' WHERE id = 2")
        assert run(audit) == []
        proxy.pretend_last(old)
        for one in (audit, open_audit()):
            (found,) = run(one)
            assert found.kind == "history"
            assert f"the server has no transaction {old.txId + 1} any more" in str(
                found
            )

    def test_a_transaction_that_is_left_out(self, audit, proxy):
        """The log is told without it."""
        first = audit.history.tx + 1

        def change(name, data):
            answer = pb.TxList()
            if name != "TxScan":
                return data
            answer.ParseFromString(data)
            del answer.txs[2]
            return answer.SerializeToString()

        proxy.change = change
        (found,) = run(audit)
        assert found.kind == "history"
        assert f"left out transaction {first} or a later one" in str(found)

    @pytest.mark.parametrize("part", ["hValue", "key", "deleted", "ts", "prevAlh"])
    def test_an_altered_transaction(self, audit, proxy, part):
        """Whatever is altered in it, it is named."""
        fifth = audit.history.tx + 5

        def change(name, data):
            if name != "TxScan":
                return data
            answer = pb.TxList.FromString(data)
            header, entry = answer.txs[4].header, answer.txs[4].entries[0]
            if part in ("hValue", "key"):
                setattr(entry, part, getattr(entry, part)[:-1] + b"?")
            elif part == "deleted":
                entry.metadata.deleted = True
            elif part == "ts":
                header.ts += 1
            else:
                header.prevAlh = bytes(32)
            return answer.SerializeToString()

        proxy.change = change
        (found,) = run(audit)
        assert found.kind == "history"
        assert f"transaction {fifth}: " in str(found)

    def test_more_differences_than_are_named(self, audit, connection, proxy):
        rows = ", ".join(f"({number}, 'x')" for number in range(100, 400))
        connection.run(f"INSERT INTO t (id, v) VALUES {rows}")
        proxy.edit_rows("t", lambda rows: rows[:7])
        audit.prove()
        found = audit.compare("t", lambda: None)
        assert (len(found.differences), found.count, found.rows) == (100, 300, 7)


def test_bytes_of_answers(connection, way, open_audit, proxy, tmp_path):
    """Any bit of any answer: what is read then is found, unless it means the same."""
    connection.run("CREATE TABLE t (id INTEGER, v VARCHAR, f FLOAT, PRIMARY KEY id)")
    for number in range(8):
        row = (number, f"text {number}", number / 3)
        connection.run("INSERT INTO t (id, v, f) VALUES (?, ?, ?)", row)
    begun = open_audit()
    assert run(begun) == []
    path = str(tmp_path / "checkpoint")
    save(path, "t", begun.history)
    connection.run("UPDATE t SET v = 'changed' WHERE id = 2")
    connection.run("ALTER TABLE t ADD COLUMN w INTEGER")
    chance = seeded("bits")
    found = 0
    for _ in range(FLIPS):
        method = chance.choice(
            ["SQLQuery", "UnarySQLQuery", "TxScan", "VerifiableTxById"]
        )
        changed = []

        def flip(name, data, method=method, changed=changed):
            if name != method or changed or not data:
                return data
            wrong = bytearray(data)
            wrong[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            changed[:] = data, bytes(wrong)
            return bytes(wrong)

        proxy.change = flip
        history = load(path, "t")
        try:
            with history.versions:
                differences = run(Audit(way[1], way[2], history))
        except driver.Error:
            found += 1
            continue
        if differences:
            found += 1
        elif method.endswith("Query"):
            raw = method == "SQLQuery"
            before, after = (parse(data, raw=raw) for data in changed)
            assert repr(before[1]) == repr(after[1])
            # What the list of tables calls its column means nothing.
            assert method == "UnarySQLQuery" or before[0].names == after[0].names
    assert found > FLIPS / 3
    proxy.honest()
    assert run(open_audit()) == []


@pytest.mark.parametrize("dropped", [True, False], ids=["dropped", "broken"])
def test_a_table_that_is_dropped_while_it_is_read(
    connection, way, open_audit, monkeypatch, dropped
):
    """The server closes it. If it does so without a reason, that is an error."""
    connection.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
    connection.run("CREATE TABLE u (id INTEGER, PRIMARY KEY id)")
    audit = open_audit()
    audit.prove()

    def stream(sql, **options):
        if dropped:
            connection.run("DROP TABLE t")
        raise driver.DatabaseError("already closed")

    with monkeypatch.context() as patched:
        patched.setattr(way[1], "stream", stream)
        if dropped:
            assert audit.compare("t", lambda: None) is None
        else:
            with pytest.raises(driver.DatabaseError, match="already closed"):
                audit.compare("t", lambda: None)
    assert run(audit) == []


def test_times_that_python_has_not(connection, open_audit):
    """immudb has them, and a row that has one is a row."""
    connection.run("CREATE TABLE t (at TIMESTAMP, other TIMESTAMP, PRIMARY KEY at)")
    for year in (1, 1600, 2026, 2300, 9999):
        connection.run(
            "INSERT INTO t (at, other) VALUES (?, ?)",
            (datetime.datetime(year, 1, 2),) * 2,
        )
    # A timestamp of an integer is one of seconds.
    connection.run(
        "INSERT INTO t (at, other) VALUES (CAST(1 AS TIMESTAMP), CAST(999999999999 AS TIMESTAMP))"
    )
    assert run(open_audit()) == []


class TestJSON:
    """immudb rewrites a document when it is read, but not what it means."""

    DOCUMENTS = (
        "12345678901234567890123",
        "9007199254740993",
        "1.0",
        '{"b": 1.0, "a": [true, null], "a": [false, 1e2]}',
        '"\\u00e9<&>"',
        "-0",
        "[1E5, 100000000000000000000000.0, -0.0]",
    )

    def test_documents(self, connection, open_audit):
        connection.run("CREATE TABLE t (id INTEGER, j JSON, PRIMARY KEY id)")
        for number, text in enumerate(self.DOCUMENTS):
            connection.run("INSERT INTO t (id, j) VALUES (?, ?)", (number, text))
        assert run(open_audit()) == []

    @pytest.mark.parametrize(
        ("told", "lie"), [("true", "1"), ("1", "true"), ("0", "-0")]
    )
    def test_another_document(self, connection, open_audit, proxy, told, lie):
        connection.run("CREATE TABLE t (id INTEGER, j JSON, PRIMARY KEY id)")
        connection.run("INSERT INTO t (id, j) VALUES (1, ?)", (told,))
        row = [
            pb.SQLValue(n=1).SerializeToString(),
            pb.SQLValue(s=lie).SerializeToString(),
        ]
        proxy.put("t", 0, row)
        assert named(run(open_audit())) == [("altered", "t", (1,))]

    def test_one_that_is_nested_deeply(self, connection, open_audit):
        """It isn't compared, which isn't a difference."""
        depth = 9_000
        connection.run("CREATE TABLE t (id INTEGER, j JSON, PRIMARY KEY id)")
        text = "[" * depth + "1.0" + "]" * depth
        connection.run("INSERT INTO t (id, j) VALUES (1, ?)", (text,))
        audit = open_audit()
        audit.prove()
        found = audit.compare("t", lambda: None)
        assert found.differences == []
        # Newer Pythons have other limits.
        assert found.too_deep <= 1


def test_values_of_another_type_with_the_same_bytes(connection, open_audit, proxy):
    """Python takes True for 1, and a time is a number, too."""
    kinds = {"n": "INTEGER", "b": "BOOLEAN", "f": "FLOAT", "ts": "TIMESTAMP"}
    columns = ", ".join(f"c{field} {kind}" for field, kind in kinds.items())
    connection.run(f"CREATE TABLE t (id INTEGER, {columns}, PRIMARY KEY id)")
    honest = {"n": 1, "b": True, "f": 1.0, "ts": 1}
    values = (1, 1, True, 1.0, datetime.datetime(1970, 1, 1, 0, 0, 0, 1))
    connection.run("INSERT INTO t (id, cn, cb, cf, cts) VALUES (?, ?, ?, ?, ?)", values)
    audit = open_audit()
    row = [
        pb.SQLValue(n=1).SerializeToString(),
        *(pb.SQLValue(**{f: v}).SerializeToString() for f, v in honest.items()),
    ]
    proxy.put("t", 0, row)
    assert run(audit) == []
    for place in range(1, 5):
        for encoded in set(row[1:]) - {row[place]}:
            proxy.put("t", 0, [*row[:place], encoded, *row[place + 1 :]])
            assert named(run(audit)) == [("altered", "t", (1,))]


#: Values, encoded, that no honest row has in place of NULL.
OTHERS = {
    kind: pb.SQLValue(**{field: value}).SerializeToString()
    for kind, field, value in (
        ("INTEGER", "n", 5),
        ("VARCHAR", "s", "a lie"),
        ("JSON", "s", "[]"),
        ("FLOAT", "f", 2.5),
        ("BOOLEAN", "b", True),
        ("BLOB", "bs", b"a lie"),
        ("UUID", "s", str(uuid.UUID(int=5))),
        ("TIMESTAMP", "ts", 5),
    )
}


class Random:
    """Random statements, each a transaction of an honest history."""

    def __init__(self, connection, chance):
        self.connection, self.chance = connection, chance
        self.made = {}
        self.numbers = 0

    def step(self):
        chance = self.chance
        kind = chance.choices(
            ["rows", "update", "delete", "again", "schema", "many"], [6, 4, 3, 2, 3, 1]
        )[0]
        if not self.made or kind == "schema":
            self.schema()
            return
        getattr(self, kind)(chance.choice(sorted(self.made)))

    def run(self, sql, values=()):
        try:
            self.connection.run(sql, values)
        except driver.NotSupportedError as error:
            # What it does with an index when rows change places.
            if "non-transient" not in str(error):
                raise

    def key(self, table):
        chance = self.chance
        return {
            "INTEGER": lambda: chance.choice([-(2**63), -1, 0, chance.randrange(20)]),
            "VARCHAR[9]": lambda: chance.choice(["", "a", "a\0", "b", "é", "longer"]),
            "UUID": lambda: uuid.UUID(int=chance.randrange(9) << 100),
            "TIMESTAMP": lambda: datetime.datetime(
                chance.choice([1, 1969, 2026, 9999]), 1, chance.randrange(1, 9)
            ),
            "BOOLEAN": lambda: chance.random() < 0.5,
            "FLOAT": lambda: chance.choice([-1.5, 0.0, 1e300, chance.random()]),
            "BLOB[4]": lambda: bytes(chance.randrange(4)),
        }[table]()

    def value(self, kind):
        chance = self.chance
        if chance.random() < 0.2:
            return None
        if kind == "JSON":
            return {"b": chance.random(), "a": [None, 2.50, "é"]}
        if kind in ("VARCHAR", "BLOB"):
            text = "x" * chance.choice([0, 3, 2_000])
            return text if kind == "VARCHAR" else text.encode()
        return self.key(kind)

    def schema(self):
        chance = self.chance
        self.numbers += 1
        name = chance.choice(sorted(self.made)) if self.made else None
        act = chance.choice(["create", "add", "drop column", "rename", "name", "drop"])
        if name is None or (act == "create" and len(self.made) < 4):
            name = chance.choice(["a", "b", f"t{self.numbers}"])
            if name in self.made:
                return
            kinds = ["INTEGER", "VARCHAR[9]", "UUID", "TIMESTAMP", "FLOAT", "BLOB[4]"]
            keys = {
                f"k{n}": chance.choice(kinds) for n in range(chance.randrange(1, 3))
            }
            columns = {"v": "VARCHAR", "n": "INTEGER", "j": "JSON"}
            every = ", ".join(f"{c} {k}" for c, k in {**keys, **columns}.items())
            self.run(f"CREATE TABLE {name} ({every}, PRIMARY KEY ({', '.join(keys)}))")
            if chance.random() < 0.5:
                self.run(f"CREATE INDEX ON {name} (n)")
            self.made[name] = (keys, columns)
        elif act == "add":
            kind = chance.choice(["UUID", "TIMESTAMP", "FLOAT", "BOOLEAN", "BLOB"])
            self.run(f"ALTER TABLE {name} ADD COLUMN c{self.numbers} {kind}")
            self.made[name][1][f"c{self.numbers}"] = kind
        elif act == "drop column":
            free = sorted(self.made[name][1].keys() - {"n"})
            if free:
                column = chance.choice(free)
                self.run(f"ALTER TABLE {name} DROP COLUMN {column}")
                del self.made[name][1][column]
        elif act == "rename":
            columns = self.made[name][1]
            column = chance.choice(sorted(columns))
            if column != "n":
                new = f"r{self.numbers}"
                self.run(f"ALTER TABLE {name} RENAME COLUMN {column} TO {new}")
                self.made[name] = (
                    self.made[name][0],
                    {new if one == column else one: k for one, k in columns.items()},
                )
        elif act == "name":
            new = f"t{self.numbers}"
            self.run(f"ALTER TABLE {name} RENAME TO {new}")
            self.made[new] = self.made.pop(name)
        elif act == "drop":
            self.run(f"DROP TABLE {name}")
            del self.made[name]

    def rows(self, name, count=None):
        keys, columns = self.made[name]
        names = [*keys, *columns]
        count = count or self.chance.randrange(1, 6)
        found = {}
        for _ in range(count):
            key = tuple(self.key(kind) for kind in keys.values())
            found[key] = [*key, *(self.value(kind) for kind in columns.values())]
        one = f"({', '.join('?' * len(names))})"
        self.run(
            f"UPSERT INTO {name} ({', '.join(names)}) VALUES"
            f" {', '.join([one] * len(found))}",
            [value for row in found.values() for value in row],
        )

    def many(self, name):
        self.rows(name, 200)

    def update(self, name):
        columns = sorted(self.made[name][1])
        if columns:
            column = self.chance.choice(columns)
            value = self.value(self.made[name][1][column])
            if value is not None:
                self.run(f"UPDATE {name} SET {column} = ?", (value,))

    def delete(self, name):
        self.run(f"DELETE FROM {name} LIMIT {self.chance.randrange(1, 4)}")

    def again(self, name):
        self.delete(name)
        self.rows(name)


@pytest.mark.parametrize("number", range(HISTORIES))
def test_an_honest_server(connection, open_audit, number):
    """No history makes an audit accuse it, neither one of all nor of what is new."""
    chance = seeded("honest", number)
    history = Random(connection, chance)
    going_on = open_audit()
    for _ in range(STEPS):
        history.step()
        if chance.random() < 0.5:
            assert run(going_on) == []
    assert run(going_on) == []
    assert run(open_audit()) == []


@pytest.mark.parametrize("number", range(LIES))
def test_a_lie_about_any_row(connection, open_audit, proxy, number):
    """It is the one that is named, whatever the history was before."""
    chance = seeded("lies", number)
    history = Random(connection, chance)
    rows = []
    while not rows:
        for _ in range(STEPS):
            history.step()
        table = chance.choice(sorted(history.made)) if history.made else None
        if table:
            history.rows(table)
            audit = open_audit()
            rows = proxy.rows(table, lambda audit=audit: run(audit))
    place = chance.randrange(len(rows))
    lie = chance.choice(["leave out", "put", "twice"])
    if lie == "leave out":
        proxy.leave_out(table, place)
    elif lie == "twice":
        proxy.add(table, place, rows[place])
    else:
        row = [*rows[place]]
        column = chance.randrange(len(history.made[table][0]), len(row))
        null = pb.SQLValue(null=0).SerializeToString()
        other = [*history.made[table][1].values()][column - len(history.made[table][0])]
        row[column] = OTHERS[other] if row[column] == null else null
        proxy.put(table, place, row)
    (found,) = run(audit)
    kinds = {"leave out": {"hidden"}, "twice": {"repeated"}, "put": {"altered"}}
    assert found.kind in kinds[lie]
    assert found.table == table
    proxy.honest()
    assert run(audit) == []


def test_an_honest_server_under_load(connect, connection, open_audit):
    """Rows and tables that others change while they are compared are no differences."""
    for number in range(3):
        connection.run(
            f"CREATE TABLE w{number} (id INTEGER, n INTEGER, PRIMARY KEY id)"
        )
    over, failed = threading.Event(), []
    done = [0, 0, 0]

    def write(number):
        writer, chance = connect(autocommit=True), seeded("load", number)
        name = f"w{number}"

        def act():
            key = chance.randrange(200)
            writer.run(f"UPSERT INTO {name} (id, n) VALUES (?, ?)", (key, done[number]))
            writer.run(f"DELETE FROM {name} WHERE id = ?", (chance.randrange(200),))
            if number == 2 and chance.random() < 0.05:
                writer.run(f"ALTER TABLE {name} ADD COLUMN c{done[number]} INTEGER")
                writer.run(f"ALTER TABLE {name} DROP COLUMN c{done[number]}")
            done[number] += 1

        try:
            while not over.is_set():
                with contextlib.suppress(driver.ConflictError):
                    act()
        except BaseException as error:  # noqa: BLE001  # shown by the test itself
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    audit = open_audit()
    for thread in threads:
        thread.start()
    try:
        rounds = 0
        while rounds < effort(test=4, check=30, soak=2_000) or min(done) < 5:
            assert not failed
            assert run(audit) == []
            rounds += 1
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed


def test_an_honest_server_of_a_project(database, open_audit):
    """Large transactions, changes of the schema and flush, while it is audited."""
    from django.core.management.color import no_style
    from django.db import connection as used
    from django.db import models, transaction

    from tests.nonrel.models import Item

    database.create(Item)
    over, failed, audits = threading.Event(), [], []

    def look():
        try:
            audit = open_audit()
            while not audits or not over.is_set():
                assert run(audit) == []
                audits.append(audit.history.tx)
                over.wait(0.3)  # others need the processor, too
            assert run(audit) == run(open_audit()) == []
        except BaseException as error:  # noqa: BLE001  # shown by the test itself
            failed.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    rows = effort(test=1_030, check=3_000, soak=20_000)
    field = models.IntegerField(default=7)
    field.set_attributes_from_name("later")
    try:
        with transaction.atomic():
            Item.objects.bulk_create(Item(code=f"c{n}", note="n") for n in range(rows))
        with transaction.atomic():
            Item.objects.update(note="changed")
        with used.schema_editor() as editor:
            editor.add_field(Item, field)
        with used.schema_editor() as editor:
            editor.remove_field(Item, field)
        with transaction.atomic():
            Item.objects.all().delete()
            Item.objects.bulk_create(Item(code=f"c{n}", note="n") for n in range(50))
        sql = used.ops.sql_flush(
            no_style(), [Item._meta.db_table], reset_sequences=True
        )
        used.ops.execute_sql_flush(sql)
        Item.objects.create(code="again")
    finally:
        over.set()
        thread.join()
    assert not failed
    assert len(set(audits)) > 1

"""Transactions: what is kept, what is undone, and who gets an error."""

import threading

import pytest

from backendkit import stores

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)


@pytest.fixture
def table(connection):
    connection.run("CREATE TABLE t (id INTEGER, n INTEGER, PRIMARY KEY id)")
    connection.run("INSERT INTO t (id, n) VALUES (1, 0), (2, 0)")
    return connection


def rows(connection):
    return connection.query("SELECT id, n FROM t ORDER BY id").rows


BEFORE = [(1, 0), (2, 0)]


def test_nothing_is_seen_before_the_commit_and_all_after(table, connect):
    writer = connect()
    writer.run("UPDATE t SET n = 1 WHERE id = 1")
    assert writer.query("SELECT n FROM t WHERE id = 1").rows == [(1,)]
    assert rows(table) == BEFORE
    committed = writer.commit()
    assert (committed.rows, committed.tx) == (1, table.state().txId)
    assert rows(table) == [(1, 1), (2, 0)]


def test_rollback_undoes_and_close_rolls_back(table, connect):
    writer = connect()
    writer.run("UPDATE t SET n = 1 WHERE id = 1")
    writer.rollback()
    assert rows(table) == BEFORE
    writer.run("UPDATE t SET n = 2 WHERE id = 1")
    writer.close()
    assert rows(table) == BEFORE


def test_with_commits_and_an_error_rolls_back(table, connect):
    with connect() as writer:
        writer.run("UPDATE t SET n = 1 WHERE id = 1")
    assert writer.closed
    with pytest.raises(ZeroDivisionError), connect() as writer:
        writer.run("UPDATE t SET n = 2 WHERE id = 1")
        raise ZeroDivisionError
    assert rows(table) == [(1, 1), (2, 0)]


def test_two_writers_of_a_row_one_gets_an_error_that_may_be_retried(table, connect):
    one, two = connect(), connect()
    for writer in (one, two):
        writer.query("SELECT n FROM t WHERE id = 1")
        writer.run("UPDATE t SET n = 5 WHERE id = 1")
    one.commit()
    with pytest.raises(driver.ConflictError, match="run it again") as caught:
        two.commit()
    assert isinstance(caught.value, driver.OperationalError)
    # It is over: what follows is another transaction.
    two.run("UPDATE t SET n = 6 WHERE id = 1")
    two.commit()
    assert rows(table) == [(1, 6), (2, 0)]


def test_an_error_of_a_change_ends_the_transaction_until_it_is_rolled_back(
    table, connect
):
    """What follows must not run outside of it."""
    writer = connect()
    writer.run("UPDATE t SET n = 1 WHERE id = 1")
    with pytest.raises(driver.IntegrityError):
        writer.run("INSERT INTO t (id, n) VALUES (2, 2)")
    for what in (
        lambda: writer.run("INSERT INTO t (id, n) VALUES (3, 3)"),
        lambda: writer.query("SELECT 1"),
        writer.commit,
    ):
        with pytest.raises(driver.OperationalError, match="roll back: key already"):
            what()
    assert writer.in_transaction
    writer.rollback()
    assert rows(writer) == BEFORE


def test_an_error_of_a_query_leaves_the_transaction_as_it_is(table, connect):
    writer = connect()
    writer.run("UPDATE t SET n = 1 WHERE id = 1")
    with pytest.raises(driver.ProgrammingError):
        writer.query("SELECT nope FROM t")
    with pytest.raises(driver.ProgrammingError):
        writer.query("SELECT n FROM t WHERE id = ?")
    writer.commit()
    assert rows(table) == [(1, 1), (2, 0)]


def test_a_read_only_transaction_sees_one_moment_and_writes_nothing(table, connect):
    reader = connect(autocommit=True)
    reader.begin(read_only=True)
    assert rows(reader) == BEFORE
    table.run("UPDATE t SET n = 1 WHERE id = 1")
    assert rows(reader) == BEFORE
    assert reader.commit() is None
    assert rows(reader) == [(1, 1), (2, 0)]
    reader.begin(read_only=True)
    with pytest.raises(driver.ProgrammingError, match="read-only"):
        reader.run("UPDATE t SET n = 2 WHERE id = 1")
    reader.rollback()


def test_begin_and_autocommit_dont_change_under_an_open_transaction(connect):
    connection = connect()
    connection.begin()
    with pytest.raises(driver.ProgrammingError):
        connection.begin()
    with pytest.raises(driver.ProgrammingError):
        connection.autocommit = True
    with pytest.raises(driver.ProgrammingError):
        connection.use_database("defaultdb")
    connection.autocommit = False
    connection.rollback()
    connection.autocommit = True
    connection.query("SELECT 1")
    assert not connection.in_transaction


def test_executemany_is_all_or_nothing(table):
    cursor = table.cursor()
    insert = "INSERT INTO t (id, n) VALUES (?, ?)"
    with pytest.raises(driver.IntegrityError):
        cursor.executemany(insert, [(3, 3), (1, 1)])
    assert rows(table) == BEFORE
    with pytest.raises(ZeroDivisionError):
        cursor.executemany(insert, ((n, 1 // (n - 4)) for n in (3, 4)))
    assert rows(table) == BEFORE
    cursor.executemany(insert, [(3, 3), (4, 4)])
    assert cursor.rowcount == 2
    assert rows(table) == [*BEFORE, (3, 3), (4, 4)]


def test_ids_come_with_what_is_committed(connection):
    connection.run(
        "CREATE TABLE a (id INTEGER AUTO_INCREMENT, s VARCHAR, PRIMARY KEY id)"
    )
    done = connection.run("INSERT INTO a (s) VALUES ('a'), ('b'), ('c')")
    assert (done.first_ids, done.last_ids, done.rows) == ({"a": 1}, {"a": 3}, 3)
    cursor = connection.cursor()
    cursor.execute("INSERT INTO a (s) VALUES (?)", ("d",))
    assert (cursor.lastrowid, cursor.rowcount) == (4, 1)
    connection.begin()
    cursor.execute("INSERT INTO a (s) VALUES (?)", ("e",))
    assert (cursor.lastrowid, cursor.rowcount) == (None, -1)
    assert connection.commit().last_ids == {"a": 5}


class TestNotWaiting:
    def test_what_is_called_next_comes_after_it(self, table, connect):
        writer = connect()
        writer.begin()
        for number in range(3, 100):
            writer.send("INSERT INTO t (id, n) VALUES (?, ?)", (number, 1))
        writer.send("UPDATE t SET n = 7 WHERE id = 99; DELETE FROM t WHERE id = 98")
        assert writer.query("SELECT n FROM t WHERE id >= 98").rows == [(7,)]
        writer.send("DELETE FROM t WHERE id = 97")
        writer.run("DELETE FROM t WHERE id = 96")
        writer.send("DELETE FROM t WHERE id = 95")
        assert rows(table) == BEFORE
        writer.commit()
        ones = [(number, 1) for number in range(3, 95)]
        assert rows(table) == [*BEFORE, *ones, (99, 7)]

    @pytest.mark.parametrize("name", ["run", "send", "query", "stream", "commit"])
    def test_its_error_is_raised_by_the_next_call(self, table, connect, name):
        writer = connect()
        writer.begin()
        writer.run("UPDATE t SET n = 1 WHERE id = 1")
        writer.send("INSERT INTO t (id, n) VALUES (2, 2)")
        texts = {"run": "UPDATE t SET n = 2 WHERE id = 1", "commit": None}
        texts["send"] = texts["run"]
        text = texts.get(name, "SELECT n FROM t")
        call = getattr(writer, name)
        with pytest.raises(driver.IntegrityError):
            call(*[text] * bool(text))
        with pytest.raises(driver.OperationalError, match="roll back: key already"):
            writer.commit()
        writer.rollback()
        assert rows(writer) == BEFORE

    def test_rolling_back_waits_for_it_and_drops_its_error(self, table, connect):
        writer = connect()
        for last in (
            "UPDATE t SET n = 1 WHERE id = 1",
            "INSERT INTO t (id) VALUES (2)",
        ):
            writer.begin()
            writer.send(last)
            writer.rollback()
            assert not writer.in_transaction
            assert rows(table) == BEFORE
        writer.begin()
        writer.send("UPDATE t SET n = 1 WHERE id = 1")
        writer.close()
        assert rows(table) == BEFORE

    def test_it_needs_a_transaction_and_a_statement(self, table):
        with pytest.raises(driver.ProgrammingError, match="no transaction"):
            table.send("UPDATE t SET n = 1 WHERE id = 1")
        table.begin()
        with pytest.raises(driver.ProgrammingError, match="is a query"):
            table.send("SELECT 1")
        with pytest.raises(driver.DataError, match="64 bits"):
            table.send("UPDATE t SET n = ? WHERE id = 1", (2**63,))
        table.send("UPDATE t SET n = ? WHERE id = 1", (2**63 - 1,))
        table.commit()
        assert rows(table) == [(1, 2**63 - 1), (2, 0)]


class TestLargeAnswers:
    """immudb refuses or cuts more than 2,500 rows in one message."""

    ALL = "SELECT id, s FROM m"

    @pytest.fixture
    def many(self, connection):
        connection.run("CREATE TABLE m (id INTEGER, s VARCHAR, PRIMARY KEY id)")
        for start in range(0, 6_000, 1_000):
            values = ", ".join(f"({n}, 's{n}')" for n in range(start, start + 1_000))
            connection.run(f"INSERT INTO m (id, s) VALUES {values}")
        return connection

    def test_all_rows_come_outside_and_inside_of_a_transaction(self, many):
        expected = [(n, f"s{n}") for n in range(6_000)]
        for _ in range(2):
            assert many.query(self.ALL).rows == expected
        many.begin()
        assert many.query(self.ALL).rows == expected
        many.commit()

    def test_a_stream_gives_them_in_parts(self, many):
        parts = list(many.stream(self.ALL))
        assert [len(part) for part in parts] == [2_500, 2_500, 1_000]
        assert many.stream(self.ALL).names == ("id", "s")

    def test_a_change_while_a_stream_is_read_loses_no_row(self, many):
        """Nor does the stream see it."""
        many.begin()
        stream = many.stream(self.ALL)
        seen = next(stream)
        many.run("UPDATE m SET s = 'changed' WHERE id = 5999")
        many.query("SELECT 1")
        seen += [row for part in stream for row in part]
        assert seen == [(n, f"s{n}") for n in range(6_000)]
        many.commit()

    def test_a_transaction_may_end_while_a_stream_is_open(self, many):
        """immudb says "readers not closed" to a commit otherwise."""
        many.begin()
        stream = many.stream(self.ALL)
        many.run("DELETE FROM m WHERE id = 0")
        many.commit()
        assert sum(map(len, stream)) == 6_000
        many.begin()
        stream = many.stream(self.ALL)
        next(stream)
        many.rollback()
        assert list(stream) == []
        assert len(many.query(self.ALL).rows) == 5_999

    @pytest.mark.check
    def test_streams_that_are_dropped_hold_nothing(self, many):
        """A database allows 100 snapshots."""
        for _ in range(150):
            next(many.stream(self.ALL))
        stream = many.stream(self.ALL)
        next(stream)
        stream.close()
        assert list(stream) == []

    def test_a_streams_time_out_is_its_own(self, many):
        with pytest.raises(driver.OperationalError, match="time-out"):
            list(many.stream(self.ALL, timeout=0.001))
        assert len(many.query(self.ALL).rows) == 6_000


def test_open_and_dropped_transactions_leave_no_snapshots(connection, arguments):
    """A database answers nobody when its snapshots are used up; it has 100 of them."""
    connection.create_database("few", max_active_snapshots=4)
    try:
        for _ in range(3):
            for close in (True, False):
                each = driver.connect(**{**arguments, "database": "few"})
                each.run("CREATE TABLE IF NOT EXISTS t (id INTEGER, PRIMARY KEY id)")
                each.query("SELECT 1")
                if close:
                    each.close()
                else:
                    # It is collected.
                    del each
        with driver.connect(**{**arguments, "database": "few"}) as last:
            assert last.query("SELECT 1").rows == [(1,)]
    finally:
        connection.delete_database("few")


@pytest.mark.check
def test_64_threads_with_connections_of_their_own(table, arguments):
    table.run("CREATE TABLE c (id INTEGER AUTO_INCREMENT, n INTEGER, PRIMARY KEY id)")
    errors = []

    def insert(connection, value):
        while True:
            try:
                connection.run("INSERT INTO c (n) VALUES (?)", (value,))
                connection.query("SELECT n FROM t WHERE id = 1")
                connection.commit()
            except driver.ConflictError:
                connection.rollback()
            else:
                return

    def work(number):
        try:
            with driver.connect(**arguments, connect_timeout=60) as connection:
                for n in range(2):
                    insert(connection, number * 2 + n)
        except driver.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = table.query("SELECT n FROM c").rows
    assert sorted(found) == [(n,) for n in range(128)]


class TestCommitWithTheLastStatement:
    """``run(…, commit=True)`` is as ``run(…)`` and ``commit()``, in one call."""

    @pytest.fixture
    def one(self, connection, connect):
        connection.run("CREATE TABLE t (id INTEGER, n INTEGER, PRIMARY KEY (id))")
        connection.run("INSERT INTO t (id, n) VALUES (1, 0)")
        return connect(autocommit=True)

    @staticmethod
    def write(one, sql, *values):
        one.begin()
        one.query("SELECT n FROM t WHERE id = 1")
        try:
            one.run(sql, values, commit=True)
        finally:
            assert not one.in_transaction

    def test_several_statements(self, one):
        sql = "INSERT INTO t (id, n) VALUES (?, ?)"
        self.write(one, f"{sql}; {sql}", 2, 20, 3, 30)
        assert one.query("SELECT id, n FROM t").rows == [(1, 0), (2, 20), (3, 30)]

    def test_without_a_transaction(self, one):
        made = one.run("INSERT INTO t (id, n) VALUES (2, 20)", commit=True)
        assert made.tx == one.state().txId

    def test_an_error_undoes_all(self, one):
        sql = (
            "INSERT INTO t (id, n) VALUES (2, 20); INSERT INTO t (id, n) VALUES (1, 1)"
        )
        with pytest.raises(stores.IntegrityError):
            self.write(one, sql)
        assert one.query("SELECT id FROM t").rows == [(1,)]

    def test_a_conflict(self, one, connection):
        one.begin()
        one.query("SELECT n FROM t WHERE id = 1")
        connection.run("UPDATE t SET n = 5 WHERE id = 1")
        with pytest.raises(stores.ConflictError):
            one.run("UPSERT INTO t (id, n) VALUES (1, 1)", commit=True)
        assert not one.in_transaction
        assert one.query("SELECT n FROM t").rows == [(5,)]

    def test_what_was_sent_before_has_failed(self, one):
        one.begin()
        one.send("INSERT INTO t (id, n) VALUES (1, 1)")
        with pytest.raises(stores.IntegrityError):
            one.run("INSERT INTO t (id, n) VALUES (2, 2)", commit=True)
        one.rollback()
        assert one.query("SELECT id FROM t").rows == [(1,)]

"""Each of immudb's errors is the one of PEP 249 that says what to do."""

import pickle
import socket

import pytest

from .servers import Server

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)

TABLE = """
    CREATE TABLE t (
        id INTEGER, s VARCHAR[3], n INTEGER NOT NULL, b BLOB[2],
        PRIMARY KEY id, CONSTRAINT positive CHECK n > 0
    );
    CREATE UNIQUE INDEX ON t (s)
"""


@pytest.fixture
def table(connection):
    connection.run(TABLE)
    connection.run("INSERT INTO t (id, s, n) VALUES (1, 'a', 1)")
    yield connection
    # immudb can't drop a table that has a CHECK.
    connection.run("ALTER TABLE t DROP CONSTRAINT positive")


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("INSERT INTO t (id, n) VALUES (1, 1)", "IntegrityError"),
        ("INSERT INTO t (id, s, n) VALUES (2, 'a', 1)", "IntegrityError"),
        ("INSERT INTO t (id, s) VALUES (2, 'b')", "IntegrityError"),
        ("INSERT INTO t (id, n) VALUES (2, NULL)", "IntegrityError"),
        ("INSERT INTO t (id, n) VALUES (NULL, 1)", "IntegrityError"),
        ("INSERT INTO t (n) VALUES (1)", "IntegrityError"),
        ("INSERT INTO t (id, n) VALUES (2, 0)", "IntegrityError"),
        ("UPDATE t SET n = 0", "IntegrityError"),
        ("INSERT INTO t (id, s, n) VALUES (2, 'äöü', 1)", "DataError"),
        ("INSERT INTO t (id, n, b) VALUES (2, 1, x'010203')", "DataError"),
        ("INSERT INTO t (id, n) VALUES ('x', 1)", "DataError"),
        ("INSERT INTO t (id, n) VALUES (99999999999999999999, 1)", "ProgrammingError"),
        ("SELECT id FROM t WHERE n = 'x'", "DataError"),
        ("SELECT 1 / 0", "DataError"),
        ("SELECT nope FROM t", "ProgrammingError"),
        ("SELECT id FROM nope", "ProgrammingError"),
        ("INSERT INTO nope (id) VALUES (1)", "ProgrammingError"),
        ("INSERT INTO t (nope) VALUES (1)", "ProgrammingError"),
        ("INSERT INTO t (id, n) VALUES (1)", "ProgrammingError"),
        ("SELECT FROM WHERE", "ProgrammingError"),
        ('SELECT "a b" FROM t', "ProgrammingError"),
        ("SELECT NOPE(id) FROM t", "ProgrammingError"),
        (TABLE, "ProgrammingError"),
        ("CREATE TABLE t2 (id INTEGER)", "ProgrammingError"),
        ("DROP TABLE nope", "ProgrammingError"),
        ("DROP INDEX ON t (n)", "ProgrammingError"),
        ("ALTER TABLE t ADD COLUMN n INTEGER", "ProgrammingError"),
        ("ALTER TABLE t ADD COLUMN m INTEGER NOT NULL", "NotSupportedError"),
        ("CREATE UNIQUE INDEX ON t (n)", "NotSupportedError"),
    ],
)
def test_an_error_has_its_class(table, sql, kind):
    with pytest.raises(driver.Error) as caught:
        table.cursor().execute(sql)
    assert type(caught.value).__name__ == kind, caught.value
    assert table.query("SELECT id, s, n FROM t").rows == [(1, "a", 1)]


def test_the_users_own_words_dont_decide_the_class(table):
    """The text of an error may repeat a value or a name."""
    table.run("CREATE TABLE u (id INTEGER, u UUID, PRIMARY KEY id)")
    with pytest.raises(driver.DataError, match="key already exists"):
        table.run("INSERT INTO u (id, u) VALUES (1, ?)", ("key already exists",))


def test_too_many_entries_say_what_counts(connection):
    connection.run("CREATE TABLE e (id INTEGER, PRIMARY KEY id)")
    rows = ", ".join(f"({n})" for n in range(1_100))
    with pytest.raises(driver.OperationalError, match="setting of the database"):
        connection.run(f"INSERT INTO e (id) VALUES {rows}")


def test_a_request_that_is_too_large_says_what_to_do(table):
    with pytest.raises(driver.DataError, match="--max-recv-msg-size"):
        table.run("UPDATE t SET s = ?", ("x" * 40_000_000,))


def test_an_answer_may_be_larger_than_grpcs_default(connection):
    connection.run("CREATE TABLE big (id INTEGER, s VARCHAR, PRIMARY KEY id)")
    connection.run("INSERT INTO big (id, s) VALUES (1, ?)", ("x" * 6_000_000,))
    ((text,),) = connection.query("SELECT s FROM big").rows
    assert len(text) == 6_000_000


def test_errors_survive_pickling(table):
    """Django's parallel tests send them from process to process."""
    with pytest.raises(driver.IntegrityError) as caught:
        table.run("INSERT INTO t (id, n) VALUES (1, 1)")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (type(caught.value), str(caught.value))


class TestConnecting:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"password": "wrong"}, "invalid user name or password"),
            ({"user": "nobody"}, "invalid user name or password"),
            ({"database": "nope"}, "no database 'nope'"),
            ({"port": 1}, "Does it run on this port, without TLS"),
            ({"host": "no.such.host.invalid"}, r"no\.such\.host\.invalid"),
            ({"host": "::1", "port": 1}, r"\[::1\]:1"),
        ],
    )
    def test_what_is_wrong_is_said(self, connect, changes, message):
        with pytest.raises(driver.OperationalError, match=message):
            connect(**changes)

    def test_a_host_that_never_answers_takes_the_time_out(self, connect):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            with pytest.raises(driver.OperationalError, match=r"in 0\.5 s"):
                connect(port=port, connect_timeout=0.5)

    @pytest.mark.parametrize(
        "changes",
        [
            {"port": "http"},
            {"port": ""},
            {"user": "\ud800"},
            {"database": "\ud800"},
            {"ca": "/no/such/file.pem"},
            {"cert": "/no/such/cert.pem"},
            {"key": "/no/such/key.pem"},
        ],
        ids=repr,
    )
    def test_arguments_that_dont_fit_are_an_interface_error(self, connect, changes):
        with pytest.raises(driver.InterfaceError):
            connect(**changes)

    def test_a_port_may_be_a_text(self, connect, server):
        assert connect(port=str(server.port)).query("SELECT 1").rows == [(1,)]

    def test_the_password_is_not_shown(self, connect, server):
        assert server.password not in repr(vars(connect()._link))

    def test_all_sessions_taken_says_what_to_do(self, immudb_program):
        with Server(options={"max-sessions": 1}) as small:
            first = driver.connect(port=small.port, password=small.password)
            with pytest.raises(driver.OperationalError, match="--max-sessions"):
                driver.connect(port=small.port, password=small.password)
            # One that is closed makes room at once.
            first.close()
            driver.connect(port=small.port, password=small.password).close()

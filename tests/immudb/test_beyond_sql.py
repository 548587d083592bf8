"""Databases, states and proofs; and immudb's other client beside the driver."""

import hashlib
import subprocess
import sys
import textwrap

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)


class TestServer:
    def test_it_says_what_it_is(self, connection, immudb_program):
        info = connection.server_info()
        assert info.uuid
        assert info.started.year > 2020
        connection.ping()
        # One that others have built may have no version.
        assert not info.version or info.version[0].isdigit()


@pytest.fixture(scope="module")
def second(shared):
    """A database with larger transactions."""
    assert shared.create_database(
        "second", max_tx_entries=5_000, max_concurrency=100, max_read_set=6_000
    )
    yield "second"
    shared.delete_database("second")


class TestDatabases:
    def test_one_is_created_once(self, connection, second):
        assert not connection.create_database(second, if_not_exists=True)
        with pytest.raises(driver.ProgrammingError, match="already exists"):
            connection.create_database(second)
        with pytest.raises(driver.ProgrammingError):
            connection.create_database("no such name")
        with pytest.raises(driver.OperationalError):
            connection.delete_database("nope")

    def test_settings_are_kept_and_shown(self, connection, second):
        limits = {info.name: info.max_tx_entries for info in connection.databases()}
        # The server is the whole run's, and other tests' databases are there, too.
        assert (limits["defaultdb"], limits[second]) == (1_024, 5_000)

    def test_a_transaction_may_be_as_large_as_was_said(self, connect, second):
        other = connect(database=second, autocommit=True)
        other.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
        values = ", ".join(f"({n})" for n in range(4_000))
        assert other.run(f"INSERT INTO t (id) VALUES {values}").rows == 4_000

    def test_a_transaction_that_may_write_reads_no_more_than_was_said(
        self, connect, second
    ):
        other = connect(database=second, autocommit=True)
        other.run("CREATE TABLE r (id INTEGER, PRIMARY KEY id)")
        # What an INSERT has to look up counts, too.
        for start in (0, 4_000):
            values = ", ".join(f"({n})" for n in range(start, start + 4_000))
            other.run(f"INSERT INTO r (id) VALUES {values}")
        other.begin(read_only=True)
        assert len(other.query("SELECT id FROM r").rows) == 8_000
        other.commit()
        other.begin()
        with pytest.raises(driver.OperationalError, match="setting of the database"):
            other.query("SELECT id FROM r")
        other.rollback()

    def test_one_may_change_to_another_and_stays_there(self, connect, second):
        """Also when the session is renewed."""
        connection = connect(autocommit=True)
        connection.use_database(second)
        assert connection.database == connection.state().db == second
        connection._link.renew()
        assert connection.state().db == second
        with pytest.raises(driver.OperationalError):
            connection.use_database("nope")
        assert connection.database == second


class TestProofs:
    @pytest.fixture
    def table(self, connection):
        connection.run(
            "CREATE TABLE p (a INTEGER, b VARCHAR[5], s VARCHAR, PRIMARY KEY (a, b))"
        )
        self.tx = connection.run("INSERT INTO p (a, b, s) VALUES (1, 'x', 'old')").tx
        connection.run("UPSERT INTO p (a, b, s) VALUES (1, 'x', 'new')")
        return connection

    def test_the_state_is_the_last_transactions(self, table):
        before = table.state()
        done = table.run("INSERT INTO p (a, b) VALUES (2, 'y')")
        after = table.state()
        assert (before.txId + 1, after.txId) == (done.tx, done.tx)
        assert before.txHash != after.txHash

    def test_a_row_comes_with_what_proves_it(self, table):
        state = table.state()
        entry = table.verifiable_get("p", (1, "x"), since=state.txId)
        assert entry.sqlEntry.tx == state.txId
        assert b"new" in entry.sqlEntry.value
        tx = entry.verifiableTx
        assert tx.dualProof.targetTxHeader.id == state.txId
        assert tx.tx.header.nentries == len(tx.tx.entries) > 0
        # The digest that the inclusion proof is about is that of this value.
        assert hashlib.sha256(entry.sqlEntry.value).digest() in {
            each.hValue for each in tx.tx.entries
        }
        assert set(entry.ColNamesById.values()) == {"a", "b", "s"}

    def test_a_row_of_the_past_too(self, table):
        entry = table.verifiable_get("p", (1, "x"), at=self.tx)
        assert entry.sqlEntry.tx == self.tx
        assert b"old" in entry.sqlEntry.value

    def test_a_transaction_comes_with_the_proof_of_its_place(self, table):
        answer = table.verifiable_tx(self.tx, since=1)
        assert answer.tx.header.id == self.tx
        assert {each.value for each in answer.tx.entries} == {b""}
        assert answer.dualProof.sourceTxHeader.id == 1

    def test_what_is_not_there_is_a_programming_error(self, table):
        with pytest.raises(driver.ProgrammingError, match="no row"):
            table.verifiable_get("p", (5, "x"))
        with pytest.raises(driver.ProgrammingError):
            table.verifiable_get("p", (1,))
        with pytest.raises(driver.ProgrammingError):
            table.verifiable_get("nope", (1,))


def test_immudbs_own_client_reads_what_the_driver_wrote_and_back(connection, server):
    """Both in one process: their messages have other names."""
    pytest.importorskip("immudb", reason="needs immudb-py")
    connection.run(
        "CREATE TABLE o (id INTEGER, s VARCHAR, b BLOB, t BOOLEAN,"
        " ts TIMESTAMP, PRIMARY KEY id)"
    )
    script = f"""
        import datetime
        from immudb import ImmudbClient
        from backendkit.backends.immudb import driver

        ours = driver.connect(
            port={server.port}, password={server.password!r}, autocommit=True
        )
        theirs = ImmudbClient("127.0.0.1:{server.port}")
        theirs.login("immudb", {server.password!r})
        theirs.useDatabase(b"defaultdb")
        # It can't read FLOAT.
        row = (1, "ä'?", b"\\0\\xff", True, None)
        insert = "INSERT INTO o (id, s, b, t, ts) VALUES "
        ours.run(insert + "(?, ?, ?, ?, ?)", row)
        query = "SELECT id, s, b, t, ts FROM o WHERE id = "
        assert [tuple(each) for each in theirs.sqlQuery(query + "1")] == [row]
        theirs.sqlExec(
            insert + "(@id, @s, @b, @t, NULL)",
            dict(zip(("id", "s", "b", "t"), (2, *row[1:4]))),
        )
        assert ours.query(query + "?", (2,)).rows == [(2, *row[1:])]
        state = theirs.currentState()
        assert (state.txId, state.txHash) == (ours.state().txId, ours.state().txHash)
        ours.close()
        print("same")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "same\n", done.stderr

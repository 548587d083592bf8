"""Verified reads on a real server: an honest one never raises, a lie always does."""

import datetime
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import uuid

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)

from backendkit.backends.immudb.driver import _state as states  # noqa: E402  # after the skip
from backendkit.backends.immudb.driver import immudb_pb2 as pb  # noqa: E402  # after the skip
from backendkit.backends.immudb.driver._proofs import State  # noqa: E402  # after the skip

from .servers import Server  # noqa: E402  # after the skip
from .test_proofs import mutated  # noqa: E402  # after the skip

EVERYTHING = (
    "CREATE TABLE e (id INTEGER, f FLOAT, b BOOLEAN, v VARCHAR, w VARCHAR[20],"
    " x BLOB, t TIMESTAMP, u UUID, j JSON, PRIMARY KEY id)"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "states.json"


@pytest.fixture
def verifying(connect, path):
    return connect(states=path, autocommit=True)


def random_row(number, chance):
    def maybe(value):
        return None if chance.random() < 0.25 else value

    return (
        number,
        maybe(chance.choice([0.0, -0.0, 1.5, -1e300, 5e-324, chance.random()])),
        maybe(chance.random() < 0.5),
        maybe(chance.choice(["", "ä€😀", "x" * 5_000, "plain"])),
        maybe(chance.choice(["", "short", "ü" * 10])),
        maybe(chance.choice([b"", b"\0\xff", chance.randbytes(300)])),
        maybe(
            datetime.datetime(1970, 1, 1)
            + datetime.timedelta(microseconds=chance.randrange(-(10**16), 10**17))
        ),
        maybe(uuid.UUID(bytes=chance.randbytes(16))),
        maybe(chance.choice([{}, {"b": 1, "a": [None, 2.5]}, {"s": "<&>"}])),
    )


def insert(connection, table, rows):
    marks = ", ".join("?" for _ in rows[0])
    values = ", ".join(f"({marks})" for _ in rows)
    names = ", ".join(row[0] for row in columns_of(connection, table))
    flat = [value for row in rows for value in row]
    return connection.run(f"INSERT INTO {table} ({names}) VALUES {values}", flat)


def columns_of(connection, table):
    return connection.query(f"SELECT name FROM COLUMNS('{table}')").rows


def read(connection, table, where, parameters):
    """The row as SQL gives it."""
    rows = connection.query(f"SELECT * FROM {table} WHERE {where}", parameters)
    return dict(zip(rows.names, rows.rows[0], strict=True))


def plain(row):
    """JSON is compared as what it means: a query's text is rewritten by immudb."""
    return {
        name: json.loads(value) if name == "j" and value is not None else value
        for name, value in row.items()
    }


class TestHonestServer:
    def test_rows_of_all_types_are_as_sql_gives_them(self, verifying):
        chance = random.Random(1)
        verifying.run(EVERYTHING)
        for start in range(0, 300, 20):
            rows = [random_row(start + n, chance) for n in range(20)]
            done = insert(verifying, "e", rows)
            for row in rows[::3]:
                found = verifying.verified_get("e", (row[0],))
                assert found.tx == done.tx
                assert found.time == done.time
                assert plain(found.row) == plain(
                    read(verifying, "e", "id = ?", (row[0],))
                )

    @pytest.mark.parametrize(
        ("definition", "keys"),
        [
            (
                "a INTEGER, c VARCHAR[9]",
                [(1, ""), (-1, "ä€"), (2**63 - 1, "123456789"), (-(2**63), "a")],
            ),
            ("c VARCHAR[30], a VARCHAR[30]", [("x", "y"), ("y", "x"), ("x", "x")]),
            ("f FLOAT", [(0.0,), (-1.5,), (1e300,), (-1e-300,), (5,)]),
            ("b BOOLEAN, x BLOB[8]", [(True, b""), (False, b"\0\0"), (True, b"\xff")]),
            ("u UUID", [(uuid.UUID(int=5),), (uuid.UUID(int=2**128 - 1),)]),
            (
                "t TIMESTAMP",
                [
                    (datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),),
                    (datetime.datetime(2026, 2, 3, 4, 5, 6, 7),),
                    (datetime.datetime(1, 1, 1),),
                    (datetime.datetime(9999, 12, 31),),
                ],
            ),
        ],
    )
    def test_primary_keys_of_all_types(self, verifying, definition, keys):
        names = [part.split()[0] for part in definition.split(", ")]
        verifying.run(
            f"CREATE TABLE k (n INTEGER, {definition}, PRIMARY KEY ({', '.join(names)}))"
        )
        marks = ", ".join("?" for _ in names)
        for number, key in enumerate(keys):
            verifying.run(
                f"INSERT INTO k (n, {', '.join(names)}) VALUES (?, {marks})",
                (number, *key),
            )
        for number, key in enumerate(keys):
            row = verifying.verified_get("k", key).row
            assert row == {"n": number, **dict(zip(names, key, strict=True))}

    def test_updated_deleted_and_missing_rows(self, verifying):
        """Deleted ones aren't there; that they were is proven."""
        verifying.run("CREATE TABLE d (id INTEGER, v VARCHAR[9], PRIMARY KEY id)")
        verifying.run("CREATE INDEX ON d (v)")
        with pytest.raises(driver.ProgrammingError, match="no row"):
            verifying.verified_get("d", (1,))
        made = verifying.run("INSERT INTO d (id, v) VALUES (1, 'a')").tx
        changed = verifying.run("UPDATE d SET v = 'b' WHERE id = 1").tx
        assert verifying.verified_get("d", (1,)).tx == changed
        verifying.run("DELETE FROM d WHERE id = 1")
        with pytest.raises(driver.ProgrammingError, match="no row"):
            verifying.verified_get("d", (1,))
        assert verifying.verified_get("d", (1,), at=made).row == {"id": 1, "v": "a"}
        assert verifying.verified_get("d", (1,), at=changed).row["v"] == "b"
        again = verifying.run("INSERT INTO d (id, v) VALUES (1, NULL)").tx
        found = verifying.verified_get("d", (1,))
        assert (found.row, found.tx) == ({"id": 1, "v": None}, again)

    def test_a_table_may_change(self, verifying, connection):
        """Each change of the catalog is found in the ledger, and proven."""
        run = connection.run
        run("CREATE TABLE c (id INTEGER, v VARCHAR, w INTEGER, PRIMARY KEY id)")
        run("INSERT INTO c (id, v, w) VALUES (1, 'a', 2)")
        assert verifying.verified_get("c", (1,)).row == {"id": 1, "v": "a", "w": 2}
        run("ALTER TABLE c RENAME COLUMN v TO z")
        run("ALTER TABLE c ADD COLUMN n INTEGER")
        found = verifying.verified_get("c", (1,)).row
        assert found == {"id": 1, "z": "a", "w": 2, "n": None}
        run("ALTER TABLE c DROP COLUMN z")
        run("CREATE TABLE other (id INTEGER, v VARCHAR, PRIMARY KEY id)")
        run("INSERT INTO other (id, v) VALUES (1, 'b')")
        assert verifying.verified_get("c", (1,)).row == {"id": 1, "w": 2, "n": None}
        run("DROP TABLE c")
        with pytest.raises(driver.ProgrammingError):
            verifying.verified_get("c", (1,))
        # One that is older gets its name.
        run("ALTER TABLE other RENAME TO c")
        assert verifying.verified_get("c", (1,)).row == {"id": 1, "v": "b"}

    def test_a_table_can_be_proven_before_it_is_read(self, verifying, connection):
        connection.run("CREATE TABLE c (id INTEGER, v VARCHAR, PRIMARY KEY id)")
        connection.run("INSERT INTO c (id, v) VALUES (1, 'a')")
        verifying.verify_table("c")
        connection.run("ALTER TABLE c RENAME COLUMN v TO w")
        verifying.verify_table("c")
        assert verifying.verified_get("c", (1,)).row == {"id": 1, "w": "a"}
        with pytest.raises(driver.ProgrammingError, match="no table"):
            verifying.verify_table("nope")

    def test_tables_are_proven_while_others_read_and_write(
        self, verifying, connect, connection, path
    ):
        """What they have remembered meanwhile isn't lost, and has to fit."""
        other = connect(states=path, autocommit=True)
        for name in ("a", "b", "c"):
            connection.run(f"CREATE TABLE {name} (id INTEGER, PRIMARY KEY id)")
            connection.run(f"INSERT INTO {name} (id) VALUES (1)")
        steps = []

        def step():
            if not steps:
                connection.run("INSERT INTO c (id) VALUES (2)")
                other.verified_get("c", (2,))
            steps.append(None)

        last = connection.state().txId
        verifying.verify_tables(["a", "b"], step)
        assert len(steps) == last
        assert verifying.verified_state()[0] == last + 1
        known = json.loads(path.read_text())["databases"]
        assert [sorted(each["tables"]) for each in known.values()] == [["a", "b", "c"]]

    def test_what_was_committed_just_now_is_there(self, verifying, connection):
        """immudb itself gives the row of before, in some of a hundred times."""
        verifying.run("CREATE TABLE m (id INTEGER, n INTEGER, PRIMARY KEY id)")
        for number in range(300):
            done = connection.run("UPSERT INTO m (id, n) VALUES (1, ?)", (number,))
            found = verifying.verified_get("m", (1,))
            assert (found.tx, found.row["n"]) == (done.tx, number)

    def test_threads_share_a_file(self, connect, path):
        connections = [connect(states=path, autocommit=True) for _ in range(4)]
        connections[0].run("CREATE TABLE m (id INTEGER, PRIMARY KEY id)")
        failed = []

        def work(connection, start):
            try:
                for number in range(start, start + 25):
                    connection.run("INSERT INTO m (id) VALUES (?)", (number,))
                    assert connection.verified_get("m", (number,)).row["id"] == number
            except BaseException as error:  # noqa: BLE001  # shown by the test itself
                failed.append(error)

        threads = [
            threading.Thread(target=work, args=(connection, number * 100))
            for number, connection in enumerate(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert connections[0].verified_state()[0] == connections[0].state().txId

    def test_wrong_values_are_data_errors(self, verifying):
        verifying.run("CREATE TABLE k (c VARCHAR[5], PRIMARY KEY c)")
        verifying.run("INSERT INTO k (c) VALUES ('1')")
        for wrong in (1, b"1", "123456"):
            with pytest.raises(driver.DatabaseError) as caught:
                verifying.verified_get("k", (wrong,))
            assert not isinstance(caught.value, driver.TamperedError)

    def test_it_agrees_with_immudb_py(self, verifying, server):
        """On the same rows, each with its own code and its own state."""
        pytest.importorskip("immudb", reason="needs immudb-py")
        from immudb import ImmudbClient
        from immudb.datatypesv2 import PrimaryKeyIntValue, PrimaryKeyVarCharValue

        from backendkit.backends.immudb.driver._rows import Table

        chance = random.Random(4)
        verifying.run(EVERYTHING)
        verifying.run(
            "CREATE TABLE k (a INTEGER, c VARCHAR[9], n INTEGER, PRIMARY KEY (c, a))"
        )
        insert(verifying, "e", [random_row(number, chance) for number in range(100)])
        theirs = ImmudbClient(f"{server.host}:{server.port}")
        theirs.login(server.user, server.password, b"defaultdb")
        try:
            for number in range(100):
                found = verifying.verified_get("e", (number,))
                entry = theirs.verifiableSQLGet("e", [PrimaryKeyIntValue(number)])
                assert entry.verified
                assert entry.sqlEntry.tx == found.tx
                message = verifying.verifiable_get("e", (number,))
                table = Table.of(message)
                assert table.decode(entry.sqlEntry.value) == found.row
            for number in range(30):
                verifying.run("INSERT INTO k (a, c) VALUES (?, 'ab')", (number,))
                found = verifying.verified_get("k", ("ab", number))
                key = [PrimaryKeyVarCharValue("ab"), PrimaryKeyIntValue(number)]
                entry = theirs.verifiableSQLGet("k", key)
                assert (entry.verified, entry.sqlEntry.tx) == (True, found.tx)
        finally:
            theirs.logout()


@pytest.fixture
def table(verifying):
    """Some rows, whose columns are easily mistaken for each other."""
    verifying.run(
        "CREATE TABLE p (a INTEGER, b INTEGER, v VARCHAR, w VARCHAR, n INTEGER,"
        " t TIMESTAMP, PRIMARY KEY (a, b))"
    )
    verifying.run(
        "CREATE TABLE q (a INTEGER, b INTEGER, v VARCHAR, PRIMARY KEY (a, b))"
    )
    for a in range(1, 4):
        for b in range(1, 4):
            row = (a, b, f"v{a}", f"w{b}", a * b, datetime.datetime(2026, a, b))
            insert(verifying, "p", [row])
            insert(verifying, "q", [(a, b, "another table's")])
    return verifying


def answering(connection, monkeypatch, change):
    """Let answers with a proof be changed on their way."""
    honest = connection.verifiable_get

    def get(table, primary_key, **options):
        return change(honest(table, primary_key, **options))

    monkeypatch.setattr(connection, "verifiable_get", get)


class TestLies:
    @pytest.mark.parametrize(
        "known",
        [True, pytest.param(False, marks=pytest.mark.check)],
        ids=["known", "first"],
    )
    def test_no_byte_of_an_answer_can_change_the_row(
        self, table, connect, path, monkeypatch, known
    ):
        """Whether the database was verified before or not."""
        honest = table.verified_get("p", (2, 3))
        before = path.read_bytes()
        chance = random.Random(6)
        changed = None

        def change(entry):
            return changed or entry

        answering(table, monkeypatch, change)
        answer = driver.Connection.verifiable_get(
            table, "p", (2, 3), since=table.verified_state()[0]
        )
        raised = 0
        for _ in range(3_000 if known else 600):
            changed = mutated(answer, chance)
            if changed is None:
                continue
            if not known:
                path.unlink(missing_ok=True)
            try:
                found = table.verified_get("p", (2, 3))
            except driver.TamperedError:
                raised += 1
                if known:
                    assert path.read_bytes() == before
                else:
                    assert not path.exists()
            else:
                assert found == honest
        assert raised > 200

    @pytest.mark.parametrize(
        "lie",
        [
            lambda entry: entry.sqlEntry.__setattr__("value", b"\0\0\0\0"),
            lambda entry: entry.sqlEntry.__setattr__("tx", entry.sqlEntry.tx - 1),
            lambda entry: entry.__setattr__("TableId", entry.TableId + 1),
            lambda entry: entry.__setattr__("DatabaseId", 2),
            lambda entry: entry.ColNamesById.update({3: "w", 4: "v"}),
            lambda entry: entry.ColTypesById.update({6: "INTEGER"}),
            lambda entry: entry.ColTypesById.pop(5),
            lambda entry: entry.ColNamesById.clear(),
            lambda entry: entry.PKIDs.reverse(),
            lambda entry: entry.PKIDs.__delitem__(slice(None)),
            lambda entry: entry.ClearField("inclusionProof"),
            lambda entry: entry.ClearField("verifiableTx"),
            lambda entry: entry.Clear(),
        ],
    )
    def test_lies_by_hand(self, table, monkeypatch, lie):
        table.verified_get("p", (2, 3))
        state = table.verified_state()

        def change(entry):
            lie(entry)
            return entry

        answering(table, monkeypatch, change)
        with pytest.raises(driver.TamperedError):
            table.verified_get("p", (2, 3))
        assert table.verified_state() == state

    @pytest.mark.parametrize(
        ("other", "key"), [("p", (2, 2)), ("p", (3, 2)), ("q", (2, 3))]
    )
    def test_another_row_with_its_own_proof(self, table, monkeypatch, other, key):
        table.verified_get("p", (2, 3))
        honest = table.verifiable_get

        def get(name, primary_key, **options):
            return honest(other, key, **options)

        monkeypatch.setattr(table, "verifiable_get", get)
        with pytest.raises(driver.TamperedError):
            table.verified_get("p", (2, 3))

    def test_an_older_version_is_not_the_one_that_was_asked_for(
        self, table, monkeypatch
    ):
        table.verified_get("p", (2, 3))
        old = table.verifiable_get("p", (2, 3)).sqlEntry.tx
        new = table.run("UPSERT INTO p (a, b, v) VALUES (2, 3, 'new')").tx
        honest = table.verifiable_get

        def get(name, primary_key, *, since, at, **_):
            return honest(name, primary_key, since=since, at=old)

        monkeypatch.setattr(table, "verifiable_get", get)
        with pytest.raises(driver.TamperedError):
            table.verified_get("p", (2, 3), at=new)

    def test_a_change_of_the_catalog_that_was_not_made(self, table, monkeypatch):
        """Also when transactions of others would give room for it."""
        table.verified_get("p", (2, 3))
        table.run("INSERT INTO q (a, b, v) VALUES (9, 9, 'x')")

        def change(entry):
            entry.ColNamesById[3], entry.ColNamesById[4] = "w", "v"
            return entry

        answering(table, monkeypatch, change)
        with pytest.raises(driver.TamperedError):
            table.verified_get("p", (2, 3))

    def test_a_change_of_the_catalog_with_another_value(self, table, monkeypatch):
        table.verified_get("p", (2, 3))
        table.run("ALTER TABLE p RENAME COLUMN v TO z")
        honest = table.verifiable_tx

        def get(tx, *, since, values):
            answer = honest(tx, since=since, values=values)
            for entry in answer.tx.entries:
                entry.value = entry.value.replace(b"z", b"y")
            return answer

        monkeypatch.setattr(table, "verifiable_tx", get)
        with pytest.raises(driver.TamperedError, match="another value"):
            table.verified_get("p", (2, 3))

    def test_a_catalog_of_before(self, table, monkeypatch):
        table.verify_table("p")
        table.run("ALTER TABLE p RENAME COLUMN v TO z")
        table.verify_table("p")
        first = table.verified_state()
        monkeypatch.setattr(
            table, "state", lambda: pb.ImmutableState(txId=first[0] - 1)
        )
        with pytest.raises(driver.TamperedError, match="any more"):
            table.verify_table("p")
        assert table.verified_state() == first

    def test_a_row_of_no_history(self, table, path, monkeypatch):
        monkeypatch.setattr(table, "state", pb.ImmutableState)
        with pytest.raises(driver.TamperedError, match="without a transaction"):
            table.verified_get("p", (2, 3))
        assert not path.exists()

    def test_a_change_of_the_catalog_that_is_left_out(self, table, monkeypatch):
        table.verified_get("p", (2, 3))
        table.run("ALTER TABLE p RENAME COLUMN v TO z")
        last = table.state().txId
        honest = table.transactions

        def get(first, count, **options):
            found = honest(first, count, **options)
            del found[-1].entries[0]
            return found

        monkeypatch.setattr(table, "transactions", get)
        with pytest.raises(
            driver.TamperedError, match=f"transaction {last}: .*another number"
        ):
            table.verified_get("p", (2, 3))

    def test_the_state_of_another_database(self, table, connect, connection, path):
        """Two databases that began alike are two histories all the same."""
        connection.create_database("elsewhere", if_not_exists=True)
        other = connect(database="elsewhere", states=path, autocommit=True)
        try:
            other.run("CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b))")
            for number in range(1, 40):
                other.run("INSERT INTO p (a, b) VALUES (?, ?)", (number, number))
            table.verified_get("p", (2, 3))
            other.verified_get("p", (2, 2))
            file = json.loads(path.read_text())
            here, there = sorted(file["databases"], key=lambda name: "else" in name)
            found = file["databases"]
            found[here], found[there] = found[there], found[here]
            path.write_text(json.dumps(file))
            for connection_, key in ((table, (2, 3)), (other, (2, 2))):
                with pytest.raises(driver.TamperedError):
                    connection_.verified_get("p", key)
            other.forget_state()
            assert other.verified_state() is None
            assert other.verified_get("p", (2, 2)).row == {"a": 2, "b": 2}
        finally:
            other.close()
            connection.delete_database("elsewhere")


class TestOtherData:
    """Servers of their own, whose files are changed while they are stopped."""

    @pytest.fixture
    def own(self, immudb_program, tmp_path):
        with Server(tmp_path / "own") as server:
            yield server

    @pytest.fixture
    def to(self, tmp_path):
        opened = []

        def to(server, **more):
            # A client that comes by the same name.
            opened.append(
                driver.connect(
                    port=server.port,
                    password=server.password,
                    autocommit=True,
                    states=tmp_path / "states",
                    identity="the server",
                    **more,
                )
            )
            return opened[-1]

        yield to
        for each in opened:
            each.close()

    @pytest.mark.parametrize("later", [0, 1, 40])
    def test_an_older_copy_with_other_transactions(self, own, to, tmp_path, later):
        """Whether it has fewer, as many or more of them."""
        client = to(own)
        client.run("CREATE TABLE t (id INTEGER, v VARCHAR, PRIMARY KEY id)")
        client.run("INSERT INTO t (id, v) VALUES (1, 'old')")
        client.verified_get("t", (1,))
        own.stop()
        copy = Server(tmp_path / "copy")
        shutil.copytree(own.directory, copy.directory)
        own.start()
        for number in range(2, 12):
            client.run("INSERT INTO t (id, v) VALUES (?, 'true')", (number,))
        assert client.verified_get("t", (11,)).row["v"] == "true"
        state = client.verified_state()
        own.stop()
        with copy:
            other = to(copy)
            for number in range(2, 12 + later):
                other.run("INSERT INTO t (id, v) VALUES (?, 'forged')", (number,))
            for number in (1, 5, 11):
                with pytest.raises(driver.TamperedError):
                    other.verified_get("t", (number,))
            with pytest.raises(driver.TamperedError):
                other.verify_table("t")
            assert other.verified_state() == state

    def test_an_older_copy_that_only_forgot(self, own, to, tmp_path):
        client = to(own)
        client.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
        client.run("INSERT INTO t (id) VALUES (1)")
        own.stop()
        copy = Server(tmp_path / "copy")
        shutil.copytree(own.directory, copy.directory)
        own.start()
        client.run("INSERT INTO t (id) VALUES (2)")
        client.verified_get("t", (2,))
        own.stop()
        with copy:
            other = to(copy)
            with pytest.raises(driver.TamperedError, match="any more"):
                other.verified_get("t", (1,))
            # Restored on purpose.
            other.forget_state()
            assert other.verified_get("t", (1,)).row == {"id": 1}

    def test_a_server_s_signature(self, immudb_program, tmp_path, to):
        pytest.importorskip("cryptography", reason="needs the extra immudb-signature")
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        def public(key, path):
            path.write_bytes(
                key.public_key().public_bytes(
                    serialization.Encoding.PEM,
                    serialization.PublicFormat.SubjectPublicKeyInfo,
                )
            )
            return path

        key = ec.generate_private_key(ec.SECP256R1())
        private = tmp_path / "private.pem"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        with Server(tmp_path / "signs", options={"signingKey": private}) as server:
            client = to(server, public_key=public(key, tmp_path / "public.pem"))
            client.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
            client.run("INSERT INTO t (id) VALUES (1)")
            stranger = ec.generate_private_key(ec.SECP256R1())
            other = to(server, public_key=public(stranger, tmp_path / "other.pem"))
            for _ in range(2):
                # Also when the state is known already.
                with pytest.raises(driver.TamperedError, match="signature"):
                    other.verified_get("t", (1,))
                client.run("UPSERT INTO t (id) VALUES (1)")
                assert client.verified_get("t", (1,)).row == {"id": 1}
            client.run("ALTER TABLE t ADD COLUMN n INTEGER")
            assert client.verified_get("t", (1,)).row == {"id": 1, "n": None}
        with Server(tmp_path / "silent") as server:
            client = to(server, public_key=tmp_path / "public.pem")
            client.run("CREATE TABLE t (id INTEGER, PRIMARY KEY id)")
            client.run("INSERT INTO t (id) VALUES (1)")
            client.forget_state()
            with pytest.raises(driver.TamperedError, match="hasn't signed"):
                client.verified_get("t", (1,))
        wrong = ec.generate_private_key(ec.SECP384R1())
        for path in (public(wrong, tmp_path / "wrong.pem"), private, tmp_path / "none"):
            with pytest.raises(driver.InterfaceError):
                to(server, public_key=path)


class TestStates:
    """The file, without a server."""

    MEMORY = states.Memory(State(5, bytes(32)), {})

    def test_it_is_made_for_its_owner_alone(self, path):
        file = states.States(path)
        assert file.load("a") is None
        assert not path.exists()
        assert file.save("a", self.MEMORY, None)
        assert file.load("a") == self.MEMORY
        assert file.load("b") is None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        file.forget("a")
        assert file.load("a") is None

    def test_who_is_slower_is_told(self, path):
        file = states.States(path)
        later = states.Memory(State(6, bytes(32)), {})
        assert file.save("a", self.MEMORY, None)
        assert not file.save("a", self.MEMORY, None)
        assert not file.save("a", later, later)
        assert file.save("a", later, self.MEMORY)
        with pytest.raises(ValueError, match="backwards"):
            file.save("a", self.MEMORY, later)
        assert file.load("a") == later

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            '{"version": 2, "databases": {}}',
            '{"version": 1}',
            '{"version": 1, "databases": {"a": {"tx": 1}}}',
            '{"version": 1, "databases": {"a": {"tx": 0, "hash": "", "tables": {}}}}',
            '{"version": 1, "databases": {"a": 5}}',
        ],
    )
    def test_a_broken_file_is_never_a_new_one(self, path, text):
        path.parent.mkdir()
        path.write_text(text)
        file = states.States(path)
        with pytest.raises(driver.OperationalError, match=r"states\.json"):
            file.load("a")
        with pytest.raises(driver.OperationalError):
            file.save("a", self.MEMORY, None)
        assert path.read_text() == text

    def test_no_place_to_write(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(driver.OperationalError):
            states.States(tmp_path / "file" / "states").save("a", self.MEMORY, None)

    def test_the_default_is_in_the_user_s_state_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert states.States().path == str(
            tmp_path / "django-backendkit" / "immudb-states.json"
        )
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.setenv("HOME", "/home/somebody")
        assert states.default_path().startswith("/home/somebody/.local/state/")

    def test_processes_take_turns(self, path):
        """Each adds one, a hundred times; nothing gets lost."""
        script = f"""
            from backendkit.backends.immudb.driver._proofs import State
            from backendkit.backends.immudb.driver._state import Memory, States

            file = States({str(path)!r})
            for _ in range(50):
                while True:
                    before = file.load("a")
                    tx = 1 if before is None else before.state.tx + 1
                    if file.save("a", Memory(State(tx, bytes(32)), {{}}), before):
                        break
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        running = [subprocess.Popen(command) for _ in range(3)]
        assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
        assert states.States(path).load("a").state.tx == 150
        assert sorted(os.listdir(path.parent)) == ["states.json", "states.json.lock"]

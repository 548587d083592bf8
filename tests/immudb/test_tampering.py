"""
Tampering between the ledger and the client: on the wire, and in the server's files.

What a single answer can be changed to, and a server that was set back, is in
``test_verified``.
"""

import hashlib
import random
import shutil
import threading

import pytest

driver = pytest.importorskip(
    "backendkit.backends.immudb.driver",
    reason="needs the extra immudb",
    exc_type=ImportError,
)
from backendkit.backends.immudb.driver import _proofs as proofs  # noqa: E402  # after the skip
from backendkit.backends.immudb.driver import immudb_pb2 as pb  # noqa: E402  # after the skip
from tests.effort import chance as seeded  # noqa: E402  # after the skip
from tests.effort import examples  # noqa: E402  # after the skip

from .servers import Server  # noqa: E402  # after the skip

FLIPS = examples(test=60, check=200, soak=5000)
READS = examples(test=30, check=120, soak=10_000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "states.json"


@pytest.fixture
def through(proxy, connect, connection, path):
    """A verifying client behind the proxy; a table with some rows."""
    connection.run("CREATE TABLE t (id INTEGER, v VARCHAR, w VARCHAR, PRIMARY KEY id)")
    connection.run("CREATE TABLE other (id INTEGER, v VARCHAR, PRIMARY KEY id)")
    for number in range(1, 8):
        connection.run(
            "INSERT INTO t (id, v, w) VALUES (?, 'the-honest-value', 'w')", (number,)
        )
    return connect(port=proxy.port, states=path, autocommit=True)


def edited(message_class, edit):
    """Return a change that decodes an answer, edits it and encodes it again."""

    def change(data):
        message = message_class.FromString(data)
        edit(message)
        return message.SerializeToString()

    return change


def replaced(old, new):
    return lambda data: data.replace(old, new)


def older(entry):
    entry.sqlEntry.tx -= 1


def swap_names(entry):
    names = entry.ColNamesById
    names[2], names[3] = names[3], names[2]


def other_target(entry):
    header = entry.verifiableTx.dualProof.targetTxHeader
    header.eH = bytes(32)


class TestOnTheWire:
    def test_an_honest_proxy_is_no_lie(self, through, proxy):
        """Errors, too, come as they are."""
        for number in range(1, 8):
            assert through.verified_get("t", (number,)).row["v"] == "the-honest-value"
        through.verify_table("t")
        with pytest.raises(driver.ProgrammingError, match="no row"):
            through.verified_get("t", (99,))
        assert proxy.changed == 0

    @pytest.mark.parametrize("known", [True, False], ids=["known", "first"])
    @pytest.mark.parametrize(
        ("method", "change"),
        [
            ("VerifiableSQLGet", replaced(b"the-honest", b"the-forged")),
            ("VerifiableSQLGet", edited(pb.VerifiableSQLEntry, older)),
            ("VerifiableSQLGet", edited(pb.VerifiableSQLEntry, other_target)),
            ("VerifiableSQLGet", lambda data: b""),
        ],
        ids=["value", "tx", "header", "nothing"],
    )
    def test_an_altered_answer(
        self, through, proxy, connection, path, method, change, known
    ):
        """What was verified before stays, and honest answers are right again."""
        if known:
            through.verified_get("t", (3,))
        state = through.verified_state()

        def lie(name, data):
            return change(data) if name == method else data

        proxy.change = lie
        for _ in range(2):
            with pytest.raises(driver.TamperedError):
                through.verified_get("t", (5,))
        assert proxy.changed >= 2
        assert through.verified_state() == state
        proxy.change = None
        assert through.verified_get("t", (5,)).row["v"] == "the-honest-value"

    def test_names_of_columns_that_are_swapped(self, through, proxy):
        """They are trusted at first sight, unless they were proven before."""
        lie = edited(pb.VerifiableSQLEntry, swap_names)
        proxy.change = lambda name, data: (
            lie(data) if name == "VerifiableSQLGet" else data
        )
        through.verify_table("t")
        with pytest.raises(driver.TamperedError):
            through.verified_get("t", (5,))
        through.forget_state()
        assert through.verified_get("t", (5,)).row["w"] == "the-honest-value"

    def test_plain_queries_believe_it(self, through, proxy):
        """Which is why there are verified ones."""
        proxy.change = lambda name, data: data.replace(b"the-honest", b"the-forged")
        assert through.query("SELECT v FROM t WHERE id = 5").rows == [
            ("the-forged-value",)
        ]
        with pytest.raises(driver.TamperedError):
            through.verified_get("t", (5,))

    def test_another_row_s_answer(self, through, proxy):
        """An answer of before, with its own good proof."""
        kept = {}

        def keep(name, data):
            if name == "VerifiableSQLGet":
                kept.setdefault("answer", data)
            return data

        proxy.change = keep
        through.verified_get("t", (2,))
        proxy.change = lambda name, data: (
            kept["answer"] if name == "VerifiableSQLGet" else data
        )
        with pytest.raises(driver.TamperedError):
            through.verified_get("t", (5,))

    def test_bytes_of_an_answer(self, through, proxy):
        """Any byte of a proof's answer: the row is as it was, or it is an error."""
        honest = through.verified_get("t", (5,))
        state = through.verified_state()
        chance = seeded("flips")

        def flip(name, data):
            if name != "VerifiableSQLGet":
                return data
            changed = bytearray(data)
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            return bytes(changed)

        proxy.change = flip
        tampered = 0
        for _ in range(FLIPS):
            try:
                found = through.verified_get("t", (5,))
            except driver.TamperedError:
                tampered += 1
            except driver.Error as error:
                # It isn't even a message any more: gRPC says so.
                assert not isinstance(error, driver.ProgrammingError)  # noqa: PT017  # one of several kinds
            else:
                assert found == honest
            assert through.verified_state() == state
        assert tampered > FLIPS / 3

    def test_a_change_of_the_catalog(self, through, proxy, connection):
        """The transactions that the catalog is read from are altered."""
        through.verify_table("t")
        connection.run("ALTER TABLE t RENAME COLUMN v TO z")

        def lie(name, data):
            if name != "VerifiableTxById":
                return data
            answer = pb.VerifiableTx.FromString(data)
            for entry in answer.tx.entries:
                entry.value = entry.value.replace(b"z", b"y")
            return answer.SerializeToString()

        proxy.change = lie
        with pytest.raises(driver.TamperedError):
            through.verified_get("t", (5,))
        assert proxy.changed
        proxy.change = None
        assert through.verified_get("t", (5,)).row["z"] == "the-honest-value"

    def test_a_state_of_before(self, through, proxy, connection):
        """A server that pretends to have less than it had shown."""
        through.verify_table("t")
        known = through.verified_state()

        def lie(name, data):
            if name != "CurrentState":
                return data
            state = pb.ImmutableState.FromString(data)
            state.txId -= 2
            return state.SerializeToString()

        proxy.change = lie
        with pytest.raises(driver.TamperedError, match="any more"):
            through.verify_table("t")
        assert through.verified_state() == known


class TestInTheFiles:
    """A server of its own, stopped, its files changed, and started again."""

    @pytest.fixture
    def own(self, immudb_program, tmp_path):
        with Server(tmp_path / "own") as server:
            yield server

    @pytest.fixture
    def client(self, own, path):
        with driver.connect(
            port=own.port, password=own.password, autocommit=True, states=path
        ) as client:
            client.run("CREATE TABLE t (id INTEGER, v VARCHAR, PRIMARY KEY id)")
            for number in range(1, 6):
                client.run(
                    "INSERT INTO t (id, v) VALUES (?, ?)",
                    (number, f"the-honest-value-{number}"),
                )
            yield client

    @staticmethod
    def replace(server, changes, *, without=()):
        """Replace bytes in all files; remove folders that immudb makes anew."""
        found = dict.fromkeys(changes, 0)
        data = server.directory / "data" / "defaultdb"
        for name in without:
            assert list(data.glob(name))
            for folder in data.glob(name):
                shutil.rmtree(folder)
        for file in sorted(data.rglob("*")):
            if not file.is_file():
                continue
            content = before = file.read_bytes()
            for old, new in changes.items():
                found[old] += content.count(old)
                content = content.replace(old, new)
            if content != before:
                file.write_bytes(content)
        return found

    def test_the_server_notices_a_value(self, own, client):
        """Its digest is beside it: a plain query fails, too, and says what it is."""
        client.verified_get("t", (3,))
        state = client.verified_state()
        own.stop()
        found = self.replace(own, {b"the-honest-value-3": b"the-forged-value-3"})
        assert found == {b"the-honest-value-3": 1}
        own.start()
        with pytest.raises(driver.InternalError, match="corrupted"):
            client.query("SELECT v FROM t WHERE id = 3")
        with pytest.raises(driver.InternalError, match="corrupted"):
            client.verified_get("t", (3,))
        assert client.verified_state() == state
        assert client.verified_get("t", (4,)).row["v"] == "the-honest-value-4"

    def test_all_hashes_are_computed_again(self, own, client, path):
        """
        The value, its digest, the transaction's hash: immudb finds nothing wrong, and
        serves it. Who has seen the ledger before knows better.
        """
        found = client.verified_get("t", (5,))
        state = client.verified_state()
        assert state[0] == found.tx
        value = client.verifiable_get("t", (5,)).sqlEntry.value
        answer = client.verifiable_tx(found.tx, since=found.tx)
        header = pb.TxHeader()
        header.CopyFrom(answer.dualProof.targetTxHeader)
        forged = value.replace(b"the-honest", b"the-forged")
        entries = [
            proofs.entry_digest(
                header.version,
                entry.key,
                proofs.sha256(forged)
                if entry.hValue == proofs.sha256(value)
                else entry.hValue,
                proofs.entry_metadata(entry.metadata),
            )
            for entry in answer.tx.entries
        ]
        header.eH = proofs.tree_root(entries)
        changes = {
            value: forged,
            hashlib.sha256(value).digest(): hashlib.sha256(forged).digest(),
            state[1]: proofs.state_of(header).hash,
        }
        own.stop()
        # immudb makes the trees over rows and transactions anew.
        assert all(self.replace(own, changes, without=("aht", "index*")).values())
        own.start()
        forgery = ("the-forged-value-5",)
        assert client.query("SELECT v FROM t WHERE id = 5").rows == [forgery]
        for number in (5, 1):
            with pytest.raises(driver.TamperedError):
                client.verified_get("t", (number,))
        # Also when history goes on from there.
        client.run("INSERT INTO t (id, v) VALUES (6, 'later')")
        for number in (5, 6, 1):
            with pytest.raises(driver.TamperedError):
                client.verified_get("t", (number,))
        with pytest.raises(driver.TamperedError):
            client.verify_table("t")
        assert client.verified_state() == state
        # Who sees it first can't know.
        with driver.connect(
            port=own.port,
            password=own.password,
            autocommit=True,
            states=path.with_name("new"),
        ) as newcomer:
            assert newcomer.verified_get("t", (5,)).row["v"] == forgery[0]


def test_an_honest_server_under_load(connect, connection, path):
    """Many verified reads while others write, none of which raises."""
    connection.run("CREATE TABLE m (id INTEGER, n INTEGER, PRIMARY KEY id)")
    rows = ", ".join(f"({number}, -1)" for number in range(50))
    connection.run(f"INSERT INTO m (id, n) VALUES {rows}")
    over = threading.Event()
    written, failed = [[], []], []

    def write(number):
        # Each its own rows: no conflicts.
        writer, chance, done = (
            connect(autocommit=True),
            random.Random(number),
            written[number],
        )
        try:
            while not over.is_set():
                row = (chance.randrange(25) * 2 + number, len(done))
                done.append(writer.run("UPSERT INTO m (id, n) VALUES (?, ?)", row))
        except BaseException as error:  # noqa: BLE001  # shown by the test itself
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    reader = connect(states=path, autocommit=True)
    for thread in threads:
        thread.start()
    try:
        chance, seen = random.Random(3), 0
        reads = 0
        while reads < READS or min(map(len, written)) < 20:
            assert not failed
            reads += 1
            key = chance.randrange(50)
            found = reader.verified_get("m", (key,))
            assert found.row["id"] == key
            now = reader.verified_state()[0]
            assert now >= max(seen, found.tx)
            seen = now
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not failed

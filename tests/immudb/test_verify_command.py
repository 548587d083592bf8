"""``manage.py immudb_verify``: what is right, what is wrong, what can't be told."""

import contextlib
import datetime
import io
import itertools
import json
import subprocess
import sys
import uuid

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from backendkit.dbdev import ports
from tests.nonrel.databases import Database, default


@pytest.fixture(autouse=True)
def states(tmp_path, monkeypatch):
    """The file in which the states are, new for each test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "django-backendkit" / "immudb-states.json"


@pytest.fixture
def behind(settings_of_database, proxy, database):
    """The default database behind a proxy."""
    with default({**settings_of_database, "PORT": str(proxy.port)}):
        yield Database("immudb")


@pytest.fixture
def item(behind):
    from tests.nonrel.models import Item

    behind.create(Item)
    Item.objects.bulk_create(
        Item(code=f"code-{number}", note="the-honest-note") for number in range(1, 31)
    )
    return Item


@contextlib.contextmanager
def without_terminal():
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        yield errors


def verify(*arguments, **options):
    """Run it; return its exit status and what it printed on both ways."""
    from backendkit.backends.immudb.management.commands.immudb_verify import Command

    out, errors = io.StringIO(), io.StringIO()
    status = 0
    with without_terminal() as terminal:
        try:
            call_command(Command(), *arguments, stdout=out, stderr=errors, **options)
        except SystemExit as done:
            status = done.code
    # What is live is for a terminal.
    assert terminal.getvalue() == ""
    return status, out.getvalue(), errors.getvalue()


def test_all_tables_are_proven(item, connection):
    """Those of other clients and our own, too."""
    connection.run(
        "CREATE TABLE theirs (a INTEGER, u UUID, t TIMESTAMP, j JSON,"
        " PRIMARY KEY (u, a, t))"
    )
    at = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
    for number in range(5):
        connection.run(
            "INSERT INTO theirs (a, u, t, j) VALUES (?, ?, ?, ?)",
            (number, uuid.UUID(int=7), at, '{"b" : 1, "a": [2, 2.50]}'),
        )
    item.objects.filter(pk=5).update(note="changed")
    item.objects.filter(pk=6).delete()
    connection.run("CREATE TABLE bare (id INTEGER, PRIMARY KEY id)")
    status, out, errors = verify()
    assert (status, errors) == (0, "")
    first, *lines = out.splitlines()
    assert first.startswith("First contact: ")
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        "backendkit_journal",
        "backendkit_meta",
        "backendkit_numbers",
        "backendkit_tables",
        "bare",
        "nonrel_item",
        "theirs",
    ]
    assert "nonrel_item: 29 rows" in lines
    assert "theirs: 5 rows" in lines
    assert lines[-1].startswith("Verified 37 rows of 7 tables, as of transaction ")


def test_json(item, states):
    status, out, _ = verify("--json")
    assert status == 0
    found = json.loads(out)
    assert found["database"] == "default"
    assert found["broken"] is None
    (table,) = (one for one in found["tables"] if one["table"] == "nonrel_item")
    assert (table["rows"], table["differences"]) == (30, 0)
    assert table["as_of"] == found["state"]["tx"] == found["transactions_proven"]
    assert found["signature"] == {"key": None, "checked": False}
    assert found["known_state"] is found["checkpoint"] is None
    assert "no state of it was known" in found["not_proven"][0]
    (remembered,) = json.loads(states.read_text())["databases"].values()
    assert found["state"] == {"tx": remembered["tx"], "hash": remembered["hash"]}


def lying(method, old, new):
    return lambda name, data: data.replace(old, new) if name == method else data


@pytest.mark.check
def test_a_transaction_that_is_not_that_of_history(item, proxy):
    """Nothing can be compared with it; it is named."""
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

    item.objects.filter(pk=17).update(note="the-other-note")
    assert verify()[0] == 0

    def lie(name, data):
        if name != "TxScan":
            return data
        answer = pb.TxList.FromString(data)
        answer.txs[2].entries[0].hValue = bytes(32)
        return answer.SerializeToString()

    proxy.change = lie
    status, out, errors = verify()
    assert (status, out) == (1, "")
    assert "contradicts what was verified before: transaction 3: " in errors
    status, out, errors = verify("--json")
    assert (status, errors) == (1, "")
    broken = json.loads(out)["broken"]
    assert (broken["kind"], broken["table"]) == ("history", None)
    proxy.change = None
    assert verify()[0] == 0


def test_a_row_that_is_read_wrong(item, proxy):
    """Its proof is good: that isn't what the query gave."""
    item.objects.filter(pk=17).update(note="the-other-note")
    proxy.change = lying("SQLQuery", b"the-other-note", b"the-false-note")
    status, _, errors = verify()
    assert status == 1
    assert errors.startswith(
        "nonrel_item: row 17: note: the server returned other values than transaction "
    )


@pytest.mark.check
def test_a_row_that_was_never_written(item, proxy):
    """It is read, and there is no proof of it, not of another time either."""
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

    def lie(name, data):
        answer = pb.SQLQueryResult()
        if name == "SQLQuery":
            answer.ParseFromString(data)
            for place, encoded in enumerate(answer.rows):
                row = pb.Row.FromString(encoded)
                if b"code-30" in row.values[1]:
                    row.values[0] = pb.SQLValue(n=33).SerializeToString()
                    answer.rows[place] = row.SerializeToString()
        return answer.SerializeToString() or data

    proxy.change = lie
    status, _, errors = verify()
    assert status == 1
    assert errors.startswith(
        "nonrel_item: row 30: the server left out the row that transaction "
    )
    assert errors.splitlines()[1] == (
        "nonrel_item: row 33: the server returned a row that no transaction wrote"
    )


@pytest.mark.check
def test_a_table_that_looks_another_way(item, proxy):
    from backendkit.backends.immudb.driver import immudb_pb2 as pb

    def lie(name, data):
        if name != "VerifiableTxById":
            return data
        answer = pb.VerifiableTx.FromString(data)
        for entry in answer.tx.entries:
            entry.value = entry.value.replace(b"note", b"etno")
        return answer.SerializeToString()

    proxy.change = lie
    status, out, errors = verify()
    assert status == 1
    assert "Verified" not in out
    assert "another value of an entry" in errors


def test_damage_that_the_server_finds(database, tmp_path):
    """It stops reading at a row, which is named."""
    from backendkit.backends.immudb import driver

    from .servers import Server

    with Server(tmp_path / "own") as server:
        with driver.connect(
            port=server.port, password=server.password, autocommit=True
        ) as client:
            client.run("CREATE TABLE t (id INTEGER, v VARCHAR, PRIMARY KEY id)")
            for number in range(2, 40, 2):
                client.run(
                    "INSERT INTO t (id, v) VALUES (?, ?)", (number, f"value-{number}")
                )
        settings = {
            "ENGINE": "backendkit.backends.immudb",
            "NAME": "defaultdb",
            "PORT": server.port,
            "PASSWORD": server.password,
        }
        with default(settings):
            assert verify()[0] == 0
        server.stop()
        changed = 0
        for file in (server.directory / "data" / "defaultdb").rglob("*"):
            if file.is_file() and b"value-18" in (data := file.read_bytes()):
                changed += 1
                file.write_bytes(data.replace(b"value-18", b"value-81"))
        assert changed
        server.start()
        with default(settings):
            status, _, errors = verify()
        assert status == 1
        assert errors.startswith("t: row 18: the server can't read it: ")


@pytest.mark.check
def test_rows_that_go_while_it_runs(item, connection, proxy):
    """What is deleted meanwhile isn't missing, and what is changed is proven as it is."""
    done = []

    def meanwhile(name, data):
        # The rows are on their way when others write.
        if name == "SQLQuery" and b"code-30" in data and not done:
            done.append(True)
            connection.run("DELETE FROM nonrel_item WHERE id = 20")
            connection.run("UPDATE nonrel_item SET number = 7 WHERE id = 21")
        return data

    proxy.change = meanwhile
    status, out, _ = verify()
    assert done
    assert status == 0
    assert "nonrel_item: 30 rows" in out


class TestModels:
    """In a project with applications."""

    @pytest.fixture(autouse=True)
    def _applications(self):
        with override_settings(
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.sessions"]
        ):
            yield

    def test_some(self, behind):
        from django.contrib.contenttypes.models import ContentType

        behind.create(ContentType)
        ContentType.objects.create(app_label="a", model="b")
        status, out, _ = verify("contenttypes.ContentType", "contenttypes.contenttype")
        assert status == 0
        _, first, last = out.splitlines()
        assert first == "django_content_type: 1 row"
        assert last.startswith("Verified 1 row of 1 table,")

    @pytest.mark.parametrize(
        ("label", "message"),
        [
            (
                "nope.Model",
                "nope.Model isn't the label of a model, such as app.Model. No installed app",
            ),
            ("contenttypes.Nope", "contenttypes.Nope isn't the label of a model"),
            (
                "contenttypes",
                "contenttypes isn't the label of a model, such as app.Model.",
            ),
            ("sessions.Session", "sessions.Session has no table django_session in"),
        ],
    )
    def test_unknown_ones(self, behind, label, message):
        with pytest.raises(CommandError, match=message) as caught:
            verify(label)
        assert caught.value.returncode == 2

    def test_one_that_is_kept_elsewhere(self, behind):
        class Router:
            def allow_migrate(self, db, app_label, **hints):
                return app_label != "sessions"

        with (
            override_settings(DATABASE_ROUTERS=[Router()]),
            pytest.raises(CommandError, match=r"sessions.Session isn't kept in"),
        ):
            verify("sessions.Session")


def test_other_databases(database, tmp_path):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    with default(settings), pytest.raises(CommandError, match="isn't one of immudb"):
        verify()
    with pytest.raises(CommandError, match="DATABASES has no alias 'nope'"):
        verify(database="nope")


def test_no_server(settings_of_database, database, tmp_path):
    settings = {**settings_of_database, "PORT": str(ports.choose(str(tmp_path)))}
    with default(settings), pytest.raises(CommandError, match="immudb at") as caught:
        verify()
    assert caught.value.returncode == 2


def test_states_that_cannot_be_read(item, states):
    """A broken file is not a new one."""
    states.parent.mkdir(parents=True)
    states.write_text("{")
    with pytest.raises(CommandError, match=r"states\.json"):
        verify()


class TestCheckpoint:
    """The next run goes on where the last one was."""

    @pytest.fixture
    def checkpoint(self, tmp_path):
        return tmp_path / "checkpoint"

    def run(self, checkpoint, *more):
        status, out, errors = verify("--json", "--checkpoint", str(checkpoint), *more)
        return status, json.loads(out), errors

    def test_only_what_is_new_is_proven(self, item, checkpoint):
        status, first, _ = self.run(checkpoint)
        assert status == 0
        assert first["checkpoint"] is None
        assert checkpoint.stat().st_mode & 0o777 == 0o600
        item.objects.filter(pk=5).update(note="changed")
        item.objects.filter(pk=6).delete()
        status, second, _ = self.run(checkpoint)
        assert status == 0
        assert second["checkpoint"] == second["known_state"] == first["state"]
        assert second["state"]["tx"] == first["state"]["tx"] + 2
        assert second["transactions_proven"] == 2
        rows = {one["table"]: one["rows"] for one in second["tables"]}
        assert rows["nonrel_item"] == 29
        assert self.run(checkpoint)[1]["transactions_proven"] == 0
        assert [one.name for one in checkpoint.parent.glob(".*")] == []

    def test_rows_of_before_are_compared(self, item, checkpoint, proxy):
        """And it is kept, since what was proven is right."""
        assert self.run(checkpoint)[0] == 0
        item.objects.filter(pk=5).update(note="the-other-note")
        proxy.leave_out("nonrel_item", 16)
        status, found, _ = self.run(checkpoint)
        assert status == 1
        assert found["transactions_proven"] == 1
        (one,) = found["differences"]
        assert (one["kind"], one["primary_key"]) == ("hidden", [17])
        proxy.honest()
        status, found, _ = self.run(checkpoint)
        assert (status, found["transactions_proven"]) == (0, 0)

    def test_history_that_is_not_proven(self, item, checkpoint, proxy):
        """The old one stays."""
        assert self.run(checkpoint)[0] == 0
        before = checkpoint.read_bytes()
        item.objects.filter(pk=5).update(note="the-other-note")
        proxy.change = lambda name, data: data[:-9] if name == "TxScan" else data
        status, found, _ = self.run(checkpoint)
        assert (status, found["state"], found["tables"]) == (1, None, [])
        assert checkpoint.read_bytes() == before

    def test_the_state_is_lost(self, item, checkpoint, states, proxy, connection):
        """The checkpoint's is proven to be the beginning of what is there."""
        old = connection.state()
        item.objects.filter(pk=5).update(note="changed")
        assert self.run(checkpoint)[0] == 0
        states.unlink()
        proxy.pretend_last(old)
        status, found, _ = self.run(checkpoint)
        assert status == 1
        assert "the server has no transaction" in found["broken"]["problem"]
        proxy.honest()
        status, found, _ = self.run(checkpoint)
        assert (status, found["known_state"]) == (0, None)
        assert "no state" not in found["not_proven"][0]

    @pytest.mark.parametrize("known", [True, False], ids=["known", "forgotten"])
    def test_another_history(self, item, checkpoint, proxy, states, known):
        """A database that was made again: it isn't the one of the checkpoint."""
        from backendkit.backends.immudb.auditing import checkpoint as files

        assert self.run(checkpoint)[0] == 0
        (name,) = json.loads(states.read_text())["databases"]
        history = files.load(str(checkpoint), name)
        with history.versions:
            history.state = type(history.state)(history.state.tx, bytes(32))
            files.save(str(checkpoint), name, history)
        if not known:
            states.unlink()
        status, found, _ = self.run(checkpoint)
        assert status == 1
        problem = found["broken"]["problem"]
        assert "was made of another history than the database has" in problem
        assert "remove the checkpoint" in problem
        assert found["tables"] == []

    def test_of_another_database(self, item, checkpoint, states):
        assert self.run(checkpoint)[0] == 0
        settings = connections["default"].settings_dict
        options = {**settings["OPTIONS"], "identity": "other"}
        with default({**settings, "OPTIONS": options}):
            with pytest.raises(CommandError) as caught:
                self.run(checkpoint)
        assert caught.value.returncode == 2
        assert "is a checkpoint of" in str(caught.value)

    @pytest.mark.parametrize(
        "damage", ["empty", "text", "short", "long", "byte", "newer", "folder"]
    )
    def test_damaged(self, item, checkpoint, damage):
        assert self.run(checkpoint)[0] == 0
        content = checkpoint.read_bytes()
        place = len(content) * 2 // 3
        checkpoint.unlink()
        if damage == "folder":
            checkpoint.mkdir()
        else:
            checkpoint.write_bytes(
                {
                    "empty": b"",
                    "text": b"{}",
                    "short": content[:-1],
                    "long": content + b"\0",
                    "byte": content[:place]
                    + bytes([content[place] ^ 4])
                    + content[place + 1 :],
                    "newer": content.replace(b'"format": 1', b'"format": 2', 1),
                }[damage]
            )
        with pytest.raises(CommandError) as caught:
            self.run(checkpoint)
        assert caught.value.returncode == 2
        expected = {"newer": "only a newer version", "folder": "can't be written"}
        message = expected.get(damage, "isn't a checkpoint, or is damaged")
        assert message in str(caught.value)
        assert str(checkpoint) in str(caught.value)


@pytest.mark.parametrize("what", ["rows", "list"])
def test_definitions_that_change_all_the_time(item, connection, proxy, what):
    """An honest server isn't accused: it can't be told."""
    numbers = itertools.count()

    def meanwhile(name, data):
        if name == "SQLQuery" and what == "rows" and b"(nonrel_item." in data:
            connection.run(
                f"ALTER TABLE nonrel_item ADD COLUMN c{next(numbers)} INTEGER"
            )
            return data.replace(b"code-7", b"CODE-7")
        if name == "UnarySQLQuery" and what == "list" and b"nonrel_item" in data:
            connection.run(
                f"CREATE TABLE t{next(numbers)} (id INTEGER, PRIMARY KEY id)"
            )
            return data.replace(b"nonrel_item", b"nonrel_itex")
        return data

    proxy.change = meanwhile
    with pytest.raises(CommandError, match="changed all the time") as caught:
        verify()
    assert caught.value.returncode == 2
    expected = {"rows": "the rows of nonrel_item", "list": "the list of tables"}
    assert expected[what] in str(caught.value)
    assert next(numbers) >= 10


class TestReport:
    """What an auditor gets."""

    def test_page(self, item, tmp_path, proxy):
        from html.parser import HTMLParser

        item.objects.filter(pk=17).update(note="the-other-note")
        page = tmp_path / "report.html"
        status, out, _ = verify("--html", str(page))
        assert status == 0
        assert "Verified" in out
        text = page.read_text("utf-8")
        state = json.loads(verify("--json")[1])["state"]
        assert "answers are what the proven history says." in text
        assert f"<strong>{state['tx']}</strong>" in text
        assert state["hash"] in text
        assert "the server doesn&#x27;t sign its states" in text
        assert "no state of it was known" in text
        proxy.leave_out("nonrel_item", 16)
        status, _, _ = verify("--html", str(page))
        assert status == 1
        text = page.read_text("utf-8")
        assert "answers contradict the proven history." in text
        assert "<td>nonrel_item</td><td>17</td>" in text

        class Links(HTMLParser):
            found = ()

            def handle_starttag(self, tag, attributes):
                self.found += tuple(
                    value
                    for name, value in attributes
                    if name in ("src", "href") and not value.startswith("data:")
                )

        links = Links()
        links.feed(text)
        assert links.found == ()

    def test_everything_is_escaped(self, connection, proxy, behind, tmp_path):
        """Keys of rows are anybody's text."""
        connection.run("CREATE TABLE t (k VARCHAR[90], PRIMARY KEY k)")
        connection.run("INSERT INTO t (k) VALUES ('<script>alert(1)</script>&')")
        proxy.leave_out("t", 0)
        page, document = tmp_path / "report.html", tmp_path / "report.json"
        status, _, errors = verify("--html", str(page), "--json", str(document))
        assert status == 1
        assert "left out" in errors
        text = page.read_text("utf-8")
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in text
        (one,) = json.loads(document.read_text("utf-8"))["differences"]
        assert one["primary_key"] == ["<script>alert(1)</script>&"]

    def test_what_is_not_compared(self, connection, behind, tmp_path, item):
        """Entries of other clients, and tables that nobody asked for."""
        with override_settings(INSTALLED_APPS=["django.contrib.contenttypes"]):
            from django.contrib.contenttypes.models import ContentType

            behind.create(ContentType)
            found = json.loads(verify("contenttypes.ContentType", "--json")[1])
        assert [one["table"] for one in found["tables"]] == ["django_content_type"]
        (omitted,) = (one for one in found["not_proven"] if "weren't compared" in one)
        assert "nonrel_item" in omitted

    @pytest.mark.parametrize("option", ["--json", "--html", "--checkpoint"])
    def test_a_file_that_cannot_be_written(self, database, tmp_path, option):
        """That is said before anything is proven."""
        with pytest.raises(CommandError, match="can't be written") as caught:
            verify(option, str(tmp_path / "missing" / "file"))
        assert caught.value.returncode == 2


def test_it_is_a_command_of_the_application(settings_of_database, states, item):
    program = f"""
import sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["backendkit.backends.immudb"],
    DATABASES={{"default": {settings_of_database!r}}},
)
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "immudb_verify", "--json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["broken"] is None
    # Django's default logging has no handler for it: Python's goes to stderr.
    assert done.stderr.startswith(b"First contact with ")
    assert done.stderr.count(b"\n") == 1
    assert states.exists()

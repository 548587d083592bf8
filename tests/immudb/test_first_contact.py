"""What a client has verified: none at all, another client's, and after a migration."""

import io
import json
import logging

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, models

from backendkit.backends.immudb import apps, driver, ledger
from backendkit.backends.immudb.management.commands import immudb_state, immudb_verify
from tests.effort import effort
from tests.nonrel.models import Registry

from .ledger_models import Author


@pytest.fixture
def states(tmp_path):
    return tmp_path / "states.json"


@pytest.fixture(autouse=True)
def tables(database, states):
    database.set_options(state=states)
    database.create(Author)
    Author.objects.create(name="a")


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.WARNING, "backendkit.immudb")
    return lambda: [
        record.getMessage()
        for record in caplog.records
        if record.name == "backendkit.immudb"
    ]


def run(command, *arguments, **options):
    out = io.StringIO()
    call_command(command.Command(), *arguments, stdout=out, **options)
    return out.getvalue()


def refused(command, *arguments, **options):
    """Return the exit status of a command, and its message."""
    with pytest.raises(CommandError) as caught:
        run(command, *arguments, **options)
    return caught.value.returncode, str(caught.value)


def last_tx():
    connection.ensure_connection()
    with connection.connection.store.other() as other:
        return other.state().txId


#: How a state is lost.
LOST = [
    pytest.param(lambda states: states.unlink(), id="gone"),
    pytest.param(
        lambda states: states.write_text('{"version": 1, "databases": {}}'),
        id="emptied",
        marks=pytest.mark.check,
    ),
]


class TestNothingIsKnown:
    @pytest.mark.parametrize("lose", LOST)
    def test_it_is_said_once(self, said, states, lose):
        author = Author.objects.get()
        for number in range(1, 3):
            ledger.verify(author)
            ledger.verify(author)
            list(Author.objects.verified())
            assert len(said()) == number
            assert "First contact" in said()[-1]
            assert str(states) in said()[-1]
            lose(states)

    @pytest.mark.check
    def test_what_proves_nothing_says_nothing(self, said, states):
        assert Author.objects.count() == 1
        assert list(Author.objects.history())
        with pytest.raises(ledger.NotInLedgerError):
            ledger.verify(Author(pk=99))
        assert said() == []
        assert not states.exists()

    @pytest.mark.parametrize("lose", LOST)
    def test_it_is_an_error_where_a_state_is_required(self, database, states, lose):
        author = Author.objects.get()
        states.write_text("")
        lose(states)
        database.set_options(state=states, require_state=True)
        before = states.read_bytes() if states.exists() else None
        for ask in (
            lambda: ledger.verify(author),
            lambda: list(Author.objects.verified()),
        ):
            with pytest.raises(OperationalError, match="require_state is set"):
                ask()
        assert refused(immudb_verify)[0] == 2
        assert (states.read_bytes() if states.exists() else None) == before
        database.set_options(state=states, require_state=False)
        ledger.verify(author)
        database.set_options(state=states, require_state=True)
        assert ledger.verify(author)
        assert list(Author.objects.verified()) == [author]

    def test_the_command(self, said):
        status, message = refused(immudb_verify, "--require-state")
        assert status == 2
        assert "no verified state" in message
        assert said() == []
        assert run(immudb_verify).startswith("First contact: ")
        assert "First contact" not in run(immudb_verify, "--require-state")
        assert "first_contact" not in run(immudb_verify, "--json")

    @pytest.mark.check
    def test_the_driver(self, arguments, states):
        with pytest.raises(driver.InterfaceError, match="require_state"):
            driver.connect(**arguments, require_state="yes")
        with (
            driver.connect(**arguments, states=states, require_state=True) as strict,
            pytest.raises(driver.OperationalError, match="immudb_state"),
        ):
            strict.verify_table("ledger_author")


class TestStatesOfOthers:
    @pytest.fixture
    def exported(self, tmp_path, states):
        """A file with an early state; the client has forgotten it."""
        path = tmp_path / "exported.json"
        ledger.verify(Author.objects.get())
        run(immudb_state, "export", str(path))
        states.unlink()
        return path

    def test_there_and_back(self, exported, states, said, database):
        document = json.loads(exported.read_text())
        assert "no verified state" in run(immudb_state, "show")
        database.set_options(state=states, require_state=True)
        assert "this client had none" in run(immudb_state, "import", str(exported))
        assert said()[1:] == []  # the one before it was exported
        shown = run(immudb_state, "show")
        assert document["hash"] in shown
        assert f"transaction {document['tx']}" in shown
        Author.objects.create(name="b")
        for author in Author.objects.verified():
            assert ledger.verify(author)

    def test_a_newer_and_an_older_one(self, exported, tmp_path):
        old = json.loads(exported.read_text())
        made = Author.objects.create(name="b")
        ledger.verify(made)
        newer = tmp_path / "newer.json"
        run(immudb_state, "export", str(newer))
        assert "isn't an earlier one" in run(immudb_state, "import", str(exported))
        assert f"transaction {json.loads(newer.read_text())['tx']}" in run(
            immudb_state, "show"
        )
        with connection.connection.store.other() as other:
            other.forget_state()
        run(immudb_state, "import", str(exported))
        assert f"had verified transaction {old['tx']}" in run(
            immudb_state, "import", str(newer)
        )
        # What is known of tables was kept, and proofs go on from there.
        assert ledger.verify(made)

    @pytest.mark.parametrize(
        "known", [pytest.param(False, marks=pytest.mark.check), True]
    )
    def test_one_of_another_history(self, exported, states, known):
        """A server that was set back, a fork: nothing is changed."""
        if known:
            ledger.verify(Author.objects.create(name="b"))
        before = states.read_bytes() if known else None
        document = json.loads(exported.read_text())
        for change in {"hash": "0" * 64}, {"tx": 10**6}, {"tx": 1}:
            exported.write_text(json.dumps({**document, **change}))
            status, message = refused(immudb_state, "import", str(exported))
            assert status == 1
            assert "can't prove" in message
            assert (states.read_bytes() if known else None) == before
            assert known or not states.exists()

    @pytest.mark.check
    def test_one_of_another_database(self, exported, states):
        document = json.loads(exported.read_text())
        exported.write_text(json.dumps({**document, "database": "other"}))
        status, message = refused(immudb_state, "import", str(exported))
        assert status == 2
        assert "a state of the database 'other'" in message
        assert not states.exists()

    def test_files_that_are_none(self, exported, states, tmp_path):
        document = json.loads(exported.read_text())
        whole = exported.read_text()
        for text in (
            "",
            "[]",
            "null",
            whole[:-5],
            whole + " " * 200_000 + "x",
            "[" * 50_000,
            "9" * 10_000,
            whole.replace('"tx"', '"tx": 1, "tx"'),
            *(
                json.dumps({**document, **change})
                for change in (
                    {"format": "other"},
                    {"version": 2},
                    {"version": True},
                    {"more": 1},
                    {"tx": 0},
                    {"tx": True},
                    {"tx": 1.0},
                    {"tx": 2**63},
                    {"tx": "5"},
                    {"hash": "F" * 64},
                    {"hash": "0" * 62},
                    {"hash": None},
                    {"database": None},
                )
            ),
            *(
                json.dumps({k: v for k, v in document.items() if k != name})
                for name in document
            ),
        ):
            exported.write_text(text)
            status, message = refused(immudb_state, "import", str(exported))
            assert status == 2
            assert str(exported) in message
        exported.write_bytes(b"\xff\xfe")
        assert refused(immudb_state, "import", str(exported))[0] == 2
        assert refused(immudb_state, "import", str(tmp_path / "none"))[0] == 2
        assert not states.exists()

    @pytest.mark.check
    def test_nothing_is_overwritten(self, exported, tmp_path):
        assert "has no verified state" in refused(
            immudb_state, "export", str(tmp_path / "new")
        )[1].replace("\n", " ")
        ledger.verify(Author.objects.get())
        before = exported.read_bytes()
        status, message = refused(immudb_state, "export", str(exported))
        assert status == 2
        assert "exists" in message
        assert exported.read_bytes() == before
        assert refused(immudb_state, "export")[0] == 2
        assert refused(immudb_state, "show", "file")[0] == 2


class TestMigrations:
    @staticmethod
    def model(**fields):
        class Thing(models.Model):
            class Meta:
                app_label = "moved"
                apps = Registry()

        for name, field in fields.items():
            Thing.add_to_class(name, field)
        return Thing

    def test_a_read_after_a_migration_walks_no_log(self, calls):
        narrow = self.model()
        with connection.schema_editor() as editor:
            editor.create_model(narrow)
        thing = narrow.objects.create()
        ledger.verify(thing)
        ledger.verify(Author.objects.get())
        for _ in range(effort(test=20, soak=500)):
            Author.objects.create(name="b")
        wide = self.model(number=models.IntegerField(null=True))
        field = wide._meta.get_field("number")
        with connection.schema_editor() as editor:
            editor.add_field(wide, field)
        apps.follow_tables(using="default")
        calls.clear()
        assert ledger.verify(wide.objects.get()).fields == ("id", "number")
        assert ledger.verify(Author.objects.first())
        assert list(ledger.verified(wide.objects.all())) == [wide(pk=thing.pk)]
        assert not {"VerifiableTxById", "TxScan"} & set(calls)

        # It is dropped, later made again with other columns, and that is noticed.
        with connection.schema_editor() as editor:
            editor.delete_model(wide)
        apps.follow_tables(using="default")
        other = self.model(text=models.TextField())
        with connection.schema_editor() as editor:
            editor.create_model(other)
        apps.follow_tables(using="default")
        assert ledger.verify(other.objects.create(text="x")).fields == ("id", "text")

    @pytest.mark.check
    def test_tables_that_exchange_their_names(self):
        one, two = self.model(a=models.IntegerField()), self.model()
        one._meta.db_table, two._meta.db_table = "moved_one", "moved_two"
        with connection.schema_editor() as editor:
            editor.create_model(one)
            editor.create_model(two)
        ledger.verify(one.objects.create(a=1))
        with connection.schema_editor() as editor:
            editor.delete_model(one)
            editor.alter_db_table(two, "moved_two", "moved_one")
        two._meta.db_table = "moved_one"
        apps.follow_tables(using="default")
        assert ledger.verify(two.objects.create()).fields == ("id",)

    @pytest.mark.check
    def test_nothing_is_asked_for_if_nothing_is_known(self, calls, states):
        connection.ensure_connection()
        calls.clear()
        apps.follow_tables(using="default")
        assert not states.exists()
        assert calls == []

    @pytest.mark.check
    def test_a_file_of_another_user(self, said, states):
        ledger.verify(Author.objects.get())
        states.write_text("{")
        apps.follow_tables(using="default")
        assert "next verified reads will do it" in said()[-1]

    def test_a_server_that_was_set_back(self, states):
        ledger.verify(Author.objects.get())
        text = states.read_text()
        (found,) = json.loads(text)["databases"].values()
        states.write_text(text.replace(found["hash"], "0" * 64))
        Author.objects.create(name="b")
        with pytest.raises(ledger.TamperedError):
            apps.follow_tables(using="default")

    def test_migrate_does_it(self, monkeypatch):
        from django.apps import apps as applications
        from django.db.models.signals import post_migrate

        done = []
        monkeypatch.setattr(
            driver.Connection, "follow_tables", lambda self: done.append(1)
        )
        config = apps.ImmudbConfig.create("backendkit.backends.immudb")
        config.ready()
        try:
            post_migrate.send(sender=config, using="default", apps=applications)
        finally:
            post_migrate.disconnect(apps.follow_tables, sender=config)
        assert done == [1]

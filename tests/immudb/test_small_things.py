"""Passwords in error pages, names with percent signs, and immudb's own functions."""

import contextlib
import sys
import traceback

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from django.core.management import call_command
from django.db import (
    NotSupportedError,
    ProgrammingError,
    connection,
    connections,
    models,
)
from django.test.utils import CaptureQueriesContext
from django.views.debug import ExceptionReporter

from backendkit.backends.immudb import driver, ledger
from tests.nonrel.databases import default
from tests.nonrel.models import Registry


class TestPasswords:
    """No frame of an error shows them, and neither does Django's page."""

    PASSWORD = "pass-5f3a-word"

    def shown(self, error):
        """Everything that a page of an error might show."""
        parts, seen = [], set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            parts += map(repr, error.args)
            for frame, _ in traceback.walk_tb(error.__traceback__):
                # That of the test has it itself.
                if frame.f_code.co_filename != __file__:
                    parts += map(repr, frame.f_locals.values())
                    for value in frame.f_locals.values():
                        # Django's own connections have the settings; their repr() doesn't
                        # show them.
                        inner = dict(getattr(value, "__dict__", {}))
                        inner.pop("settings_dict", None)
                        parts += map(repr, inner.values())
            error = error.__cause__ or error.__context__
        return "\n".join(parts)

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"PORT": "1"},
            {"PORT": "none"},
            {"NAME": "nowhere"},
            {"USER": "nobody"},
            {"USER": "\ud800"},
            {"OPTIONS": {"ca": "/nowhere"}},
            {"OPTIONS": {"state": 5}},
            {"OPTIONS": {"other": 5}},
            {"OPTIONS": {"timeout": -1}},
            {"OPTIONS": {"transaction_mode": "other"}},
            {"PASSWORD": b"pass-5f3a-word"},
            {"PASSWORD": ["pass-5f3a-word"]},
            {"PASSWORD": "pass-5f3a-word\0"},
        ],
        ids=str,
    )
    @pytest.mark.usefixtures("database")
    def test_a_connection_that_fails(self, settings_of_database, change):
        settings = {**settings_of_database, "PASSWORD": self.PASSWORD, **change}
        options = {"connect_timeout": 2, **settings.get("OPTIONS", {})}
        with default({**settings, "OPTIONS": options}):
            try:
                connections["default"].cursor()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is shown
                found = self.shown(error)
                reporter = ExceptionReporter(None, *sys.exc_info())
                frames = reporter.get_traceback_frames()
            else:
                pytest.fail("it was connected")
        assert self.PASSWORD not in found
        # As Django's page has them, without this test's own.
        shown = [one["vars"] for one in frames if one["filename"] != __file__]
        assert shown
        assert self.PASSWORD not in str(shown)

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"port": 1},
            {"port": "x"},
            {"ca": "/nowhere"},
            {"cert": "/nowhere"},
            {"public_key": __file__},
        ],
        ids=str,
    )
    def test_the_driver(self, arguments, change):
        given = {**arguments, "password": self.PASSWORD, "connect_timeout": 2, **change}
        with pytest.raises(driver.Error) as caught:
            driver.connect(**given)
        assert self.PASSWORD not in self.shown(caught.value)

    def test_the_settings_stay_as_they_are(self, database):
        """Others write them to files and give them to processes."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        right = connection.settings_dict["PASSWORD"]
        assert type(right) is str
        assert repr(right) in repr(connection.settings_dict)
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT 1")
        with connection.connection.store.other() as other:
            assert right not in repr(other._link.settings)
            assert right not in repr(connection.connection.store._options)


class TestPercentSigns:
    @pytest.fixture
    def thing(self, database):
        class Thing(models.Model):
            share = models.IntegerField(db_column="100%", null=True)
            text = models.CharField(
                db_column="% of", max_length=20, default="x", db_index=True
            )

            class Meta:
                app_label = "percent"
                apps = Registry()
                db_table = "p 5%"

        with connection.schema_editor() as editor:
            editor.create_model(Thing)
        return Thing

    @pytest.mark.parametrize("debug", [False, True])
    def test_queries(self, thing, debug):
        """With DEBUG, too: statements are logged with their parameters then."""
        with CaptureQueriesContext(connection) if debug else contextlib.nullcontext():
            self.ask(thing)
        if debug:
            start = 'SELECT id, "100%" FROM "p 5%" WHERE "100%" > 4'
            assert any(one["sql"].startswith(start) for one in connection.queries)

    def ask(self, thing):
        one, two = thing.objects.create(share=1, text="ab"), thing(share=2)
        thing.objects.bulk_create([two, thing(share=30, text="50%")])
        found = thing.objects
        assert found.get(share=1).text == "ab"
        assert found.filter(share__gt=1, text__startswith="x").get() == two
        assert found.get(text__contains="0%").share == 30
        assert found.get(text__icontains="AB", share__in=[1, 2]) == one
        ordered = found.order_by("-share", "text").values_list("share", flat=True)
        assert list(ordered) == [30, 2, 1]
        assert list(ordered[1:2]) == [2]
        assert found.aggregate(models.Sum("share")) == {"share__sum": 33}
        assert found.filter(share=1).update(share=models.F("share") + 4) == 1
        sql = 'SELECT id, "100%%" FROM "p 5%%" WHERE "100%%" > %s'
        assert [row.share for row in found.raw(sql, [4])] == [5, 30]
        named = 'SELECT id, "100%" FROM "p 5%" WHERE "100%" > %(least)s'
        assert [row.share for row in found.raw(named, {"least": 4})] == [5, 30]
        assert len(list(found.raw('SELECT id, "100%" FROM "p 5%"'))) == 3
        with connection.cursor() as cursor:
            cursor.execute('SELECT MAX("100%") FROM "p 5%"')
            assert cursor.fetchone() == (30,)
        assert found.filter(share=2).delete()[0] == 1

    def test_the_schema_and_the_ledger(self, thing, capsys):
        made = thing.objects.create(share=1)
        thing.objects.filter(share=1).update(share=2)
        assert [one.instance.share for one in ledger.history(thing, made.pk)] == [1, 2]
        assert ledger.verify(thing.objects.get()).instance.share == 2
        call_command("inspectdb", "p 5%")
        assert "db_column='100%'" in capsys.readouterr().out
        more = models.IntegerField(db_column="more%", default=7)
        more.set_attributes_from_name("more")
        more.model = thing
        renamed = models.BigIntegerField(db_column="99%", default=3)
        renamed.set_attributes_from_name("share")
        renamed.model = thing
        with connection.schema_editor() as editor:
            editor.add_field(thing, more)
            editor.add_index(thing, models.Index(fields=["share"], name="by_share"))
        with connection.cursor() as cursor:
            cursor.execute('SELECT "100%", "more%" FROM "p 5%"')
            assert cursor.fetchall() == [(2, 7)]
        with connection.schema_editor() as editor:
            editor.alter_field(thing, thing._meta.get_field("share"), renamed)
        with connection.cursor() as cursor:
            cursor.execute('SELECT t."99%" FROM "p 5%" t')
            assert cursor.fetchall() == [(2,)]


class TestServerTables:
    def ask(self, sql, parameters=None):
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return [column[0] for column in cursor.description], cursor.fetchall()

    def test_they_say_what_the_server_says(self, database, shared):
        shared.run("CREATE TABLE theirs (id INTEGER, n VARCHAR[7], PRIMARY KEY id)")
        shared.run("CREATE INDEX ON theirs (n)")
        for function, argument in (
            ("TABLES", ""),
            ("DATABASES", ""),
            ("USERS", ""),
            ("COLUMNS", "'theirs'"),
            ("INDEXES", "'theirs'"),
        ):
            sql = f"SELECT * FROM {function}({argument})"
            told = shared.query(sql)
            assert self.ask(sql) == (list(told.names), told.rows)
        names, rows = self.ask(
            "SELECT c.name, c.max_length FROM tables() t JOIN columns(t.name) c"
            " WHERE t.name = %s ORDER BY 1",
            ["theirs"],
        )
        assert (names, rows) == (["name", "max_length"], [("id", 8), ("n", 7)])

    def test_what_is_wrong(self, database):
        with pytest.raises(ProgrammingError, match="does not exist"):
            self.ask("SELECT * FROM COLUMNS('nowhere')")
        with pytest.raises(ProgrammingError, match="needs the name of a table"):
            self.ask("SELECT * FROM INDEXES()")
        with pytest.raises(NotSupportedError, match="can't be written"):
            self.ask("INSERT INTO TABLES VALUES ('x')")

    def test_a_table_of_that_name(self, database):
        class Tables(models.Model):
            seats = models.IntegerField()

            class Meta:
                app_label = "room"
                apps = Registry()
                db_table = "tables"

        with connection.schema_editor() as editor:
            editor.create_model(Tables)
        Tables.objects.create(seats=4)
        assert Tables.objects.get(seats=4).pk
        assert self.ask("SELECT seats FROM tables")[1] == [(4,)]

"""What is wrong is a clear exception of Django's, and changes nothing."""

import contextlib
import datetime
import json
import multiprocessing
import os
import shutil
import sqlite3
import uuid
from decimal import Decimal

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    models,
    transaction,
)

from backendkit.kv.layout import FORMAT_KEY

from .databases import OURS, default, opened, run, settings_of
from .models import Item, model


def opens(settings):
    """Open a database and use it."""
    with default(settings):
        run("SELECT 1")
        run("CREATE TABLE IF NOT EXISTS t (n integer)")


def snapshot(path):
    """Return names and contents of what is below a path."""
    if not path.is_dir():
        return path.read_bytes()
    return {
        found.name: found.read_bytes() if found.is_file() else None
        for found in sorted(path.rglob("*"))
    }


class TestSettings:
    @pytest.mark.parametrize("engine", OURS)
    def test_unknown_options(self, engine, tmp_path):
        """An unknown option is named, and so are the known ones."""
        settings = settings_of(engine, tmp_path, map_sise=5, other=1)
        with pytest.raises(ImproperlyConfigured) as caught:
            opens(settings)
        message = str(caught.value)
        assert "map_sise, other" in message
        assert "timeout" in message
        assert "DATABASES['default']" in message
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("map_size", "10GB"),
            ("map_size", -1),
            ("map_size", True),
            ("map_size", 2**70),
            ("sync", "sometimes"),
            ("max_readers", 0),
            ("max_readers", 1.5),
            ("readonly", "yes"),
            ("timeout", "5"),
            ("timeout", -1),
            ("timeout", float("nan")),
        ],
    )
    def test_wrong_options(self, option, value, tmp_path):
        """An option of a wrong type or out of range is named, with what is right."""
        settings = settings_of("lmdb", tmp_path, **{option: value})
        with pytest.raises(ImproperlyConfigured, match=option):
            opens(settings)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("engine", OURS)
    @pytest.mark.parametrize("value", ["SOON", 5])
    def test_wrong_transaction_mode(self, engine, value, tmp_path):
        """A wrong transaction_mode is told the right ones."""
        settings = settings_of(engine, tmp_path, transaction_mode=value)
        with pytest.raises(ImproperlyConfigured, match=r"'DEFERRED', .*'IMMEDIATE'"):
            opens(settings)

    @pytest.mark.parametrize("engine", OURS)
    def test_old_sqlite(self, engine, tmp_path):
        """What is too old is SQLite, not the store."""
        with opened(engine, tmp_path):
            wrapper = connections["default"]
            wrapper.get_database_version = lambda: (3, 8, 3)
            with pytest.raises(
                NotSupportedError, match=r"^SQLite .* \(found 3\.8\.3\)"
            ):
                wrapper.check_database_version_supported()

    @pytest.mark.parametrize("method", ["spawn", "forkserver"])
    def test_memory_for_workers(self, method, tmp_path, monkeypatch):
        """Workers that aren't forked have nothing of the parent's memory."""
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda: method)
        with opened("memory", tmp_path):
            creation = connections["default"].creation
            with pytest.raises(NotSupportedError, match=f"{method}.*--parallel 1"):
                creation.get_test_db_clone_settings("1")

    @pytest.mark.parametrize("value", ["5", -1, None, float("nan"), [1]])
    def test_wrong_timeout_of_memory(self, value, tmp_path):
        """The memory store's option is checked as well."""
        with pytest.raises(ImproperlyConfigured, match="timeout"):
            opens(settings_of("memory", tmp_path, timeout=value))

    @pytest.mark.parametrize("engine", OURS)
    @pytest.mark.parametrize("name", ["", None])
    def test_missing_name(self, engine, name, tmp_path):
        """Without a NAME nothing is opened."""
        settings = {**settings_of(engine, tmp_path), "NAME": name}
        with pytest.raises(ImproperlyConfigured, match="NAME"):
            opens(settings)

    def test_path_as_name(self, tmp_path):
        """NAME may be a Path, as Django's own templates write it."""
        settings = settings_of("lmdb", tmp_path)
        opens({**settings, "NAME": tmp_path / "a path"})
        assert (tmp_path / "a path" / "data.mdb").exists()

    def test_nul_in_name(self, tmp_path):
        """A NAME that can't be a path is an error."""
        settings = {**settings_of("lmdb", tmp_path), "NAME": f"{tmp_path}/a\0b"}
        with pytest.raises((ImproperlyConfigured, Error)):
            opens(settings)


class TestDirectories:
    """A NAME where no database of ours is or can be."""

    def refused(self, path, message, **options):
        settings = settings_of("lmdb", path.parent, **options)
        before = snapshot(path) if path.exists() else None
        with pytest.raises((InterfaceError, OperationalError), match=message) as caught:
            opens({**settings, "NAME": str(path)})
        assert str(path) in str(caught.value)
        assert (snapshot(path) if path.exists() else None) == before

    def test_file(self, tmp_path):
        """A file isn't touched."""
        path = tmp_path / "file"
        path.write_text("precious")
        self.refused(path, "is a file")

    def test_sqlite_file(self, tmp_path):
        """An SQLite database isn't touched."""
        path = tmp_path / "db.sqlite3"
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE t (n)")
        database.close()
        self.refused(path, "is a file")

    def test_other_files(self, tmp_path):
        """A directory with other files isn't touched."""
        path = tmp_path / "home"
        path.mkdir()
        (path / "letter.txt").write_text("precious")
        self.refused(path, "other files")

    def test_other_lmdb(self, tmp_path):
        """Another program's LMDB database isn't touched."""
        import lmdb

        path = tmp_path / "other"
        path.mkdir()
        with lmdb.open(str(path)) as environment, environment.begin(write=True) as txn:
            txn.put(b"a", b"b")
        self.refused(path, "not a database of")

    def test_parent_missing(self, tmp_path):
        """A missing parent is an error: no tree of directories is made."""
        self.refused(tmp_path / "no" / "such", "No such file or directory")
        assert list(tmp_path.iterdir()) == []

    def test_newer_format(self, tmp_path):
        """A database of a newer release is told so, and left alone."""
        import lmdb

        settings = settings_of("lmdb", tmp_path)
        opens(settings)
        path = settings["NAME"]
        with lmdb.open(path) as environment, environment.begin(write=True) as txn:
            document = json.loads(txn.get(FORMAT_KEY))
            document["format"] = 99
            txn.put(FORMAT_KEY, json.dumps(document).encode())
        with pytest.raises(OperationalError, match=r"has format .*Upgrade it"):
            opens(settings)

    @pytest.mark.skipif(
        os.geteuid() == 0, reason="root may write to read-only directories"
    )
    def test_read_only_directory(self, tmp_path):
        """Where nothing can be written, that is the error."""
        tmp_path.chmod(0o500)
        try:
            self.refused(tmp_path / "db", "Permission denied")
        finally:
            tmp_path.chmod(0o700)

    def test_damaged(self, tmp_path):
        """A damaged data file is an error, not a crash."""
        settings = settings_of("lmdb", tmp_path)
        opens(settings)
        path = tmp_path / "lmdb.db" / "data.mdb"
        path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])
        with pytest.raises(Error):
            opens(settings)


class TestReadonly:
    @pytest.fixture
    def readonly(self, tmp_path):
        """A filled database, opened with the option readonly."""
        settings = settings_of("lmdb", tmp_path)
        with default(settings):
            with connection.schema_editor() as editor:
                editor.create_model(Item)
            Item.objects.create(code="a")
        with default(settings_of("lmdb", tmp_path, readonly=True)):
            yield tmp_path / "lmdb.db" / "data.mdb"

    def test_reads(self, readonly):
        """Reading works, in transactions too."""
        with transaction.atomic():
            assert Item.objects.get().code == "a"

    def test_writes(self, readonly):
        """Whatever writes is refused; the file doesn't change."""
        before = readonly.read_bytes()
        for write in (
            lambda: Item.objects.create(code="b"),
            lambda: Item.objects.update(number=1),
            lambda: Item.objects.all().delete(),
            lambda: run("CREATE TABLE t (n integer)"),
            lambda: run("DROP TABLE nonrel_item"),
        ):
            with pytest.raises(OperationalError, match="readonly database"):
                write()
            with pytest.raises(OperationalError, match="readonly database"):
                with transaction.atomic():
                    write()
        assert Item.objects.count() == 1
        assert readonly.read_bytes() == before

    def test_missing(self, tmp_path):
        """There has to be something to read."""
        with pytest.raises(OperationalError, match="contains none"):
            opens(settings_of("lmdb", tmp_path, readonly=True))
        assert list(tmp_path.iterdir()) == []


TYPES = {
    "integer": models.IntegerField(null=True),
    "big": models.BigIntegerField(null=True),
    "flag": models.BooleanField(null=True),
    "real": models.FloatField(null=True),
    "decimal": models.DecimalField(max_digits=9, decimal_places=2, null=True),
    "text": models.TextField(null=True),
    "binary": models.BinaryField(null=True),
    "day": models.DateField(null=True),
    "moment": models.DateTimeField(null=True),
    "time": models.TimeField(null=True),
    "span": models.DurationField(null=True),
    "key": models.UUIDField(null=True),
    "data": models.JSONField(null=True),
}


class TestValues:
    @pytest.fixture
    def thing(self, ours):
        thing = model(**TYPES)
        ours.create(thing)
        thing.objects.create(
            integer=1,
            text="before",
            day=datetime.date(2024, 1, 2),
            key=uuid.UUID(int=5),
            decimal=Decimal("1.5"),
        )
        return thing

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("big", 2**63),
            ("integer", -(2**63) - 1),
            ("integer", "word"),
            ("integer", b"bytes"),
            ("flag", 2),
            ("flag", "maybe"),
            ("real", "word"),
            ("decimal", "word"),
            ("decimal", "inf"),
            ("text", b"bytes"),
            ("text", "\ud800"),
            ("binary", 5),
            ("day", "yesterday"),
            ("day", "2024-02-30"),
            ("day", 5),
            ("moment", "2024-01-01 25:00"),
            ("time", "noon"),
            ("span", "long"),
            ("key", "short"),
            ("data", 5.5j),
        ],
    )
    def test_wrong(self, ours, thing, column, value):
        """What doesn't fit is an error that names the column, however it comes."""
        before = ours.everything()
        statements = [
            (f"INSERT INTO nonrel_thing ({column}) VALUES (%s)", [value]),
            (f"UPDATE nonrel_thing SET {column} = %s", [value]),
        ]
        for sql, params in statements:
            with pytest.raises((Error, OverflowError, TypeError, UnicodeError)) as one:
                run(sql, params)
            assert isinstance(one.value, Error), repr(one.value)
            assert ours.everything() == before
        with pytest.raises(Error):
            with transaction.atomic():
                run("INSERT INTO nonrel_thing (integer) VALUES (7)")
                run(*statements[0])
        assert ours.everything() == before

    @pytest.mark.parametrize(
        ("column", "value"),
        [("big", 2**63), ("integer", -(2**70)), ("text", "\udfff"), ("span", None)],
    )
    def test_by_the_orm(self, ours, thing, column, value):
        """The ORM's writes are checked as well."""
        if column == "span":
            value = datetime.timedelta.max
        before = ours.everything()
        for write in (
            lambda: thing.objects.create(**{column: value}),
            lambda: thing.objects.bulk_create([thing(), thing(**{column: value})]),
        ):
            with pytest.raises(DataError, match=f"nonrel_thing.{column}"):
                write()
        with pytest.raises(DataError, match=r"64 bits|Unicode|surrogates"):
            thing.objects.update(**{column: value})
        assert ours.everything() == before

    @pytest.mark.parametrize(
        ("column", "value"), [("big", 2**63), ("integer", -(2**70)), ("text", "\udfff")]
    )
    def test_looked_for(self, thing, column, value):
        """What no column can hold is found nowhere, or refused."""
        with contextlib.suppress(DataError):
            assert not thing.objects.filter(**{column: value}).exists()
        assert thing.objects.count() == 1

    def test_overflow_of_expressions(self, ours, thing):
        """An expression whose result is out of range is refused."""
        thing.objects.update(big=2**63 - 1)
        before = ours.everything()
        with pytest.raises((DataError, OperationalError)):
            thing.objects.update(big=models.F("big") + 1)
        assert ours.everything() == before

    def test_nul(self, database):
        """A string may hold NUL characters, which mean nothing."""
        database.create(Item)
        Item.objects.create(code="a\0b", note="\0")
        Item.objects.create(code="a")
        assert Item.objects.get(code="a\0b").note == "\0"
        assert Item.objects.get(code="a").note is None
        assert Item.objects.filter(note="\0").count() == 1
        assert Item.objects.filter(code__startswith="a").count() == 2

    def test_unsupported_parameter(self, ours, thing):
        """A parameter of a type that SQL doesn't know is refused."""
        before = ours.everything()
        for value in (object(), {1: 2}, [1], {1}, 1j):
            with pytest.raises((Error, TypeError)) as caught:
                run("SELECT %s", [value])
            assert isinstance(caught.value, Error), repr(caught.value)
            with pytest.raises((Error, TypeError)):
                run("UPDATE nonrel_thing SET text = %s", [value])
        assert ours.everything() == before

    @pytest.mark.parametrize("params", [5, "ab", b"ab", object()])
    def test_no_parameters(self, thing, params):
        """What isn't a list of parameters is refused."""
        with pytest.raises((Error, TypeError)):
            run("SELECT %s, %s", params)


class TestKeys:
    """LMDB's keys have an upper limit."""

    def test_too_long(self, lmdb):
        """A value too long for a primary key is told column, limit and remedy."""
        thing = model(
            name=models.TextField(primary_key=True), size=models.IntegerField()
        )
        lmdb.create(thing)
        thing.objects.create(name="y" * 300, size=1)
        before = lmdb.everything()
        long = "ü" * 400
        for write in (
            lambda: thing.objects.create(name=long, size=1),
            lambda: thing.objects.update(name=long),
            lambda: thing.objects.bulk_create(
                [thing(name="1", size=1), thing(name=long, size=1)]
            ),
        ):
            with pytest.raises(DataError) as caught:
                write()
            message = str(caught.value)
            assert "nonrel_thing.name" in message
            assert "limit is 511" in message
            assert "Shorten the value" in message
        assert lmdb.everything() == before

    LONG = (*("漢" * 255, "漢" * 254 + "字", "x" * 255, "é" * 254 + "è"), "😀" * 250)

    def test_long_text_in_an_index(self, database):
        """Text of any length is indexed, unique, found and sorted."""
        thing = model(
            name=models.CharField(max_length=255, db_index=True),
            code=models.CharField(max_length=255, unique=True),
            a=models.TextField(),
            b=models.TextField(null=True),
            meta={"unique_together": [("a", "b")]},
        )
        database.create(thing)
        long = sorted(self.LONG)
        for text in long:
            thing.objects.create(name=text, code=text, a=text, b=text)
        thing.objects.bulk_create(
            thing(name=text, code=text + text, a=text, b="") for text in long
        )
        thing.objects.create(name="a", code="a", a=long[0])
        for text in long:
            assert thing.objects.get(code=text).name == text
            assert thing.objects.filter(name=text).count() == 2
            assert thing.objects.filter(name__gt=text).count() == sum(
                2 for one in long if one > text
            )
            assert thing.objects.filter(name__startswith=text[:-1]).count() >= 2
            with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
                thing.objects.create(name="", code=text, a="", b="")
            with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
                thing.objects.create(name="", code="", a=text, b=text)
            assert thing.objects.get_or_create(code=text)[1] is False
        names = thing.objects.order_by("code").values_list("code", flat=True)
        assert list(names) == sorted(names)
        assert list(names.reverse()[:3]) == sorted(names)[:-4:-1]
        assert list(thing.objects.values_list("name", flat=True).distinct()) != []
        assert thing.objects.values("name").distinct().count() == len(long) + 1
        assert thing.objects.aggregate(models.Max("name"), models.Min("code")) == {
            "name__max": max(long),
            "code__min": "a",
        }
        assert thing.objects.filter(code__in=[*long, "b"]).update(name="n") == len(long)
        thing.objects.filter(code__in=long[:2]).delete()
        assert set(names.all()) == {"a", *long[2:], *(text * 2 for text in long)}

    @pytest.mark.parametrize("unique", [False, True])
    def test_an_index_over_long_text(self, database, unique):
        """A migration adds an index, whatever text there is."""
        thing = model(name=models.TextField())
        database.create(thing)
        thing.objects.bulk_create(thing(name=text) for text in (*self.LONG, "a"))
        if not unique:
            thing.objects.create(name=self.LONG[0])
        word = "UNIQUE INDEX" if unique else "INDEX"
        run(f"CREATE {word} i ON nonrel_thing (name)")
        for text in self.LONG[1:]:
            assert thing.objects.filter(name=text).count() == 1
        if unique:
            with pytest.raises(IntegrityError):
                thing.objects.create(name=self.LONG[0])

    def test_too_long_to_look_for(self, database):
        """Looking for a value too long for any key finds nothing, on any path."""
        database.create(Item)
        Item.objects.create(code="a")
        long = "x" * 5000
        assert not Item.objects.filter(code=long).exists()
        assert Item.objects.filter(code__lt=long).count() == 1
        assert Item.objects.filter(code__in=[long, "a"]).count() == 1
        assert Item.objects.filter(code__gt=long).count() == 0
        assert Item.objects.filter(code__startswith=long).count() == 0
        assert Item.objects.exclude(code=long).count() == 1

    def test_full(self, tmp_path):
        """A full database says which option to raise, and keeps what it had."""
        with default(settings_of("lmdb", tmp_path, max_size=1 << 20)):
            with connection.schema_editor() as editor:
                editor.create_model(Item)
            Item.objects.create(code="first")
            with pytest.raises(OperationalError, match="max_size"):
                for number in range(100):
                    Item.objects.create(code=f"{number}", note="x" * 100_000)
            count = Item.objects.count()
            assert 1 <= count < 12
            with pytest.raises(OperationalError, match="max_size"):
                with transaction.atomic():
                    Item.objects.create(code="in", note="y" * 2_000_000)
            assert Item.objects.count() == count
        with default(settings_of("lmdb", tmp_path, max_size=1 << 24)):
            Item.objects.create(code="again", note="y" * 2_000_000)
            assert Item.objects.count() == count + 1


class TestOpenElsewhere:
    def test_other_options(self, lmdb):
        """One database can't be open with two sizes in one process."""
        run("SELECT 1")
        settings = connections.databases["default"]
        other = {**settings, "OPTIONS": {**settings["OPTIONS"], "map_size": 1 << 22}}
        wrapper = type(connections["default"])(other, "other")
        with pytest.raises(InterfaceError, match="other options"):
            wrapper.ensure_connection()

    def test_removed_meanwhile(self, lmdb, tmp_path):
        """A directory that is removed can be made anew by the next connection."""
        lmdb.create(Item)
        connection.close()
        shutil.rmtree(tmp_path / "lmdb.db")
        with pytest.raises(OperationalError, match="no such table"):
            Item.objects.count()
        lmdb.create(Item)
        assert Item.objects.count() == 0


def test_errors_are_djangos(database):
    """Errors of each kind arrive as Django's class, with the cause attached."""
    database.create(Item)
    Item.objects.create(code="a")
    for error, work in (
        (IntegrityError, lambda: Item.objects.create(code="a")),
        (OperationalError, lambda: run("SELECT * FROM nowhere")),
        (ProgrammingError, lambda: run("SELECT %s", [])),
    ):
        with pytest.raises(error) as caught:
            work()
        assert isinstance(
            caught.value.__cause__, getattr(connection.Database, error.__name__)
        )

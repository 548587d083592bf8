"""Hostile names and values: quoted and bound, never executed."""

import ast
import contextlib
import importlib.util
import os
import pathlib

import pytest
from django.db import Error, IntegrityError, connection, models, transaction
from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat

from .databases import opened, run
from .models import Item, Registry, model

NAMES = [
    'a"b',
    '"',
    '"; DROP TABLE nonrel_item; --',
    "'; DROP TABLE nonrel_item; --",
    "a;b",
    "a--b",
    "/* a */",
    "a%b",
    "%s",
    "%(a)s",
    "%%",
    "?",
    ":a",
    "[a]",
    "a]b",
    "`a`",
    "a b",
    " ",
    "a\tb\nc",
    "\\",
    "Ünïcödé ☃ 𝄞",
    "select",
    "table",
    "order",
    "rowid",
    "returning",
    "json_each",
    "pragma_table_info",
    "dbstat",
    "generate_series",
    "temp",
    "main",
    "sqlite_stat1x",
    "old",
    "1",
    "1e5",
    "null",
    "x" * 200,
    "name:nocase",
    "i:0",
    "i:where",
    "backendkit_filters",
    "ﬀ",
]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def guard(database):
    database.create(Item)
    Item.objects.create(code="precious")
    yield database
    assert list(Item.objects.values_list("code", flat=True)) == ["precious"]


def is_reserved(name):
    return name.lower().startswith("sqlite_")


# A name goes through the same SQL whatever store is below.
@pytest.fixture(
    params=[
        "lmdb",
        *(pytest.param(one, marks=pytest.mark.check) for one in ("memory", "buffered")),
    ]
)
def guarded(request, tmp_path, _unblocked):
    """A database of ours with a table that has to survive, and its content."""
    with opened(request.param, tmp_path) as database:
        yield from guard(database)


@contextlib.contextmanager
def tolerated(name):
    """Django formats its SQL with "%": a name that has one may be refused."""
    if "%" in name:
        with contextlib.suppress(Error, TypeError, ValueError, KeyError):
            yield
    else:
        yield


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
class TestNames:
    def test_table(self, guarded, name):
        """A table may have any name but SQLite's own."""
        registry = Registry()
        one = model(
            "One",
            meta={"apps": registry, "db_table": quoted(name)},
            n=models.IntegerField(null=True, db_index=True),
        )
        two = model(
            "Two",
            meta={"apps": registry, "db_table": quoted(f"{name} 2")},
            one=models.ForeignKey(one, models.CASCADE, null=True),
        )
        if is_reserved(name):
            with pytest.raises(Error, match="reserved"):
                guarded.create(one)
            assert guarded.tables() == ["nonrel_item"]
            return
        with tolerated(name):
            guarded.create(one, two)
            assert set(guarded.tables()) == {"nonrel_item", name, f"{name} 2"}
            parent = one.objects.create(n=5)
            two.objects.create(one=parent)
            two.objects.create()
            assert two.objects.select_related("one").get(one__n=5).one == parent
            assert one.objects.annotate(c=Count("two")).get(c=1) == parent
            one.objects.filter(n=5).update(n=F("n") + 1)
            with pytest.raises(IntegrityError):
                two.objects.create(one_id=99)
            with connection.cursor() as cursor:
                description = connection.introspection.get_table_description(
                    cursor, name
                )
                relations = connection.introspection.get_relations(cursor, f"{name} 2")
                if "\\" not in name:  # Django's own parser of SQL takes it amiss
                    connection.introspection.get_constraints(cursor, f"{name} 2")
            assert [column.name for column in description] == ["id", "n"]
            assert relations["one_id"][:2] == ("id", name)
            parent.delete()
            assert one.objects.count() == 0
            assert two.objects.count() == 1
            with connection.schema_editor() as editor:
                editor.delete_model(two)
                editor.delete_model(one)
            assert guarded.tables() == ["nonrel_item"]

    def test_column(self, guarded, name):
        """A column may have any name; so may what is computed of it."""
        thing = model(
            meta={
                "unique_together": [("value", "other")],
                "indexes": [models.Index(fields=["value"], name="by_value")],
            },
            value=models.IntegerField(db_column=name, null=True),
            other=models.IntegerField(null=True),
            text=models.CharField(
                max_length=9,
                db_column=f"{name} 2",
                null=True,
                db_collation="nocase",
                unique=True,
            ),
        )
        with tolerated(name):
            guarded.create(thing)
            thing.objects.create(value=1, other=1, text="a")
            thing.objects.create(value=2, other=1, text="b")
            with pytest.raises(IntegrityError, match="UNIQUE"):
                thing.objects.create(value=1, other=1)
            with pytest.raises(IntegrityError, match="UNIQUE"):
                thing.objects.create(text="A")
            assert thing.objects.get(value=1).value == 1
            assert thing.objects.filter(value__gt=1).order_by("value").get().value == 2
            assert thing.objects.get(text="B").value == 2
            thing.objects.filter(value=2).update(value=F("value") * 10)
            assert thing.objects.values("value").annotate(c=Count("pk")).count() == 2
            assert thing.objects.get(Q(value=20) | Q(value=21)).value == 20
            thing.objects.filter(value=20).delete()
            with connection.cursor() as cursor:
                description = connection.introspection.get_table_description(
                    cursor, "nonrel_thing"
                )
            assert name in [column.name for column in description]
            if name == "rowid":
                return  # SQLite doesn't rename what hides its own
            old = thing._meta.get_field("value")
            new = models.IntegerField(null=True, db_column="plain")
            new.model = thing
            new.set_attributes_from_name("value")
            with connection.schema_editor() as editor:
                editor.alter_field(thing, old, new)
            with connection.schema_editor() as editor:
                editor.alter_field(thing, new, old)
            assert thing.objects.get().value == 1

    def test_index(self, guarded, name):
        """An index and a constraint may have any name."""
        if is_reserved(name):
            pytest.skip("SQLite keeps these for itself")
        with tolerated(name):
            thing = model(
                meta={
                    "constraints": [
                        models.CheckConstraint(
                            condition=Q(n__gt=0), name=f"{name} check"
                        ),
                        models.UniqueConstraint(
                            fields=["n"], condition=Q(n__lt=9), name=f"{name} part"
                        ),
                        models.UniqueConstraint(Concat("s", "s"), name=f"{name} twice"),
                    ],
                },
                n=models.IntegerField(null=True),
                s=models.CharField(max_length=9, null=True),
            )
            guarded.create(thing)
            with connection.schema_editor() as editor:
                editor.add_index(thing, models.Index(fields=["n"], name=name[:30]))
            thing.objects.create(n=1, s="a")
            for wrong in ({"n": -1}, {"n": 1}, {"s": "a"}):
                with pytest.raises(IntegrityError, match="constraint failed"):
                    thing.objects.create(**wrong)
            with connection.cursor() as cursor:
                found = connection.introspection.get_constraints(cursor, "nonrel_thing")
            assert name[:30] in found
            assert "%" in name or f"{name} part" in found

    @pytest.mark.filterwarnings("ignore:Using percent signs in a column alias")
    def test_alias(self, guarded, name):
        """An alias that could end a name is refused by Django, others are quoted."""
        try:
            rows = list(
                Item.objects.annotate(**{name: Value(5)}).values_list(name, flat=True)
            )
        except (ValueError, TypeError):
            return
        assert rows == [5]

    def test_savepoint(self, guarded, name):
        """A savepoint may have any name."""
        text = quoted(name)
        with transaction.atomic():
            run(f"SAVEPOINT {text}")
            Item.objects.create(code="x")
            run(f"ROLLBACK TO SAVEPOINT {text}")
            run(f"RELEASE {text}")


def test_introspection_of_nothing(ours):
    """To ask for a table that isn't there does no harm."""
    for _ in guard(ours):
        introspection = connection.introspection
        with connection.cursor() as cursor:
            for name in NAMES:
                for ask in (
                    introspection.get_table_description,
                    introspection.get_constraints,
                    introspection.get_relations,
                    introspection.get_sequences,
                ):
                    with contextlib.suppress(Error):
                        assert not ask(cursor, f"{name} not there")


VALUES = [
    *NAMES,
    "",
    "\0",
    "a\0'; DROP TABLE nonrel_item",
    "x' OR '1'='1",
    "1; DELETE FROM nonrel_item",
    "{not json",
    "cos\nsystem\n(S'true'\ntR.",
    "__import__('os').abort()",
    "gASVIwAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "🂡" * 50,
]


class TestValues:
    @pytest.fixture
    def thing(self, database):
        thing = model(
            text=models.TextField(null=True, unique=True),
            data=models.JSONField(null=True),
            raw=models.BinaryField(null=True),
        )
        for _ in guard(database):
            database.create(thing)
            yield thing

    def test_by_the_orm(self, thing):
        """What is written is what is read, looked for, updated and deleted."""
        for value in VALUES:
            self.check_orm(thing, value)
            thing.objects.all().delete()

    def check_orm(self, thing, value):
        raw = value.encode()
        thing.objects.create(text=value, data={value: [value]}, raw=raw)
        thing.objects.create(text=f"{value}!", data=None, raw=None)
        found = thing.objects.get(text=value)
        assert (found.text, found.data, bytes(found.raw)) == (
            value,
            {value: [value]},
            raw,
        )
        assert thing.objects.filter(text__in=[value, "nothing"]).get() == found
        assert found in thing.objects.filter(text__startswith=value)
        assert found in thing.objects.filter(text__contains=value)
        assert found in thing.objects.filter(text__gte=value, text__lte=value)
        assert thing.objects.exclude(text=value).get().text == f"{value}!"
        assert thing.objects.filter(raw=raw).get() == found
        if "\0" not in value:
            if hasattr(connection, "store_vendor"):  # not in any SQLite
                assert thing.objects.filter(data__has_key=value).get() == found
            twice = Concat("text", Value(value), output_field=models.TextField())
            assert thing.objects.annotate(twice=twice).get(twice=value * 2) == found
        with pytest.raises(IntegrityError):
            thing.objects.create(text=value)
        assert thing.objects.filter(text=f"{value}!").update(text=f"{value}?") == 1
        assert thing.objects.filter(text=f"{value}?").delete()[0] == 1
        assert thing.objects.get() == found

    def test_by_sql(self, thing):
        """A value that is bound is a value, in statements of every kind."""
        for value in VALUES:
            self.check_sql(value)
            thing.objects.all().delete()

    def check_sql(self, value):
        run("INSERT INTO nonrel_thing (text) VALUES (%s)", [value])
        run("INSERT INTO nonrel_thing (text) VALUES (%(v)s)", {"v": f"{value}!"})
        assert run("SELECT text FROM nonrel_thing WHERE text = %s", [value]) == [
            (value,)
        ]
        run(
            "WITH w AS (SELECT %s AS t) UPDATE nonrel_thing SET text = text || '2'"
            " WHERE text IN (SELECT t FROM w)",
            [value],
        )
        assert run("SELECT count(*) FROM nonrel_thing WHERE text = %s", [value]) == [
            (0,)
        ]
        run("DELETE FROM nonrel_thing WHERE text <> %s", [f"{value}!"])
        assert run("SELECT text FROM nonrel_thing") == [(f"{value}!",)]

    def test_default(self, guarded):
        """A database default may be any text, and is a value."""
        # SQL text can't contain NUL.
        values = [value for value in VALUES if "\0" not in value]
        fields = {
            f"f{number}": models.TextField(db_default=value)
            for number, value in enumerate(values)
        }
        thing = model(**fields)
        guarded.create(thing)
        thing.objects.create()
        run("INSERT INTO nonrel_thing DEFAULT VALUES")
        for row in thing.objects.values_list(*fields):
            assert list(row) == values


@pytest.mark.parametrize("module", ["json_each", "pragma_table_info", "json_tree"])
def test_built_in_tables(ours, module):
    """A table with the name of one of SQLite's own virtual tables comes first."""
    run(f"CREATE TABLE {module} (a text)")
    run(f"INSERT INTO {module} VALUES ('mine')")
    assert run(f"SELECT a FROM {module}") == [("mine",)]
    run(f"DROP TABLE {module}")


#: Rows of an open cursor go to a file without a name and come back from it: nobody else
#: can have written them.
OWN_FILES = {"spilling.py"}


def test_no_pickle_no_eval():
    """Nothing in the package unpickles, evaluates or imports what is stored."""
    spec = importlib.util.find_spec("backendkit")
    root = pathlib.Path(os.path.dirname(spec.origin))
    parts = ("engine", "nonrel", "stores", "kv", "backends")
    modules = [path for part in parts for path in (root / part).rglob("*.py")]
    assert len(modules) > 40
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {alias.name for alias in node.names}
                names.add(getattr(node, "module", None))
                refused = {"pickle", "shelve", "dill"}
                if path.name not in OWN_FILES:
                    refused.add("marshal")
                assert not names & refused, path
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", None)
                assert name not in {"eval", "exec", "compile", "__import__"}, path


def test_loading_extensions(ours):
    """SQL can't load code."""
    with pytest.raises(Error):
        run("SELECT load_extension('/tmp/none.so')")


def test_names_in_messages(ours):
    """Messages name what is wrong, hostile or not, and nothing is formatted again."""
    thing = model(
        meta={"db_table": '"%s {0} %(a)s"'},
        n=models.IntegerField(unique=True, db_column="%d {n}"),
    )
    ours.create(thing)
    thing.objects.create(n=1)
    with pytest.raises(IntegrityError) as caught:
        thing.objects.create(n=1)
    assert str(caught.value) == "UNIQUE constraint failed: %s {0} %(a)s.%d {n}"

"""Each of Django's flags is decided on, and what the important ones say is true."""

import inspect
import tomllib
from pathlib import Path

import apsw
import django
import pytest
from django.db import (
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    models,
    transaction,
)
from django.db.models import Count, F, Max, Q, Value
from django.db.models.functions import Cast, Lower, Now, Upper
from django.test.utils import CaptureQueriesContext

from .databases import run
from .models import Author, Book, Item, model

FILE = Path(__file__).with_name("features.toml")
DECIDED = {
    name: entry
    for theme in tomllib.loads(FILE.read_text("utf-8")).values()
    for name, entry in theme.items()
}
RELEASES = {"5.2", "6.0", "6.1"}
RELEASE = ".".join(map(str, django.VERSION[:2]))


def known(entry, release=RELEASE):
    """Whether a release has this flag."""
    number = tuple(map(int, release.split(".")))
    since = tuple(map(int, entry.get("since", "0").split(".")))
    before = tuple(map(int, entry.get("before", "99").split(".")))
    return since <= number < before


def flags(*classes):
    """Return the names of what classes of features define themselves."""
    return {
        name
        for one in classes
        for name, value in vars(one).items()
        if not name.startswith("_") and not inspect.isfunction(value)
    }


def classes():
    """Return our classes of features, and Django's."""
    mro = type(connection.features).__mro__[:-1]
    ours = [one for one in mro if one.__module__.startswith("backendkit.")]
    return ours, [one for one in mro if one not in ours]


class TestDecisions:
    """What features.toml says."""

    def test_none_is_missing(self, ours):
        """Each flag of the installed Django is in the file."""
        new = sorted(flags(*classes()[1]) - set(DECIDED))
        assert not new, f"Django {django.__version__} adds: {', '.join(new)}. Decide."

    def test_none_is_gone(self, ours):
        """What the file ascribes to a release is there, and nothing else is."""
        theirs = flags(*classes()[1])
        listed = {name for name, entry in DECIDED.items() if known(entry)}
        gone = sorted(listed - theirs)
        assert not gone, f"Django {django.__version__} hasn't: {', '.join(gone)}"
        more = sorted((theirs & set(DECIDED)) - listed)
        assert not more, f"Django {django.__version__} has as well: {', '.join(more)}"

    def test_none_is_ours_alone(self, ours):
        """We set nothing that isn't a flag of a release we support."""
        assert flags(*classes()[0]) <= set(DECIDED)
        for name, entry in DECIDED.items():
            assert any(known(entry, release) for release in RELEASES), name

    def test_values(self, ours):
        """Values are those of the file."""
        wrong = {}
        for name, entry in DECIDED.items():
            if not known(entry):
                continue
            value = getattr(connection.features, name)
            if "type" in entry:
                right = type(value).__name__ == entry["type"]
            elif "repr" in entry:
                right = repr(value) == entry["repr"]
            else:
                right = (type(value), value) == (type(entry["is"]), entry["is"])
            if not right:
                wrong[name] = value
        assert not wrong

    def test_set_or_inherited(self, ours):
        """What is set here is what the file says is."""
        assert flags(*classes()[0]) == {
            name for name, entry in DECIDED.items() if entry.get("set")
        }

    def test_reasons(self):
        """Each has a reason and one kind of value, and no word is misspelt."""
        for name, entry in DECIDED.items():
            assert entry["why"].strip(), name
            assert len(entry.keys() & {"is", "repr", "type"}) == 1, name
            rest = entry.keys() - {"is", "repr", "type", "why"}
            assert rest <= {"set", "since", "before"}, name


def test_version(ours):
    """The SQLite that runs is one that we support."""
    connection.ensure_connection()
    connection.check_database_version_supported()


def test_a_store_without_transactions(ours, monkeypatch):
    """Where there are no transactions, nothing claims to undo anything."""

    class Without(connection.store_class):
        capabilities = type(connection.store_class.capabilities)(transactions=False)

    monkeypatch.setattr(type(connections["default"]), "store_class", Without)
    features = connection.features
    for name in (
        "supports_transactions",
        "uses_savepoints",
        "can_release_savepoints",
        "can_rollback_ddl",
    ):
        assert getattr(features, name) is False


class TestParameters:
    """``max_query_params``"""

    def test_as_many_as_it_says(self, ours):
        """That many values are bound in one statement."""
        most = connection.features.max_query_params
        marks = ", ".join(["(%s)"] * most)
        sql = f"SELECT COUNT(*), SUM(column1) FROM (VALUES {marks})"
        assert run(sql, [1] * most) == [(most, most)]

    def test_follows_the_engine(self, ours):
        """A limit that is set on the connection is told."""
        connection.ensure_connection()
        connection.connection.setlimit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER, 42)
        assert connection.features.max_query_params == 42

    def test_batches(self, ours):
        """What bulk_create() and bulk_update() bind fits into a statement."""
        from backendkit.nonrel.operations import MOST_UPDATED

        code, number = map(Item._meta.get_field, ("code", "number"))
        size = connection.ops.bulk_batch_size
        most = connection.features.max_query_params
        assert size([code, number], [None] * most) == most // 2
        fields = [code, number] * 400
        pk = Item._meta.pk
        assert size([pk, pk, code], [None] * most) == MOST_UPDATED
        assert size([pk, pk, *fields], [None] * most) == most // (2 * 800 + 1)


class TestWriting:
    """What INSERT and UPDATE return."""

    def test_columns_of_an_insert(self, ours):
        """save() and bulk_create() get what the database has computed."""
        made = model(
            name=models.CharField(max_length=9, db_default=Lower(Value("ABC"))),
            loud=models.GeneratedField(
                expression=Upper("name"),
                output_field=models.CharField(max_length=9),
                db_persist=True,
            ),
        )
        ours.create(made)
        with CaptureQueriesContext(connection) as queries:
            one = made.objects.create()
            (two,) = made.objects.bulk_create([made()])
            assert [(it.name, it.loud) for it in (one, two)] == [("abc", "ABC")] * 2
            assert one.pk != two.pk
        assert not [it for it in queries if it["sql"].startswith("SELECT")]

    def test_rows_of_an_update(self, ours):
        """RETURNING is an error, so that Django has to be told not to use it."""
        ours.create(Item)
        with pytest.raises(OperationalError, match="RETURNING"):
            run('UPDATE "nonrel_item" SET "number" = 1 RETURNING "number"')

    def test_of_what_is_selected(self, database):
        """A table that is written can be read by the same statement."""
        database.create(Item)
        Item.objects.bulk_create(Item(code=f"{n}", number=n) for n in range(4))
        large = Item.objects.filter(number__gt=1)
        assert Item.objects.filter(pk__in=large).update(number=F("number") + 1) == 2
        top = Item.objects.aggregate(Max("number"))["number__max"]
        assert top == 4
        assert Item.objects.filter(pk__in=large.filter(number=top)).delete()[0] == 1
        assert Item.objects.count() == 3

    def test_an_error_within_a_transaction(self, ours):
        """A failing statement undoes itself; the transaction goes on."""
        ours.create(Item)
        with transaction.atomic():
            Item.objects.create(code="a")
            with connection.cursor() as cursor, pytest.raises(IntegrityError):
                cursor.execute(
                    'INSERT INTO "nonrel_item" ("code", "number") VALUES (%s, 1), (%s, 2)',
                    ["b", "a"],
                )
            connection.needs_rollback = False
            Item.objects.create(code="c")
        assert set(Item.objects.values_list("code", flat=True)) == {"a", "c"}

    def test_keys(self, database):
        """An integer key is numbered though it isn't an AutoField; 0 is a key."""
        plain = model(id=models.IntegerField(primary_key=True))
        database.create(plain, Item)
        plain().save()
        assert plain.objects.count() == 1
        Item.objects.create(pk=0, code="zero")
        assert Item.objects.get(pk=0).code == "zero"


class TestSchema:
    """What is changed in place, and what is told."""

    def test_foreign_key_with_its_column(self, ours):
        """A foreign key is added in place, and is enforced at once."""
        ours.create(Author, Item)
        Item.objects.create(code="a")
        key = models.ForeignKey(Author, models.CASCADE, null=True)
        key.set_attributes_from_name("author")
        key.model = Item
        with (
            CaptureQueriesContext(connection) as queries,
            connection.schema_editor() as editor,
        ):
            editor.add_field(Item, key)
        assert not any("new__" in it["sql"] for it in queries)
        with pytest.raises(IntegrityError, match="FOREIGN KEY"):
            run('UPDATE "nonrel_item" SET "author_id" = 7')

    def test_drop_column(self, ours):
        """A column is dropped in place, whatever the version of sqlite3."""
        ours.create(Item)
        Item.objects.create(code="a", note="n")
        with (
            CaptureQueriesContext(connection) as queries,
            connection.schema_editor() as editor,
        ):
            editor.remove_field(Item, Item._meta.get_field("note"))
        assert not any("new__" in it["sql"] for it in queries)
        assert run('SELECT "code", "number" FROM "nonrel_item"') == [("a", 0)]

    def test_names_in_any_case(self, database):
        """Names are equal in any case."""
        database.create(Item)
        Item.objects.create(code="a")
        assert run('SELECT "CODE" FROM "NONREL_Item"') == [("a",)]
        with pytest.raises(OperationalError, match="already exists"):
            run('CREATE TABLE "Nonrel_ITEM" (n integer)')

    def test_long_names(self, ours):
        """Names are of any length."""
        name = "n" * 600
        run(f'CREATE TABLE "{name}" ("{name}" integer)')
        run(f'INSERT INTO "{name}" VALUES (1)')
        assert run(f'SELECT "{name}" FROM "{name}"') == [(1,)]

    def test_orders_of_an_index(self, database):
        """The catalog tells whether an index is descending."""
        database.create(Item)
        index = models.Index(fields=["-number", "code"], name="down")
        with connection.schema_editor() as editor:
            editor.add_index(Item, index)
        with connection.cursor() as cursor:
            told = connection.introspection.get_constraints(cursor, "nonrel_item")
        assert told["down"]["orders"] == ["DESC", "ASC"]

    def test_several_constraints_on_a_column(self, database):
        """A column may be unique twice."""
        database.create(Item)
        with connection.schema_editor() as editor:
            editor.add_constraint(
                Item, models.UniqueConstraint(fields=["code"], name="again")
            )
        Item.objects.create(code="a")
        with pytest.raises(IntegrityError), transaction.atomic():
            Item.objects.create(code="a")


class TestValues:
    """How values are compared and kept."""

    def test_collations(self, database):
        """Columns compare and sort by their collation."""
        made = model(
            ci=models.CharField(max_length=9, db_collation="nocase"),
            cs=models.TextField(db_collation="binary"),
        )
        database.create(made)
        made.objects.bulk_create(made(ci=it, cs=it) for it in ("b", "A", "a", "B"))
        assert made.objects.filter(ci="a").count() == 2
        assert made.objects.filter(cs="a").count() == 1
        found = made.objects.order_by("ci", "pk").values_list("ci", flat=True)
        assert list(found) == ["A", "a", "b", "B"]
        assert made.objects.values("ci").annotate(n=Count("pk")).count() == 2
        assert made.objects.filter(cs__startswith="a").count() == 2

    def test_nulls(self, database):
        """NULL comes first, unless told otherwise."""
        database.create(Item)
        Item.objects.bulk_create(Item(code=it or "-", note=it) for it in ("x", None))
        order = [
            list(Item.objects.order_by(by).values_list("note", flat=True))
            for by in ("note", "-note", F("note").asc(nulls_last=True))
        ]
        assert order == [[None, "x"], ["x", None], ["x", None]]

    def test_null_characters(self, database):
        """Text keeps NUL, and is found by it."""
        database.create(Item)
        Item.objects.create(code="a\0b")
        Item.objects.create(code="a")
        assert Item.objects.get(code="a\0b").code == "a\0b"
        assert Item.objects.get(code__gt="a").code == "a\0b"

    def test_long_text(self, ours):
        """A CharField without max_length takes any text."""
        made = model(text=models.CharField())
        ours.create(made)
        made.objects.create(text="é" * 100_000)
        assert len(made.objects.get().text) == 100_000

    def test_precision_of_times(self, database):
        """Now() tells milliseconds, and the difference of times is a duration."""
        database.create(Item)
        Item.objects.create(code="a")
        now = Item.objects.values_list(Cast(Now(), models.DateTimeField()), flat=True)
        assert now.get().microsecond % 1000 == 0

    def test_json(self, ours):
        """Indexes count from the end too; ``contains`` is refused."""
        made = model(data=models.JSONField(null=True))
        ours.create(made)
        made.objects.create(data={'a"b': [1, 2, 3]})
        made.objects.create(data=7)
        assert made.objects.filter(data=7).count() == 1
        (value,) = run("SELECT JSON_EXTRACT('[1, 2, 3]', '$[#-1]')")
        assert value == (3,)
        assert made.objects.filter(**{'data__a"b__1': 2}).count() == 1
        with pytest.raises(NotSupportedError, match="contains"):
            made.objects.filter(data__contains={}).exists()


class TestSQL:
    """What the engine's SQLite takes, whatever the version of Python's."""

    def test_rows_as_values(self, ours):
        """Rows are compared as such."""
        ours.create(Item)
        Item.objects.bulk_create(Item(code=f"{n}", number=n) for n in range(4))
        where = 'SELECT "number" FROM "nonrel_item" WHERE ("number", "code")'
        assert run(f"{where} IN ((1, '1'), (2, '3'), (3, '3'))") == [(1,), (3,)]
        assert run(f"{where} < (2, '2')") == [(0,), (1,)]
        assert run(f"{where} >= (SELECT 2, '3')") == [(3,)]

    def test_aggregates(self, ours):
        """Aggregates take FILTER and ORDER BY, but no DISTINCT with a separator."""
        ours.create(Item)
        Item.objects.bulk_create(Item(code=f"{n}", number=n % 2) for n in range(4))
        assert run(
            "SELECT group_concat(code, '' ORDER BY number, code DESC),"
            " COUNT(*) FILTER (WHERE number) FROM nonrel_item"
        ) == [("2031", 2)]
        with pytest.raises(OperationalError, match="DISTINCT"):
            run("SELECT group_concat(DISTINCT code, ';') FROM nonrel_item")

    def test_windows(self, ours):
        """Frames have distances and leave rows out."""
        ours.create(Item)
        Item.objects.bulk_create(Item(code=f"{n}", number=n) for n in (1, 2, 4))
        assert run(
            "SELECT SUM(number) OVER (ORDER BY number RANGE BETWEEN 1 PRECEDING"
            " AND 1 FOLLOWING EXCLUDE CURRENT ROW) FROM nonrel_item ORDER BY number"
        ) == [(2,), (1,), (None,)]

    @pytest.mark.parametrize(
        "sql",
        [
            "(SELECT 1) UNION (SELECT 2)",
            "SELECT DISTINCT ON (number) number FROM nonrel_item",
            "INSERT INTO nonrel_item (code) VALUES (DEFAULT)",
            "CREATE INDEX i ON nonrel_item (code) INCLUDE (number)",
            "CREATE UNIQUE INDEX i ON nonrel_item (code) NULLS NOT DISTINCT",
            "SELECT 1 XOR 2",
        ],
    )
    def test_what_is_not_there(self, ours, sql):
        """What a flag says isn't supported is a clear error."""
        ours.create(Item)
        with pytest.raises(OperationalError, match="syntax error"):
            run(sql)

    def test_grouped_by_the_key(self, database):
        """An annotated object is grouped by its key, in whatever join."""
        database.create(Author, Book)
        authors = [Author.objects.create(name="same") for _ in range(3)]
        for n, author in enumerate(authors):
            for _ in range(n):
                Book.objects.create(title="t", author=author, editor=None)
        books = Book.objects.annotate(n=Count("author__books")).order_by("pk")
        assert list(books.values_list("n", "author__name")) == [
            (1, "same"),
            (2, "same"),
            (2, "same"),
        ]
        edited = Book.objects.values("editor__pk", "editor__name").annotate(
            n=Count("pk"), last=Max("title")
        )
        assert list(edited) == [
            {"editor__pk": None, "editor__name": None, "n": 3, "last": "t"}
        ]

    def test_patterns(self, database):
        """LIKE ignores case; regular expressions refer back."""
        database.create(Item)
        Item.objects.bulk_create(Item(code=it) for it in ("abab", "ABBA", "abcd"))
        like = Item.objects.filter(Q(code__startswith="AB")).count()
        assert like == 3
        (found,) = Item.objects.filter(code__regex=r"^(..)\1$")
        assert found.code == "abab"


class TestLocks:
    """The variants of ``select_for_update()``; see test_transactions.py."""

    @pytest.mark.parametrize(
        "options", [{"nowait": True}, {"skip_locked": True}, {"no_key": True}]
    )
    def test_what_is_not_there(self, ours, options):
        """What such a lock can't do is refused."""
        ours.create(Item)
        with transaction.atomic(), pytest.raises(NotSupportedError):
            list(Item.objects.select_for_update(**options))


class TestCursors:
    """What PEP 249 leaves open."""

    def test_at_the_end(self, ours):
        """fetchmany() returns an empty list at the end."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchmany(5) == [(1,)]
            assert cursor.fetchmany(5) == connection.features.empty_fetchmany_value

    def test_closed(self, ours):
        """A closed cursor raises ProgrammingError."""
        with connection.cursor() as cursor:
            pass
        with pytest.raises(ProgrammingError):
            cursor.execute("SELECT 1")
        assert connection.features.closed_cursor_error_class is ProgrammingError

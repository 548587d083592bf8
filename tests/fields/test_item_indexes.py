"""Indexes on items: the same rows with them as without, whatever has been written."""

import io

import pytest
from django.core import management, serializers
from django.core.exceptions import FieldError, ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Value
from django.db.models.functions import Concat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backendkit.backends.immudb.ledger import as_of
from backendkit.backends.lmdb.management.commands import lmdb_check
from backendkit.fields import (
    DictField,
    EmbeddedModelField,
    ItemIndex,
    ItemUniqueConstraint,
    ListField,
)
from tests.effort import effort, examples
from tests.nonrel.databases import Database, OtherThread, default, opened

from .indexed import MODELS, Key, Note, Pair, Shelf
from .models import Place
from .test_semantics import JSON, MEANINGS

ENGINES = [
    "lmdb",
    pytest.param("buffered", marks=pytest.mark.check),
    pytest.param("immudb", marks=pytest.mark.check),
    pytest.param("sqlite3", marks=pytest.mark.check),
    pytest.param("postgresql", marks=pytest.mark.check),
    pytest.param("mariadb", marks=pytest.mark.check),
]
#: Those whose stores find a key without a scan.
SEEKING = {"lmdb", "immudb"}
OURS = {"buffered", *SEEKING}


@pytest.fixture(scope="module", params=ENGINES)
def indexed(request, tmp_path_factory, servers, _unblocked):
    """The default database, with the tables of these models."""
    if request.param in ("lmdb", "buffered", "sqlite3"):
        place = opened(request.param, tmp_path_factory.mktemp("indexed"))
    else:
        place = default(servers(request.param))
    with place:
        database = Database(request.param)
        database.create(*MODELS)
        yield database
        with connection.schema_editor() as editor:
            for model in reversed(MODELS):
                editor.delete_model(model)
        assert not database.tables()


@pytest.fixture
def rows(indexed):
    """The database, without a row before and after the test."""
    clear()
    yield indexed
    clear()


def clear():
    for model in reversed(MODELS):
        model.objects.all().delete()


def entries():
    """Return how many entries the item indexes have, by their names."""
    engine = connection.connection
    session = engine.store.session()
    session.begin(write=False)
    try:
        tables = session.catalog().tables.values()
        return {
            table.name: session.estimated_rows(table)
            for table in tables
            if table.items_of
        }
    finally:
        session.close()


def seeks(queryset):
    """Return the item indexes that a query is answered by."""
    text = queryset.explain()
    return {
        index.name
        for model in MODELS
        for index in (*model._meta.indexes, *model._meta.constraints)
        if f"seek items in {index.name}" in text
    }


LONG = "x" * 300
TAGS = st.sampled_from(["", "a", "A", "b", "ü", '"', "\\", "%", LONG, LONG + "y"])
PLACES = st.builds(Place, name=st.sampled_from("ab"), floor=st.none() | st.just(1))
NOTES = st.builds(
    Note,
    title=st.sampled_from("stuv"),
    tags=st.none() | st.lists(TAGS, max_size=3),
    marks=st.sets(st.integers(-1, 3) | st.just(2**31 - 1), max_size=3),
    anything=st.lists(JSON, max_size=3),
    places=st.lists(PLACES, max_size=2),
)
LOOKUPS = ["contains", "overlap", "contained_by", "exact"]


def keys(queryset):
    return sorted(queryset.values_list("pk", flat=True))


@settings(
    max_examples=examples(test=15, check=8, soak=1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_the_same_rows_as_without(indexed, data):
    """Of each lookup, by itself and within others."""
    clear()
    shelves = Shelf.objects.bulk_create([Shelf(name="a"), Shelf(name="b")])
    made = data.draw(st.lists(NOTES, min_size=1, max_size=6))
    for place, note in enumerate(made):
        note.pk, note.shelf = None, [None, *shelves][place % 3]
    Note.objects.bulk_create(made)
    saved = list(Note.objects.order_by("pk"))
    name = data.draw(st.sampled_from(["tags", "marks", "anything", "places"]))
    lookup = data.draw(st.sampled_from(LOOKUPS))
    value = getattr(data.draw(NOTES), name)
    if value is None:
        value = ["a", "b"]
    right = [
        each.pk
        for each in saved
        if getattr(each, name) is not None
        and MEANINGS[lookup](getattr(each, name), value)
    ]
    matching = [note for note in saved if note.pk in right]
    condition = {f"{name}__{lookup}": value}
    found = Note.objects.filter(**condition)
    assert keys(found) == right
    assert found.count() == len(right)
    assert found.exists() is bool(right)
    ordered = sorted((note.title, note.pk) for note in matching)
    assert list(found.order_by("title", "pk")[1:3]) == [
        Note(pk=pk) for _, pk in ordered[1:3]
    ]
    assert keys(found.filter(title="s")) == [n.pk for n in matching if n.title == "s"]
    assert keys(Note.objects.filter(Q(**condition) | Q(title="s"))) == [
        note.pk for note in saved if note.pk in right or note.title == "s"
    ]
    assert keys(Note.objects.exclude(**condition)) == [
        note.pk for note in saved if note.pk not in right
    ]
    assert keys(Note.objects.filter(pk__in=found)) == right
    of_shelves = [note.shelf_id for note in matching if note.shelf_id]
    joined = Shelf.objects.filter(**{f"note__{name}__{lookup}": value})
    assert keys(joined) == sorted(of_shelves)
    some = found.filter(shelf=OuterRef("pk"))
    assert keys(Shelf.objects.filter(Exists(some))) == sorted({*of_shelves})
    assert keys(found.union(Note.objects.filter(title="s"))) == sorted(
        {*right, *(note.pk for note in saved if note.title == "s")}
    )
    with transaction.atomic():
        assert keys(found.select_for_update()) == right
    if name != "places":  # its values have no hash
        counted = Shelf.objects.annotate(
            n=Count("note", filter=Q(**{f"note__{name}__{lookup}": value}))
        )
        assert sum(counted.values_list("n", flat=True)) == len(of_shelves)


def test_rows_are_sought(rows):
    """explain() names the index; what no index answers is read whole."""
    shelf = Shelf.objects.create(name="a")
    Note.objects.bulk_create(
        Note(
            title=f"t{n}",
            tags=[f"tag{n}", "all"],
            marks={n},
            places=[Place(name="a")],
            shelf=shelf,
        )
        for n in range(300)
    )
    if rows.engine not in SEEKING:
        assert not seeks(Note.objects.filter(tags__contains=["tag7"])) or (
            rows.engine not in OURS
        )
        assert Note.objects.get(tags__contains=["tag7"]).title == "t7"
        return
    for sought in (
        Note.objects.filter(tags__contains=["tag7"]),
        Note.objects.filter(tags__contains=["tag7", "all"]),
        Note.objects.filter(tags__contains=["all", "tag7"]),
        Note.objects.filter(tags__overlap=["tag7", "none"]),
        Note.objects.filter(tags__contains=["tag7"], title__startswith="t"),
        Note.objects.filter(tags__contains=["tag7"]).order_by("-title")[:1],
        Shelf.objects.filter(note__tags__contains=["tag7"]),
    ):
        assert seeks(sought) == {"note_tags"}
        text = sought.explain(analyze=True)
        assert "looked up in note_tags: once, 1 row read, 1 returned" in text
    assert seeks(Note.objects.filter(marks__contains=[7])) == {"note_marks"}
    for scanned in (
        Note.objects.filter(tags__contained_by=["tag7"]),
        Note.objects.filter(tags=["tag7"]),
        Note.objects.exclude(tags__contains=["tag7"]),
        Note.objects.filter(Q(tags__contains=["tag7"]) | Q(title="t8")),
        Note.objects.filter(tags__contains=F("tags")),
        Note.objects.filter(tags__0="tag7"),
    ):
        assert not seeks(scanned), scanned.query
    for all_of_them in (
        Note.objects.filter(tags__contains=["all"]),
        Note.objects.filter(tags__contains=[]),
        Note.objects.filter(places__contains=[Place(name="a")]),
    ):
        assert all_of_them.count() == 300
        assert "looked up in" not in all_of_them.explain(analyze=True)


@pytest.mark.usefixtures("_unblocked")
def test_a_cursor_that_is_older_than_the_index(tmp_path):
    """It goes on with its snapshot, by a scan for each row of the outer table."""
    with opened("lmdb", tmp_path) as database:
        database.create(Shelf)
        index, *others = Note._meta.indexes
        Note._meta.indexes = others
        try:
            database.create(Note)
        finally:
            Note._meta.indexes = [index, *others]
        shelves = Shelf.objects.bulk_create(Shelf(name=f"s{n}") for n in range(500))
        Note.objects.bulk_create(Note(tags=[one.name], shelf=one) for one in shelves)
        some = Note.objects.filter(tags__overlap=["s3", "s40"], shelf=OuterRef("pk"))
        reading = Shelf.objects.annotate(has=Exists(some)).order_by("pk")
        reading = reading.iterator(chunk_size=1)
        first = [next(reading) for _ in range(2)]
        with OtherThread() as other:
            other.do(add_index, index)
        assert Note.objects.filter(tags__contains=["s3"]).count() == 1
        found = [shelf.name for shelf in (*first, *reading) if shelf.has]
        assert found == ["s3", "s40"]


def add_index(index):
    with connection.schema_editor() as editor:
        editor.add_index(Note, index)


@pytest.mark.usefixtures("_unblocked")
def test_scan_limits(tmp_path):
    """What is found by an item isn't looked at in vain."""
    with opened("lmdb", tmp_path, max_scan_rows=50) as database:
        database.create(Shelf, Note)
        Note.objects.bulk_create(Note(tags=[f"tag{n}"]) for n in range(200))
        assert Note.objects.filter(tags__contains=["tag7"]).count() == 1
        with pytest.raises(Exception, match="max_scan_rows"):
            Note.objects.filter(tags__contained_by=["tag7"]).count()


def assert_right(rows):
    """Each tag of each note leads to the notes that have it, and the index to no others."""
    saved = list(Note.objects.order_by("pk"))
    tags = {tag for note in saved for tag in note.tags or ()}
    for tag in tags | {"none"}:
        assert keys(Note.objects.filter(tags__contains=[tag])) == [
            note.pk for note in saved if tag in (note.tags or ())
        ]
    if rows.engine in OURS:
        assert entries()["note_tags"] == sum(len(set(n.tags or ())) for n in saved)
        assert entries()["note_marks"] == sum(len(n.marks) for n in saved)


def test_writes(rows):
    """By each method, and undone ones."""
    shelf = Shelf.objects.create(name="a")
    one = Note.objects.create(tags=["a", "b", "a"], marks={1})
    assert_right(rows)
    one.tags.append("c")
    one.save()
    assert_right(rows)
    many = Note.objects.bulk_create(
        [Note(tags=[f"m{n}", "m"], shelf=shelf) for n in range(8)]
    )
    assert_right(rows)
    many = list(Note.objects.filter(tags__contains=["m"]).order_by("pk"))
    for note in many[:5]:
        note.tags.remove("m")
        note.marks = {5}
    Note.objects.bulk_update(many, ["tags", "marks"])
    assert_right(rows)
    Note.objects.filter(tags__contains=["m"]).update(tags=["n"], marks={3, 4})
    assert_right(rows)
    Note.objects.filter(pk=one.pk).update(tags=F("anything"), title="x")
    assert_right(rows)
    Note.objects.filter(tags__contains=["n"]).update(title=Concat("title", Value("y")))
    assert_right(rows)
    Note.objects.update_or_create(pk=many[0].pk, defaults={"tags": ["u"]})
    Note.objects.update_or_create(pk=many[0].pk + 1000, defaults={"tags": ["u"]})
    assert_right(rows)
    if connection.features.supports_update_conflicts_with_target:
        Note.objects.bulk_create(
            [Note(pk=many[0].pk, tags=["v"]), Note(pk=many[-1].pk + 2000, tags=["v"])],
            update_conflicts=True,
            update_fields=["tags"],
            unique_fields=["pk"],
        )
        assert_right(rows)
    Note.objects.bulk_create([Note(pk=many[1].pk, tags=["w"])], ignore_conflicts=True)
    assert_right(rows)
    with pytest.raises(KeyError), transaction.atomic():
        Note.objects.all().update(tags=["z"])
        Note.objects.filter(pk=one.pk).delete()
        raise KeyError
    assert_right(rows)
    with transaction.atomic():
        Note.objects.filter(pk=one.pk).update(tags=["kept"])
        with pytest.raises(KeyError), transaction.atomic():
            Note.objects.filter(pk=one.pk).update(tags=["undone"])
            raise KeyError
    assert keys(Note.objects.filter(tags__contains=["kept"])) == [one.pk]
    assert_right(rows)
    Note.objects.filter(tags__overlap=["u", "v"]).delete()
    many[5].delete()
    assert_right(rows)
    shelf.delete()
    assert_right(rows)
    Note.objects.all().delete()
    assert_right(rows)
    for raw in serializers.serialize("python", [Note(pk=77, tags=["l"])]):
        Note(pk=raw["pk"], tags=raw["fields"]["tags"]).save_base(raw=True)
    assert_right(rows)


def test_raw_sql(rows):
    quote = connection.ops.quote_name
    note = Note.objects.create(tags=["a"])
    table = quote(Note._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET tags = %s", ['["raw", "raw"]'])
        assert keys(Note.objects.filter(tags__contains=["raw"])) == [note.pk]
        assert not Note.objects.filter(tags__contains=["a"])
        cursor.execute(f"DELETE FROM {table}")
    assert_right(rows)


def test_the_past_of_a_ledger(rows):
    """An index has the rows of the present: those of the past are found without it."""
    if rows.engine != "immudb":
        pytest.skip("only a ledger has a past")
    index, *_ = Note._meta.indexes
    with connection.schema_editor() as editor:
        editor.remove_index(Note, index)
    note = Note.objects.create(tags=["old"])
    Note.objects.bulk_create(Note(tags=["other"]) for _ in range(20))
    with connection.connection.store.other() as other:
        then = other.state().txId
    with connection.schema_editor() as editor:
        editor.add_index(Note, index)
    note.tags = ["new"]
    note.save()
    for lookup in ("contains", "overlap"):
        past = as_of(Note.objects.filter(**{f"tags__{lookup}": ["old"]}), then)
        assert [one.pk for one in past] == [note.pk]
        assert not Note.objects.filter(**{f"tags__{lookup}": ["old"]})
        past = as_of(Note.objects.filter(**{f"tags__{lookup}": ["new"]}), then)
        assert not past.exists()


def test_flush(rows):
    Note.objects.create(tags=["a"])
    management.call_command("flush", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        for sql in connection.ops.sql_flush(
            management.color.no_style(), [Note._meta.db_table, Key._meta.db_table]
        ):
            cursor.execute(sql)
    assert_right(rows)


def test_it_is_no_table(rows):
    """Introspection shows an index."""
    assert sorted(rows.tables()) == sorted(model._meta.db_table for model in MODELS)
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Note._meta.db_table)
    there = {name for name in found if name.startswith("note_")}
    if rows.engine in OURS | {"postgresql"}:
        assert there == {index.name for index in Note._meta.indexes}
        assert all(found[name]["index"] for name in there)
    else:
        assert not there
    if rows.engine in OURS:
        text = io.StringIO()
        management.call_command("inspectdb", stdout=text)
        assert text.getvalue().count("class Meta") == len(MODELS)


def test_primary_keys_of_two_columns(rows):
    if not connection.features.supports_tuple_lookups:
        pytest.skip("this database has no primary keys of two columns")
    Pair.objects.bulk_create(
        Pair(left=n % 20, right=f"r{n}", tags=[f"t{n % 40}", "all"]) for n in range(200)
    )
    found = Pair.objects.filter(tags__contains=["t7"])
    assert found.count() == 5
    assert {pair.right for pair in found} == {"r7", "r47", "r87", "r127", "r167"}
    if rows.engine in SEEKING:
        assert seeks(found) == {"pair_tags"}
    found.delete()
    assert Pair.objects.filter(tags__contains=["all"]).count() == 195
    assert not Pair.objects.filter(tags__contains=["t7"])


def test_unique_items(rows):
    """On our stores as the row is written; in full_clean() everywhere."""
    one = Key.objects.create(code="a", codes=["x", "x", None, "y"])
    two = Key(code="b", codes=["z", None])
    two.full_clean()
    two.save()
    two.full_clean()
    two.codes.append("y")
    with pytest.raises(ValidationError, match="key_codes"):
        two.full_clean()
    two.full_clean(exclude=["codes"])
    for codes in (None, [], [None]):
        Key(code="c", codes=codes).full_clean()
    if rows.engine not in OURS:
        return
    for write in (
        two.save,
        lambda: Key.objects.create(code="c", codes=["y"]),
        lambda: Key.objects.bulk_create([Key(code=c, codes=["n"]) for c in "cd"]),
        lambda: Key.objects.filter(code="b").update(codes=["x"]),
        lambda: Key.objects.update(codes=["x"]),
        lambda: Key.objects.bulk_update([two], ["codes"]),
    ):
        with pytest.raises(IntegrityError, match="key_codes"), transaction.atomic():
            write()
    Key.objects.bulk_create(
        [Key(code="c", codes=["y"]), Key(code="d", codes=["new"])],
        ignore_conflicts=True,
    )
    assert {key.code for key in Key.objects.all()} == {"a", "b", "d"}
    one.codes = ["w"]
    one.save()
    two.save()
    assert Key.objects.get(codes__contains=["y"]) == two
    one.delete()
    Key.objects.create(code="e", codes=["w"])
    assert entries()["key_codes"] == 4


@pytest.mark.usefixtures("_unblocked")
def test_damage_is_found_and_repaired(tmp_path):
    with opened("lmdb", tmp_path) as database:
        database.engine = "lmdb"
        database.create(Shelf, Note, Key)
        Note.objects.bulk_create(Note(tags=[f"t{n}", "all"]) for n in range(1, 6))
        Key.objects.create(code="a", codes=["x"])
        Key.objects.create(code="b", codes=["y"])
        session = connection.connection.store.session()
        session.begin(write=True)
        tables = session.catalog().tables
        tags, codes = tables["note_tags"], tables["key_codes"]
        first, second = keys(Note.objects.all())[:2]
        session.delete(tags, [(b"tet1", first), (b"teall", second)])
        session.insert(tags, [(b"tet9", first), (b"teall", 12345)])
        session.delete(tables[Note._meta.db_table], [(first,)])
        session.delete(codes, [(b"tex",)])
        session.insert(codes, [(b"tex", "b"), (b"teghost", "c")])
        session.commit()
        session.close()
        # An entry that is left over is in nobody's way.
        Note.objects.create(pk=first, tags=["all"], marks={1})

        def check(*, repair=False):
            text = io.StringIO()
            status = 0
            try:
                management.call_command(
                    lmdb_check.Command(stdout=text), database="default", repair=repair
                )
            except SystemExit as end:
                status = end.code
            return status, text.getvalue()

        status, text = check()
        assert status == 1
        name = Note._meta.db_table
        for line in (
            f"{name}: index note_tags: row {first} doesn't have an item of an entry",
            f"{name}: index note_tags: row 12345 doesn't have an item of an entry",
            f"{name}: index note_tags: row {second} has an item without an entry",
            f"{Key._meta.db_table}: index key_codes: row 'a' has an item of row 'b'",
        ):
            assert line + "\n" in text
        assert check(repair=True)[0] == 0
        status, text = check()
        assert (status, "no problems found" in text) == (0, True)
        assert_right(database)
        assert Key.objects.get(codes__contains=["x"]).code == "a"


@pytest.mark.check
@pytest.mark.usefixtures("_unblocked")
def test_many_rows(tmp_path):
    """Of 100,000 rows, those with an item are all that is read."""
    with opened("lmdb", tmp_path) as database:
        database.create(Shelf, Note)
        number = effort(test=1000, check=4000, soak=100_000)
        Note.objects.bulk_create(
            (Note(tags=[f"t{n % 1000}", f"u{n % 7}"]) for n in range(number)),
            batch_size=5000,
        )
        found = Note.objects.filter(tags__contains=["t7", "u3"])
        right = [n for n in range(number) if n % 1000 == 7 and n % 7 == 3]
        assert found.count() == len(right)
        text = found.explain(analyze=True)
        assert f"looked up in note_tags: once, {number // 1000} rows read" in text


# What is declared


def declared(field, *more, **meta):
    kind = type("Meta", (), {"app_label": "indexed", "apps": registry(), **meta})
    attributes = {"__module__": __name__, "Meta": kind, "field": field}
    return type("Declared", (models.Model,), attributes)


def registry():
    from tests.nonrel.models import Registry

    return Registry()


def test_deconstruction():
    index = ItemIndex(fields=["tags"], name="i")
    assert index.deconstruct() == (
        "backendkit.fields.ItemIndex",
        (),
        {"fields": ["tags"], "name": "i"},
    )
    assert index.clone() == index
    constraint = ItemUniqueConstraint(
        fields=["tags"], name="i", violation_error_message="no"
    )
    path, *_ = constraint.deconstruct()
    assert path == "backendkit.fields.ItemUniqueConstraint"
    assert constraint.clone() == constraint
    other = models.UniqueConstraint(
        fields=["tags"], name="i", violation_error_message="no"
    )
    assert constraint != other
    assert other != constraint
    assert Key._meta.total_unique_constraints == []


@pytest.mark.parametrize("fields", [[], ["a", "b"], ["-a"], "a"])
@pytest.mark.parametrize("kind", [ItemIndex, ItemUniqueConstraint])
def test_one_field(kind, fields):
    with pytest.raises(ValueError, match="on one field"):
        kind(fields=fields, name="i")


def test_a_name_is_made():
    model = declared(ListField(), indexes=[ItemIndex(fields=["field"])])
    (index,) = model._meta.indexes
    assert index.name.endswith("_itm")


@pytest.mark.parametrize(
    ("field", "is_error"),
    [
        (ListField(), False),
        (DictField(), True),
        (EmbeddedModelField(Place), None),
        (models.JSONField(), None),
    ],
)
@pytest.mark.parametrize("kind", [ItemIndex, ItemUniqueConstraint])
def test_fields_without_items(rows, kind, field, is_error):
    """A check says so where the field is ours; a migration fails."""
    one = kind(fields=["field"], name="declared_field")
    option = "indexes" if kind is ItemIndex else "constraints"
    model = declared(field, **{option: [one]})
    if is_error is not None:
        found = [each.id for each in model._meta.get_field("field").check()]
        assert found == (["backendkit.fields.E008"] if is_error else [])
    if is_error is not False:
        with connection.schema_editor() as editor:
            with pytest.raises(FieldError, match="declared_field"):
                one.create_sql(model, editor)


def test_checks(rows):
    """What a database doesn't have, a check says, of that database alone."""
    for model, identifier in ((Note, "W002"), (Key, "W003")):
        (one, *_) = (*model._meta.indexes, *model._meta.constraints)
        field = model._meta.get_field(one.fields[0])
        assert not field.check()
        found = [each.id for each in field.check(databases=["default"])]
        has = rows.engine in OURS or (rows.engine == "postgresql" and model is Note)
        assert found == ([] if has else [f"backendkit.fields.{identifier}"])


def test_the_schema_changes(rows):
    """Indexes are added, removed, and kept by what remakes a table."""

    class Before(models.Model):
        tags = ListField()

        class Meta:
            app_label = "indexed"
            apps = registry()
            db_table = "changing"

    class After(models.Model):
        tags = ListField(default=["d"])
        number = models.IntegerField(unique=True, null=True)

        class Meta:
            app_label = "indexed"
            apps = registry()
            db_table = "changing"
            indexes = [ItemIndex(fields=["tags"], name="changing_tags")]
            constraints = [
                ItemUniqueConstraint(fields=["tags"], name="changing_unique")
            ]

    (index,), (constraint,) = After._meta.indexes, After._meta.constraints
    rows.create(Before)
    Before.objects.bulk_create([Before(tags=["a", n]) for n in range(3)])
    with connection.schema_editor() as editor:
        editor.add_index(Before, index)
    if rows.engine in OURS:
        with pytest.raises(IntegrityError, match="changing_unique"):
            with connection.schema_editor() as editor:
                editor.add_constraint(Before, constraint)
    for before in Before.objects.all():
        before.tags.remove("a")
        before.save()
    with connection.schema_editor() as editor:
        editor.add_constraint(Before, constraint)
    with connection.schema_editor() as editor:
        editor.add_field(After, After._meta.get_field("number"))
    After.objects.create(tags=["b"], number=1)
    found = After.objects.filter(tags__contains=["b"])
    assert found.count() == 1
    if rows.engine in OURS:
        assert entries()["changing_tags"] == entries()["changing_unique"] == 4
        with pytest.raises(IntegrityError, match="changing_unique"):
            After.objects.create(tags=["b"])
        renamed = ItemIndex(fields=["tags"], name="changing_other")
        with connection.schema_editor() as editor:
            editor.rename_index(After, index, renamed)
        assert "changing_tags" not in entries()
        index = renamed
    with connection.schema_editor() as editor:
        editor.remove_constraint(After, constraint)
        editor.remove_index(After, index)
    After.objects.create(tags=["b"])
    assert found.count() == 2
    with connection.schema_editor() as editor:
        editor.delete_model(After)
    if rows.engine in OURS:
        assert not any(name.startswith("changing") for name in entries())

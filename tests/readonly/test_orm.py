"""What Django's layers above the cursor do with a database that is read-only."""

import asyncio
import threading

import pytest
from django.core import checks
from django.db import connections, models, transaction
from django.db.models import Count, F
from django.test.utils import CaptureQueriesContext

from backendkit.backends.readonly import ReadOnlyError
from tests.nonrel.models import Author, Book, Item, model

from .databases import everything, run


@pytest.fixture
def tables(pair):
    """Tables of models, with an item, an author and a book."""
    with connections["default"].schema_editor() as editor:
        for model in (Item, Author, Book):
            editor.create_model(model)
    item = Item.objects.using("default").create(code="a", number=1)
    author = Author.objects.using("default").create(name="b")
    Book.objects.using("default").create(title="c", author=author)
    return item.pk


def _items():
    return Item.objects.using("reports")


def _found():
    return _items().get()


WRITES = {
    "create": lambda: _items().create(code="x"),
    "save": lambda: _found().save(using="reports"),
    "save some": lambda: _found().save(update_fields=["number"]),
    "bulk_create": lambda: _items().bulk_create([Item(code="x")]),
    "bulk_create, ignoring": lambda: _items().bulk_create(
        [Item(code="x")], ignore_conflicts=True
    ),
    "update": lambda: _items().update(number=7),
    "update F": lambda: _items().filter(code="a").update(number=F("number") + 1),
    "bulk_update": lambda: _items().bulk_update([_found()], ["number"]),
    "delete": lambda: _found().delete(),
    "delete all": lambda: _items().all().delete(),
    "delete raw": lambda: _items()._raw_delete("reports"),
    "cascade": lambda: Author.objects.using("reports").get().delete(),
    "get_or_create": lambda: _items().get_or_create(code="x"),
    "update_or_create": lambda: _items().update_or_create(
        code="a", defaults={"number": 7}
    ),
    "for update": lambda: _items().select_for_update().get(),
    "for update, within": lambda: list(
        _items().filter(pk__in=_items().select_for_update().values("pk"))
    ),
}


def test_the_orm_writes_nothing(tables):
    before = everything()
    for what, write in WRITES.items():
        with pytest.raises(ReadOnlyError, match="'reports' is read-only") as caught:
            write()
        assert "nonrel." in str(caught.value), what
        with pytest.raises(ReadOnlyError), transaction.atomic("reports"):
            write()
    assert everything() == before


def test_the_orm_reads(tables):
    assert _found().code == "a"
    assert _items().filter(code__icontains="A").count() == 1
    assert [item.pk for item in _items().iterator()] == [tables]
    with transaction.atomic("reports"):
        assert [item.pk for item in _items().iterator(chunk_size=1)] == [tables]
    assert _items().get_or_create(code="a")[1] is False
    authors = Author.objects.using("reports")
    assert authors.annotate(n=Count("books")).get().n == 1
    assert authors.prefetch_related("books").get().books.all()[0].title == "c"
    assert Book.objects.using("reports").select_related("author").get().author.name
    assert _items().in_bulk([tables])
    assert _items().exists()
    assert _items().explain()
    assert _items().raw("SELECT * FROM nonrel_item")[0].pk == tables
    assert list(_items().none()) == []
    assert str(_items().filter(code="a").query)
    assert _items().values_list("code").union(_items().values_list("note")).count() == 2


def test_async_and_threads(tables):
    async def both():
        assert (await _items().aget()).pk == tables
        with pytest.raises(ReadOnlyError):
            await _items().acreate(code="x")

    asyncio.run(both())
    seen = []

    def work():
        try:
            seen.append(_found().pk)
            _found().delete()
        except ReadOnlyError as error:
            seen.append(error.alias)
        finally:
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [tables, "reports"]


def test_statements_are_logged(tables):
    with CaptureQueriesContext(connections["reports"]) as captured:
        assert _found().pk == tables
        with pytest.raises(ReadOnlyError):
            run("reports", "DELETE FROM nonrel_item")
    assert "nonrel_item" in captured[0]["sql"]


def test_a_wrapper_of_execution_cannot_make_it_a_write(tables):
    def rewrite(execute, sql, params, many, context):
        return execute("DELETE FROM nonrel_item", None, many, context)

    before = everything()
    with connections["reports"].execute_wrapper(rewrite):
        # The statements that set up the session are rewritten, too.
        for _ in range(2):
            with pytest.raises(ReadOnlyError):
                _found()
    assert everything() == before


def test_it_is_the_backend_that_it_wraps(pair):
    from django.db.utils import load_backend

    writes, reads = connections["default"], connections["reports"]
    backend = load_backend(writes.settings_dict["ENGINE"]).DatabaseWrapper
    assert isinstance(reads, backend)
    assert reads.vendor == writes.vendor
    assert reads.display_name == writes.display_name
    assert isinstance(reads.features, type(writes.features))
    assert reads.read_only
    assert not getattr(writes, "read_only", False)
    assert reads.features.supports_transactions
    assert not reads.features.has_select_for_update
    assert reads.features.supports_json_field == writes.features.supports_json_field
    assert isinstance(reads.copy("other"), backend)
    assert reads.copy("other").read_only


def test_tables_are_not_changed(pair):
    before = everything()
    connection = connections["reports"]
    with pytest.raises(ReadOnlyError, match="migrations"), connection.schema_editor():
        pytest.fail("it was given an editor")
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        editor.create_model(Item)
    assert any("nonrel_item" in line for line in editor.collected_sql)
    with pytest.raises(ReadOnlyError, match="flush"):
        connection.ops.execute_sql_flush(["DELETE FROM shop"])
    with connection.constraint_checks_disabled():
        pass
    connection.check_constraints()
    assert everything() == before


def test_introspection(pair):
    connection = connections["reports"]
    assert "shop" in connection.introspection.table_names()
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, "shop")
        assert connection.introspection.get_constraints(cursor, "shop")
        assert connection.introspection.get_sequences(cursor, "shop") is not None
    assert [column.name for column in columns] == ["id", "name"]
    assert not [
        message
        for message in connection.validation.check()
        if message.level >= checks.ERROR
    ]


def test_no_test_database_is_made(pair):
    creation = connections["reports"].creation
    for call in (
        lambda: creation.create_test_db(verbosity=0),
        lambda: creation.clone_test_db("1"),
        lambda: creation.destroy_test_db("shop", verbosity=0),
    ):
        with pytest.raises(ReadOnlyError, match="MIRROR"):
            call()


def test_a_mirror_reads_the_test_database_in_all_threads(pair):
    connections["reports"].close()
    connections["reports"].creation.set_as_test_mirror(
        {"NAME": connections["default"].settings_dict["NAME"]}
    )
    found = []

    def work():
        found.append(connections["reports"].settings_dict["NAME"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert connections["reports"].settings_dict is connections.databases["reports"]
    assert found == [connections["default"].settings_dict["NAME"]]


def test_a_router_sends_writes_to_the_alias_that_takes_them(tables, routed):
    item = Item.objects.get()
    assert item._state.db == "reports"
    item.number = 8
    item.save()
    assert Item.objects.using("default").get().number == 8


class Router:
    def db_for_read(self, model, **hints):
        return "reports"

    def db_for_write(self, model, **hints):
        return "default"

    def allow_migrate(self, db, app_label, **hints):
        return db != "reports"


@pytest.fixture
def routed():
    from django.db import router

    router.routers = [Router()]
    yield
    del router.routers


def test_tables_of_others_are_read(pair):
    shop = model(
        "Shop",
        meta={"db_table": "shop", "managed": False},
        name=models.CharField(max_length=20),
    )
    assert shop.objects.using("reports").get().name == "one"

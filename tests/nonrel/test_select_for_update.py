"""``select_for_update()``, by what the store is able to."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection, transaction

from .databases import Database, default
from .models import Item


@pytest.fixture
def minimal():
    """A database on a store that neither has locks nor is serializable."""
    with default({"ENGINE": "tests.stores.minimal", "NAME": "minimal", "OPTIONS": {}}):
        database = Database("minimal")
        connection.creation.destroy_database("minimal")
        database.create(Item)
        yield database


def in_another_thread(work):
    """Run something with a connection of its own."""

    def run():
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(run).result()


def test_it_is_ignored_without_locks(minimal):
    """As on Django's SQLite backend: what needs it works."""
    assert not connection.features.has_select_for_update
    item, created = Item.objects.update_or_create(code="a", defaults={"note": "1"})
    assert created
    item, created = Item.objects.update_or_create(code="a", defaults={"note": "2"})
    assert (created, item.note) == (False, "2")
    assert Item.objects.get_or_create(code="a")[1] is False
    with transaction.atomic():
        assert Item.objects.select_for_update().get(code="a").note == "2"
        for option in ("nowait", "skip_locked"):
            assert Item.objects.select_for_update(**{option: True}).count() == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_row_that_is_written_has_not_changed(minimal, gone):
    """No update is lost: a row that was changed since it was read is a conflict."""
    Item.objects.create(code="a", note="1")

    def change():
        if gone:
            Item.objects.filter(code="a").delete()
        else:
            Item.objects.filter(code="a").update(note="theirs")

    def read_and_write():
        with transaction.atomic():
            item = Item.objects.select_for_update().get(code="a")
            in_another_thread(change)
            item.note += " ours"
            item.save()

    with pytest.raises(OperationalError):
        read_and_write()
    notes = [*Item.objects.values_list("note", flat=True)]
    assert notes == ([] if gone else ["theirs"])


@pytest.fixture(params=[{}, {"snapshots": False}, {"remote": True}], ids=str)
def comparing(request):
    """A database on a store that takes preconditions; items "a", "b", "c"."""
    settings = {
        "ENGINE": "tests.stores.comparing",
        "NAME": "comparing",
        "OPTIONS": request.param,
    }
    with default(settings):
        database = Database("comparing")
        connection.creation.destroy_database("comparing")
        database.create(Item)
        for code in "abc":
            Item.objects.create(code=code, note="1")
        yield database


def _by_key():
    return [Item.objects.select_for_update().get(code="a")]


def _by_all():
    return [*Item.objects.select_for_update().order_by("-note").values_list("note")]


def _by_subquery():
    inner = Item.objects.filter(code="a").values("note")
    return [*Item.objects.select_for_update().filter(code="b", note__in=inner)]


def _by_raw_sql():
    with connection.cursor() as cursor:
        sql = "SELECT COUNT(*) FROM nonrel_item WHERE note = '1' FOR UPDATE"
        return cursor.execute(sql).fetchall()


def _twice():
    return _by_key() + _by_key()


def _changed_and_back():
    Item.objects.filter(code="a").update(note="2")
    found = _by_key()
    Item.objects.filter(code="a").update(note="1")
    return found


def _in_a_savepoint():
    with transaction.atomic():
        Item.objects.filter(code="a").update(note="2")
        found = _by_key()
        transaction.set_rollback(True)
    return found


def _in_a_savepoint_with_ddl():
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE other (id integer PRIMARY KEY)")
        found = _by_key()
        transaction.set_rollback(True)
    return found


_READS = [
    _by_key,
    _by_all,
    _by_subquery,
    _by_raw_sql,
    _twice,
    _changed_and_back,
    _in_a_savepoint,
    _in_a_savepoint_with_ddl,
]


@pytest.mark.parametrize("read", _READS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("change", ["changed", "deleted", "nothing", "another"])
def test_what_was_selected_is_a_precondition(comparing, read, change):
    """A commit fails if another one has changed a row that was read for update."""

    def others():
        if change == "changed":
            Item.objects.filter(code="a").update(note="theirs")
        elif change == "deleted":
            Item.objects.filter(code="a").delete()
        elif change == "another":
            Item.objects.create(code="d", note="theirs")

    def work():
        with transaction.atomic():
            assert read()
            in_another_thread(others)
            Item.objects.create(code="ours", note="ours")

    assert connection.features.has_select_for_update
    if change in ("changed", "deleted"):
        with pytest.raises(OperationalError):
            work()
    else:
        work()
    kept = Item.objects.filter(code="ours").exists()
    assert kept == (change in ("nothing", "another"))


def test_what_was_only_read_is_no_precondition(comparing):
    """Rows that a statement without FOR UPDATE reads may change."""
    with transaction.atomic():
        assert Item.objects.select_for_update().get(code="b").note == "1"
        assert Item.objects.get(code="a").note == "1"
        in_another_thread(lambda: Item.objects.filter(code="a").update(note="theirs"))
        Item.objects.create(code="ours", note="ours")
    assert Item.objects.get(code="a").note == "theirs"
    assert Item.objects.filter(code="ours").exists()


def test_update_or_create_with_preconditions(comparing):
    """What needs ``select_for_update()`` works."""
    assert Item.objects.update_or_create(code="a", defaults={"note": "2"})[1] is False
    assert Item.objects.update_or_create(code="d", defaults={"note": "2"})[1] is True
    assert Item.objects.filter(note="2").count() == 2

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

"""The asynchronous ORM."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from .databases import forget_connection
from .models import Author, Book, Item


def in_a_loop(main):
    """Run a coroutine as a server does: the database is another thread's."""

    async def whole():
        try:
            return await main
        finally:
            # Its connection must not outlive the database.
            await sync_to_async(forget_connection)()

    return asyncio.run(whole())


def from_a_thread(main):
    """Run a coroutine as synchronous code does: the database is this thread's."""

    async def whole():
        return await main

    return async_to_sync(whole)()


@pytest.fixture(params=["in a loop", "from a thread"])
def running(request, database):
    """How coroutines are run: the second way uses this thread's connection."""
    database.create(Item, Author, Book)
    if request.param == "in a loop":
        return in_a_loop
    return from_a_thread


def test_reads_and_writes(running):
    """Every asynchronous method does what the one without "a" does."""

    async def main():
        item = await Item.objects.acreate(code="a", number=1)
        await Item.objects.abulk_create([Item(code="b"), Item(code="c", number=5)])
        assert await Item.objects.acount() == 3
        assert await Item.objects.aget(code="a") == item
        item.number = 2
        await item.asave()
        await item.arefresh_from_db()
        _, created = await Item.objects.aget_or_create(code="a")
        assert not created
        assert await Item.objects.filter(code="b").aexists()
        assert await Item.objects.filter(code="b").aupdate(number=7) == 1
        total = await Item.objects.aaggregate(total=Sum("number"))
        assert total == {"total": 14}
        assert (await Item.objects.order_by("-number").afirst()).code == "b"
        await item.adelete()
        return [item.code async for item in Item.objects.order_by("code")]

    assert running(main()) == ["b", "c"]
    assert Item.objects.count() == 2


def test_iterates(running):
    """``aiterator()`` reads rows a chunk at a time, related ones included."""

    async def main():
        author = await Author.objects.acreate(name="a")
        for number in range(25):
            await Book.objects.acreate(title=f"{number:02}", author=author)
        books = Book.objects.select_related("author").order_by("title")
        rows = books.aiterator(chunk_size=10)
        return [(book.title, book.author.name) async for book in rows]

    assert running(main()) == [(f"{number:02}", "a") for number in range(25)]


def test_transactions(running):
    """A block runs as a whole in ``sync_to_async``."""

    @sync_to_async
    def block():
        with transaction.atomic():
            Item.objects.create(code="a")
            Item.objects.create(code="a")

    async def main():
        with pytest.raises(IntegrityError):
            await block()
        return await Item.objects.acount()

    assert running(main()) == 0


def test_many_tasks(running):
    """Tasks that use the database at once don't mix up their results."""

    async def one(number):
        await Item.objects.acreate(code=f"{number}", number=number)
        return (await Item.objects.aget(code=f"{number}")).number

    async def main():
        return await asyncio.gather(*(one(number) for number in range(20)))

    assert running(main()) == list(range(20))


def test_sync_in_a_loop(database):
    """In a running loop the synchronous ORM is refused."""
    database.create(Item)
    connection.close()

    async def main():
        with pytest.raises(SynchronousOnlyOperation):
            Item.objects.count()
        with pytest.raises(SynchronousOnlyOperation):
            connection.close()

    asyncio.run(main())
    assert Item.objects.count() == 0

"""What is measured. Each operation does the same on both engines."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Count, Model, Sum
from django.http import HttpResponse
from django.test import Client

from .engines import raw_commits
from .groups import (
    CREATES,
    DELETES,
    FLOOR,
    GROUP_BY,
    INSTANCES,
    KEY,
    PAGE,
    ROWS,
    SCHEMA,
    UPDATES,
    VALUES,
)
from .shop.models import Book, Document, Sale, Stock
from .shop.rows import sale
from .shop.tables import create_tables, drop_tables
from .words import WORDS


def _nothing(calls: int) -> None:
    pass


@dataclass
class Operation:
    """
    Something to measure.

    :param name: for people.
    :param group: one of :mod:`benchmarks.groups`.
    :param call: does it; the number says which of many alike, and goes up.
    :param before: makes what a number of calls needs, unmeasured.
    :param after: takes away what they left, unmeasured.
    :param reads: whether the database stays as it is.
    """

    name: str
    group: str
    call: Callable[[int], Any]
    before: Callable[[int], None] = _nothing
    after: Callable[[int], None] = _nothing
    reads: bool = True
    #: Calls so far.
    number: int = field(default=0, init=False)


def operations(engine, sizes, directory):
    """Return all operations, in the order of the table."""
    books, sales = sizes.books, sizes.sales
    documents, tables = sizes.authors // 5, sizes.authors * 2 // 5

    @functools.cache
    def commits():
        return raw_commits(engine, directory)

    client = Client()
    client.force_login(get_user_model().objects.get())
    keys = []

    def new(count):
        return [sale(number, books) for number in range(count)]

    def make(count):
        keys[:] = [one.pk for one in Sale.objects.bulk_create(new(count))]

    def drop(count):
        Sale.objects.filter(pk__gt=sales).delete()

    def create(number):
        one = sale(number, books)
        one.save()
        return one

    bulk = []

    def make_bulk(calls):
        bulk[:] = [new(books) for _ in range(calls)]

    def plain(name, group, call):
        return Operation(name, group, call)

    def changing(name, group, call, before=_nothing, after=_nothing):
        return Operation(name, group, call, before, after, reads=False)

    return [
        plain(
            "get() by primary key",
            KEY,
            lambda n: Book.objects.get(pk=n * 7919 % books + 1),
        ),
        plain(
            f"filter() on an indexed field, 10 of {books:,}",
            KEY,
            lambda n: list(Book.objects.filter(shelf=n % (books // 10))),
        ),
        plain(f"count() of {sales:,}", KEY, lambda n: Sale.objects.count()),
        plain(
            f"count() with a filter on an index, {sales // 100:,} of {sales:,}",
            KEY,
            lambda n: Sale.objects.filter(day=_day(n)).count(),
        ),
        plain(f"{books:,} instances", INSTANCES, lambda n: list(Book.objects.all())),
        plain(
            f"{books:,} instances with select_related()",
            INSTANCES,
            lambda n: list(Book.objects.select_related("author")),
        ),
        plain(
            f"values_list() of {books:,}",
            VALUES,
            lambda n: list(Book.objects.values_list("pk", "title", "pages")),
        ),
        plain(
            f"group by over a join, {books:,} rows",
            GROUP_BY,
            lambda n: list(
                Book.objects.values("author__country").annotate(
                    n=Count("pk"), pages=Sum("pages")
                )
            ),
        ),
        changing("create(), autocommit", CREATES, create, after=drop),
        changing(
            f"bulk_create() of {books:,}",
            CREATES,
            lambda n: len(Sale.objects.bulk_create(bulk.pop())),
            make_bulk,
            drop,
        ),
        changing(
            "update() by primary key, autocommit",
            UPDATES,
            lambda n: Sale.objects.filter(pk=n * 7919 % sales + 1).update(
                quantity=n % 100
            ),
        ),
        changing(
            "save() of an instance, autocommit",
            UPDATES,
            lambda n: Sale(pk=n * 7907 % sales + 1, **_values(n, books)).save(
                force_update=True
            ),
        ),
        changing(
            "delete() by primary key, autocommit",
            DELETES,
            lambda n: Sale.objects.filter(pk=keys.pop()).delete(),
            make,
            drop,
        ),
        plain(
            f"admin: first page of a changelist, 100 of {books:,}",
            PAGE,
            lambda n: client.get("/admin/shop/book/"),
        ),
        plain(
            f"count() with a filter on no index, of {sales:,}",
            ROWS,
            lambda n: Sale.objects.filter(quantity=n % 100).count(),
        ),
        plain(
            f"filter() on no index, of {books:,}",
            ROWS,
            lambda n: list(Book.objects.filter(pages=n % 950 + 50)),
        ),
        plain(
            f"icontains on no index, of {books:,}",
            ROWS,
            lambda n: list(
                Book.objects.filter(
                    text__icontains=f"{WORDS[n % 24]} {WORDS[n % 23]}".upper()
                )
            ),
        ),
        changing(
            f"update() by a filter on no index, about {sales // 100:,} of {sales:,}",
            ROWS,
            lambda n: Sale.objects.filter(quantity=n % 100).update(
                price=sale(n * 3, books).price
            ),
        ),
        changing(
            f"update() of a column with a CHECK, {books:,} rows",
            ROWS,
            lambda n: Stock.objects.update(quantity=n % 100),
        ),
        changing(
            f"update() beside a column with a CHECK, {books:,} rows",
            ROWS,
            lambda n: Stock.objects.update(note=WORDS[n % 24]),
        ),
        plain(
            f"a page of 20 of {documents:,} rows, without values of 100 KB",
            ROWS,
            lambda n: list(
                Document.objects.order_by("pk").values_list("pk", "title")[:20]
            ),
        ),
        changing(
            f"create_model() of {tables:,} tables",
            SCHEMA,
            lambda n: create_tables(tables),
            after=lambda calls: drop_tables(tables),
        ),
        changing("commit of a row by the driver alone", FLOOR, lambda n: commits()()),
    ]


def _day(number):
    return sale(number, 1).day


def _values(number, books):
    one = sale(number, books)
    return {
        name: getattr(one, name) for name in ("book_id", "day", "quantity", "price")
    }


def plain_of(answer):
    """Return what can be compared with the other engine's answer."""
    if isinstance(answer, HttpResponse):
        token = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')
        return answer.status_code, token.sub("", answer.content.decode())
    if isinstance(answer, Model):
        fields = [getattr(answer, one.attname) for one in answer._meta.concrete_fields]
        related = [plain_of(one) for one in answer._state.fields_cache.values()]
        return type(answer).__name__, fields, related
    if isinstance(answer, list):
        # None of them asks for an order, and SQL promises none.
        return sorted((plain_of(one) for one in answer), key=repr)
    return answer

"""
Verified query sets, and those of the past, in whatever Django makes of them.

What comes of one is proven, or refused: nothing loses its proofs without an error.
"""

import asyncio
import contextlib
import copy
import pickle

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from django.apps import apps as applications
from django.db import NotSupportedError, connection, models
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q
from django.db.models.query import QuerySet

from backendkit.backends.immudb import ledger
from backendkit.backends.immudb.ledger import proofs

from .ledger_models import MODELS, Author, Book, Tag

LENDS = True


@pytest.fixture(autouse=True)
def tables(database, tmp_path):
    database.set_options(state=tmp_path / "states.json")
    database.create(Author, Tag, Book)
    author = Author.objects.create(name="Ann")
    book = Book.objects.create(title="a", pages=1, author=author)
    Book.objects.create(title="b", pages=2, author=author)
    book.tags.add(Tag.objects.create(word="w"))


@pytest.fixture
def proven(monkeypatch):
    """The objects whose proofs were checked."""
    found = []
    honest = proofs.compare

    def compare(rows, instance, other):
        found.append((type(instance).__name__, instance.pk))
        return honest(rows, instance, other)

    monkeypatch.setattr(proofs, "compare", compare)
    return found


@pytest.fixture(autouse=True)
def loadable(monkeypatch):
    """Objects of models whose application isn't installed can be unpickled."""
    ours = {("ledger", model.__name__): model for model in MODELS}
    monkeypatch.setattr(applications, "get_model", lambda *names: ours[names])


def books():
    return Book.objects.verified()


def wait(make):
    return asyncio.run(make())


async def collected(queryset):
    return [one async for one in queryset.aiterator()]


#: What keeps the proofs, by the method: each returns objects.
KEPT = {
    "__and__": lambda: list(books().filter(pages=1) & books().all()),
    "__or__": lambda: list(books().filter(pages=1) | books().filter(pages=9)),
    "__xor__": lambda: list(books().filter(pages=1) ^ books().filter(pages=9)),
    "alias": lambda: list(books().alias(n=F("pages") + 1).filter(n=2)),
    "all": lambda: list(books().all()),
    "as_of": lambda: list(books().as_of(last_tx())),
    "complex_filter": lambda: list(books().complex_filter({"pages": 1})),
    "db": lambda: books().db and books(),
    "distinct": lambda: list(books().distinct()),
    "earliest": lambda: [books().earliest("pk")],
    "exclude": lambda: list(books().exclude(pages=2)),
    "extra": lambda: list(books().extra(where=["pages = 1"])),
    "fetch_mode": lambda: list(books().fetch_mode(models.FETCH_PEERS)),
    "filter": lambda: list(books().filter(pages=1)),
    "first": lambda: [books().first()],
    "get": lambda: [books().get(pages=1)],
    "get_or_create": lambda: [books().get_or_create(pages=1)[0]],
    "in_bulk": lambda: list(books().in_bulk([1]).values()),
    "iterator": lambda: list(books().iterator(chunk_size=1)),
    "last": lambda: [books().last()],
    "latest": lambda: [books().latest("pk")],
    "none": lambda: [*books().none(), *books()],
    "order_by": lambda: list(books().order_by("-pages")),
    "ordered": lambda: books().ordered is False and books(),
    "query": lambda: books().query and books(),
    "reverse": lambda: list(books().order_by("pk").reverse()),
    "select_for_update": lambda: list(books().select_for_update()),
    "select_related": lambda: list(books().select_related("author")),
    "totally_ordered": lambda: books().order_by("pk").totally_ordered and books(),
    "update_or_create": lambda: [
        books().update_or_create(pages=1, defaults={"title": "x"})[0]
    ],
    "using": lambda: list(books().using("default")),
    "verified": lambda: list(books().verified()),
    "aiterator": lambda: wait(lambda: collected(books())),
    "aget": lambda: [wait(lambda: books().aget(pages=1))],
    "afirst": lambda: [wait(books().afirst)],
    "alast": lambda: [wait(books().alast)],
    "aearliest": lambda: [wait(lambda: books().aearliest("pk"))],
    "alatest": lambda: [wait(lambda: books().alatest("pk"))],
    "ain_bulk": lambda: list(wait(lambda: books().ain_bulk([1])).values()),
    "aget_or_create": lambda: [wait(lambda: books().aget_or_create(pages=1))[0]],
    "aupdate_or_create": lambda: [
        wait(lambda: books().aupdate_or_create(pages=1, defaults={"title": "x"}))[0]
    ],
}

#: What is refused; the error names it.
REFUSED = {
    "aggregate": lambda: books().aggregate(Count("pk")),
    "annotate": lambda: books().annotate(n=F("pages")),
    "bulk_update": lambda: books().bulk_update([Book(pk=1)], ["pages"]),
    "changes": lambda: books().changes(0),
    "contains": lambda: books().contains(Book(pk=1)),
    "count": lambda: books().count(),
    "dates": lambda: books().dates("published", "day"),
    "datetimes": lambda: books().datetimes("changed", "day"),
    "defer": lambda: books().defer("title"),
    "delete": lambda: books().delete(),
    "difference": lambda: books().difference(Book.objects.all()),
    "exists": lambda: books().exists(),
    "history": lambda: books().history(1),
    "intersection": lambda: books().intersection(Book.objects.all()),
    "only": lambda: books().only("title"),
    "prefetch_related": lambda: books().prefetch_related("tags"),
    "raw": lambda: books().raw("SELECT * FROM ledger_book"),
    "resolve_expression": lambda: Book.objects.filter(pk__in=books()),
    "union": lambda: books().union(Book.objects.all()),
    "update": lambda: books().update(pages=3),
    "values": lambda: books().values("title"),
    "values_list": lambda: books().values_list("title"),
    "aaggregate": lambda: wait(lambda: books().aaggregate(Count("pk"))),
    "abulk_update": lambda: wait(lambda: books().abulk_update([Book(pk=1)], ["pages"])),
    "acontains": lambda: wait(lambda: books().acontains(Book(pk=1))),
    "acount": lambda: wait(books().acount),
    "adelete": lambda: wait(books().adelete),
    "aexists": lambda: wait(books().aexists),
    "aupdate": lambda: wait(lambda: books().aupdate(pages=3)),
}

#: What reads no rows.
OTHERS = {
    "abulk_create",
    "acreate",
    "aexplain",
    "as_manager",
    "bulk_create",
    "create",
    "explain",
}


def last_tx():
    with connection.connection.store.other() as other:
        return other.state().txId


def public(of):
    return {name for name in dir(of) if not name.startswith("_")} | {
        name for name in ("__and__", "__or__", "__xor__") if hasattr(of, name)
    }


def test_each_method_of_a_query_set_is_known():
    """One that Django gets has to be looked at: is what comes of it proven?"""
    known = KEPT.keys() | REFUSED.keys() | OTHERS
    assert public(ledger.LedgerQuerySet) - known == set()
    assert not KEPT.keys() & REFUSED.keys()
    # fetch_mode() and totally_ordered are younger than Django 5.2.
    later = {"fetch_mode", "totally_ordered"}
    assert known - public(ledger.LedgerQuerySet) <= later


def test_proofs_are_kept(proven):
    for method, ask in KEPT.items():
        if not hasattr(ledger.LedgerQuerySet, method):
            continue  # this Django is older
        proven.clear()
        found = list(ask())
        assert found, method
        assert {("Book", one.pk) for one in found} <= set(proven), method
        assert (("Author", 1) in proven) is (method == "select_related"), method


def test_the_rest_is_refused():
    before = Book.objects.count(), last_tx()
    for method, ask in REFUSED.items():
        wanted = method[1:] if method[0] == "a" and method[1:] in REFUSED else method
        wanted = {"resolve_expression": "another query"}.get(wanted, wanted)
        with pytest.raises(NotSupportedError, match=wanted):
            ask()
    assert (Book.objects.count(), last_tx()) == before


def test_what_reads_no_rows():
    assert books().create(title="c").pk
    assert books().bulk_create([Book(title="d")])
    assert "ledger_book" in books().explain()
    assert "ledger_book" in wait(books().aexplain)
    # Nothing is deferred or prefetched.
    assert len(books().defer(None).prefetch_related(None)) == 4


def plain():
    return QuerySet(Book)


class TestSeveralQuerySets:
    def test_one_that_is_verified_is_enough(self, proven):
        for combined in (
            lambda: books() | Book.objects.filter(pages=1),
            lambda: Book.objects.filter(pages=1) | books(),
            lambda: Book.objects.filter(pages__gt=0) & books(),
            lambda: Book.objects.filter(pages=9) ^ books(),
            lambda: books() | plain().filter(pages=1),
            lambda: Book.objects.none() | books(),
            lambda: (books() & Book.objects.none()) | Book.objects.all(),
            lambda: books().filter(Q(pages=1) | Q(pages=2)) & books(),
        ):
            proven.clear()
            found = list(combined())
            assert {one.pk for one in found} == {1, 2}
            assert {pk for _, pk in proven} == {1, 2}

    def test_no_other_loses_its_proofs(self):
        """However it gets there: the query itself is marked."""
        for combined in (
            lambda: plain() | books(),
            lambda: plain() & books(),
            lambda: plain() ^ books(),
            lambda: Book.objects.union(books()),
            lambda: Book.objects.all().intersection(books()),
            lambda: Book.objects.all().difference(books()),
            lambda: Book.objects.none().union(books(), Book.objects.all()),
            lambda: plain().union(books()),
            lambda: plain().filter(pk__in=books()),
            lambda: plain().filter(pk__in=books().query),
            lambda: Book.objects.filter(Exists(books())),
            lambda: Author.objects.filter(
                Exists(books().filter(author=OuterRef("pk")))
            ),
            lambda: books()[:1] | Book.objects.all(),
            lambda: Book.objects.all()[:1] | books(),
            lambda: with_query(books().query),
            lambda: with_query(pickle.loads(pickle.dumps(books().query))),
            lambda: books().extra(select={"n": "1"}),
            lambda: Author.objects.prefetch_related(
                Prefetch("books", books().annotate(n=F("pages")))
            ),
        ):
            with pytest.raises(NotSupportedError, match=r"verified|proven"):
                list(combined())

    def test_a_query_set_that_is_made_into_a_verified_one(self):
        for queryset in (
            Book.objects.values("pk"),
            Book.objects.values_list("pk", flat=True),
            Book.objects.dates("published", "day"),
            Book.objects.annotate(n=F("pages")),
            Book.objects.only("title"),
            Book.objects.prefetch_related("tags"),
            Book.objects.union(Book.objects.all()),
        ):
            with pytest.raises(NotSupportedError, match="verified"):
                queryset.verified()

    def test_prefetched(self, proven):
        author = Author.objects.prefetch_related(Prefetch("books", books())).get()
        assert [one.title for one in author.books.all()] == ["a", "b"]
        assert proven == [("Book", 1), ("Book", 2)]
        proven.clear()
        authors = Prefetch("author", Author.objects.verified())
        assert {one.author.name for one in Book.objects.prefetch_related(authors)} == {
            "Ann"
        }
        assert proven == [("Author", 1)]
        with (
            contextlib.suppress(NotSupportedError),
        ):
            # Through a table between them: Django adds values to the objects.
            tags = Prefetch("tags", Tag.objects.verified())
            list(Book.objects.prefetch_related(tags))
            assert ("Tag", "w") in proven

    @pytest.mark.check
    def test_copies(self, proven):
        for copied in (copy.deepcopy(books()), books().all()):
            proven.clear()
            assert len(copied) == len(proven) == 2
            with pytest.raises(NotSupportedError):
                copied.values("pk")
        proven.clear()
        # What is pickled was proven.
        pickled = pickle.dumps(books())
        assert len(proven) == 2
        assert len(pickle.loads(pickled)) == 2

    @pytest.mark.check
    def test_counts_of_what_is_evaluated(self):
        found = books()
        assert len(found) == 2
        assert (found.count(), found.exists()) == (2, True)
        assert found.contains(found[0])

    @pytest.mark.check
    def test_a_slice(self, proven):
        assert [one.pk for one in books().order_by("-pk")[:1]] == [2]
        assert proven == [("Book", 2)]
        assert [one.pk for one in books().order_by("pk")[::2]] == [1]


class TestPast:
    def test_other_moments_are_not_mixed(self):
        then = last_tx()
        Book.objects.update(title="new")
        past, now = Book.objects.as_of(then), Book.objects.all()
        for combine in (
            lambda: past | now,
            lambda: now | past,
            lambda: past & now,
            lambda: now ^ past,
            lambda: plain() | past,
            lambda: past | plain(),
            lambda: past.union(now),
            lambda: now.union(past),
            lambda: now.difference(past),
            lambda: past | Book.objects.as_of(last_tx()),
        ):
            with pytest.raises(NotSupportedError, match="different moments"):
                combine()
        with pytest.raises(ValueError, match="different databases"):
            list(now.filter(pk__in=past))

    def test_what_stays_there(self, proven):
        then = last_tx()
        Book.objects.update(title="new")
        past = Book.objects.as_of(then)
        old = ["a", "b"]

        def titles(found):
            return [one.title for one in found]

        assert titles(past.filter(pages=1) | past.filter(pages=2)) == old
        assert sorted(titles(past.union(past))) == old
        assert titles(past.raw("SELECT * FROM ledger_book ORDER BY id")) == old
        assert titles(past.filter(pk__in=past)) == old
        assert titles(past.filter(pk__in=Book.objects.as_of(then))) == old
        assert titles(past.iterator()) == old
        assert titles(wait(lambda: collected(past.order_by("pk")))) == old
        assert titles(past.in_bulk().values()) == old
        assert titles(copy.deepcopy(past)) == old
        assert titles(pickle.loads(pickle.dumps(past))) == old
        assert list(past.values_list("title", flat=True)) == old
        assert list(past.dates("published", "day")) == []
        assert past.contains(Book(pk=1))
        (author,) = Author.objects.as_of(then).prefetch_related("books")
        assert titles(author.books.all()) == old
        assert proven == []
        assert titles(past.verified() | past) == old
        assert {pk for _, pk in proven} == {1, 2}


def with_query(query):
    """A query set of Django's with somebody else's query."""
    queryset = plain()
    queryset.query = query
    return queryset

"""Text with a certain beginning is found by ranges of an index, as SQLite finds it."""

import pytest
from django.db import connections, models, transaction
from hypothesis import given
from hypothesis import strategies as st

from backendkit.backends.immudb.prefixes import prefix_ranges
from backendkit.backends.immudb.shared import Shared
from backendkit.stores import matcher
from tests.effort import chance, examples
from tests.nonrel.databases import complete
from tests.nonrel.models import Registry

pytest.importorskip("grpc", reason="needs the extra immudb")

ORACLE = "prefixes_oracle"
QUESTIONS = examples(test=60, check=300, soak=3000)

#: Letters with and without case, at the ends of what UTF-8 has of one length.
ALPHABET = (
    "aAbBzZ[@`{09%_\\ \x7f\x80éÉßK\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"
)
texts = st.text(st.sampled_from(ALPHABET), max_size=9)


@given(texts, texts, st.sampled_from([None, 4, 9, 40]), st.integers(0, 6))
def test_all_that_begins_so_is_in_one_range(prefix, rest, length, letters):
    ranges = prefix_ranges(prefix, length, letters)
    for text in (prefix + rest, prefix.swapcase() + rest, rest, rest + prefix):
        if length is not None and len(text.encode()) > length:
            continue
        matches = matcher("startswith", prefix)(text)
        if ranges is None:
            continue
        found = [low <= text < high for low, high in ranges]
        assert sum(found) <= 1
        assert not matches or any(found)
    for low, high in ranges or ():
        assert low < high
        assert length is None or max(len(low.encode()), len(high.encode())) <= length
    assert len(ranges or ()) <= 2**letters


class Tag(models.Model):
    slug = models.CharField(max_length=12, null=True, db_index=True)
    note = models.TextField(null=True)
    group = models.IntegerField()

    class Meta:
        app_label = "prefixes"
        apps = Registry()
        indexes = (models.Index(fields=["group", "slug"], name="prefixes_group_slug"),)


@pytest.fixture
def oracle(database):
    """SQLite under an alias of its own, with the same table."""
    connections.databases[ORACLE] = complete(
        {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    )
    database.create(Tag)
    with connections[ORACLE].schema_editor() as editor:
        editor.create_model(Tag)
    yield
    connections[ORACLE].close()
    del connections[ORACLE]
    del connections.databases[ORACLE]


def test_answers_are_those_of_sqlite(oracle, monkeypatch):
    monkeypatch.setattr(Shared, "size", lambda *_: 10**6)
    draw = chance("prefixes")

    def text(most):
        return "".join(
            draw.choices(ALPHABET[:12] + "éß\U0010ffff", k=draw.randrange(most))
        )

    def write(number):
        rows = [
            Tag(
                slug=draw.choice([None, *(text(4) for _ in range(6))]),
                note=draw.choice([None, text(4), "a" * 2000]),
                group=draw.randrange(2),
            )
            for _ in range(number)
        ]
        Tag.objects.bulk_create(rows)
        Tag.objects.using(ORACLE).bulk_create(rows)

    def check(number):
        for _ in range(number):
            lookups = ["startswith", "istartswith", "iexact", "exact", "gte"]
            filters = {
                f"slug__{draw.choice(lookups)}": draw.choice([text(4), "b" * 13])
            }
            if draw.random() < 0.3:
                filters[f"note__{draw.choice(lookups)}"] = text(3)
            if draw.random() < 0.3:
                filters["group"] = 1
            if draw.random() < 0.2:
                filters["group__in"] = [0, 1, 5]
            order = draw.choice(
                [["pk"], ["slug", "pk"], ["-slug", "-pk"], ["note", "pk"]]
            )
            part = draw.choice([slice(None), slice(0, 3), slice(2, 6)])
            for method in ("filter", "exclude"):
                ours, theirs = (
                    getattr(Tag.objects.using(alias), method)(**filters).order_by(
                        *order
                    )
                    for alias in ("default", ORACLE)
                )
                what = f"{method} {filters} {order} {part}"
                keys = [
                    list(q.values_list("pk", flat=True)[part]) for q in (ours, theirs)
                ]
                assert keys[0] == keys[1], what
                assert ours.count() == theirs.count(), what
                assert ours.exists() == theirs.exists(), what

    write(80)
    check(QUESTIONS // 2)
    with transaction.atomic(), transaction.atomic(ORACLE):
        write(20)
        check(QUESTIONS // 2)


def test_an_index_is_what_finds_it(oracle, monkeypatch):
    monkeypatch.setattr(Shared, "size", lambda *_: 10**6)
    Tag.objects.bulk_create(Tag(slug=f"{n:03}-x", group=0) for n in range(60))
    found = Tag.objects.filter(slug__startswith="01")
    assert "seek" in found.explain()
    assert [tag.slug for tag in found] == [f"{n:03}-x" for n in range(10, 20)]

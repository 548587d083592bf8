"""What is saved is what is loaded, and what is stored is JSON."""

import datetime
import json
import uuid
from decimal import Decimal

import pytest
from django.db import connection

from .models import Address, Email, Person, Phone, Place, Team

FULL = {
    "city": "Malmö",
    "number": 7,
    "ratio": 1.5,
    "price": Decimal("1.5"),
    "since": datetime.date(2026, 1, 31),
    "seen": datetime.datetime(2026, 1, 31, 12, 30),
    "opens": datetime.time(8, 30),
    "lasts": datetime.timedelta(days=1, microseconds=5),
    "key": uuid.UUID(int=5),
    "ip": "10.0.0.1",
    "secret": b"\0\xff",
    "open": True,
}


def stored(column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM fields_tests_person")
        ((found,),) = cursor.fetchall()
    return json.loads(found) if isinstance(found, str) else found


def test_each_field_comes_back_as_it_was(empty):
    team = Team.objects.create(name="a")
    address = Address(**FULL, place=Place(name="attic", floor=3), tags=["x", "y"])
    saved = Person(
        address=address,
        contact=Phone(number="1"),
        old=Email(address="a@example.com"),
        places=[Place(name="attic"), Place(name="cellar", floor=-1)],
        tags=["b", "a", "b"],
        numbers=[-3, 1, 2],
        prices=[Decimal("1.10"), None],
        marks={3, 1, 2},
        sums={"b": 1.5, "a": 2.0},
        days=[datetime.date(2026, 1, 1)],
        teams=[team],
        grid=[[1], [], [2, 3]],
        raw={"a": [1, None, True, "x"]},
        anything=["x", 1, {"a": None}],
        blob=b"\0\1",
    )
    saved.save()
    found = Person.objects.get()
    for field in Person._meta.concrete_fields:
        if field.name != "teams":
            assert getattr(found, field.name) == getattr(saved, field.name), field.name
    assert found.numbers == [1, 2, -3]
    assert found.teams == [team.pk]
    assert found.address.place.floor == 3
    assert not found.address._state.adding
    assert stored("address") == {
        "city": "Malmö",
        "number": 7,
        "ratio": 1.5,
        "price": "1.50",
        "since": "2026-01-31",
        "seen": "2026-01-31T12:30:00.000000",
        "opens": "08:30:00.000000",
        "lasts": 86_400_000_005,
        "key": "00000000-0000-0000-0000-000000000005",
        "ip": "10.0.0.1",
        "secret": "AP8=",
        "open": True,
        "place": {"name": "attic", "floor": 3},
        "tags": ["x", "y"],
        "made": address.made.isoformat(timespec="microseconds"),
    }
    assert stored("contact") == {
        "_model": "fields_tests.phone",
        "number": "1",
        "private": False,
    }
    assert stored("old") == {"_model": "mail", "address": "a@example.com"}


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        *((name, value) for name, value in FULL.items()),
        ("place__floor", 3),
        ("place", Place(name="attic", floor=3)),
        ("tags", ["x", "y"]),
        ("tags__0", "x"),
        ("tags__len", 2),
        ("tags__contains", ["y"]),
        ("price__gt", Decimal("1.49")),
        ("price__lte", Decimal("1.5")),
        ("since__year", 2026),
        ("since__range", ("2026-01-31", "2026-02-01")),
        ("seen__gte", datetime.datetime(2026, 1, 31, 12, 30)),
        ("seen__month", 1),
        ("seen__date", datetime.date(2026, 1, 31)),
        ("opens__hour", 8),
        ("opens__lt", datetime.time(8, 30, 0, 1)),
        ("lasts__gt", datetime.timedelta(days=1)),
        ("key__in", [uuid.UUID(int=5), uuid.UUID(int=6)]),
        ("city__icontains", "LM"),
        ("city__startswith", "Mal"),
        ("ratio__range", (1, 2)),
        ("open__isnull", False),
        ("pk__isnull", True),
    ],
)
def test_a_path_has_the_lookups_of_its_field(lookup, value, empty):
    Person.objects.create(
        address=Address(**FULL, place=Place(name="attic", floor=3), tags=["x", "y"])
    )
    Person.objects.create(address=Address(city="other"))
    Person.objects.create()
    found = Person.objects.filter(**{f"address__{lookup}": value})
    assert found.order_by("pk").first() == Person.objects.earliest("pk")
    assert Person.objects.filter(**{f"address__{lookup}": value}).count() == (
        3 if lookup == "pk__isnull" else 1
    )


def test_a_path_is_an_expression(empty):
    from django.db.models import Count, F, Max, Sum

    for number, city in enumerate(["c", "a", "b", "a"]):
        Person.objects.create(
            address=Address(
                city=city,
                number=number,
                price=Decimal(number) / 4,
                seen=datetime.datetime(2026, 1, 1 + number),
                key=uuid.UUID(int=number),
            )
        )
    people = Person.objects.order_by("address__city", "-address__number")
    assert list(people.values_list("address__city", "address__number")) == [
        ("a", 3),
        ("a", 1),
        ("b", 2),
        ("c", 0),
    ]
    assert people.values("address__city").annotate(n=Count("pk"))[0]["n"] == 1
    assert list(
        Person.objects.values("address__city")
        .annotate(n=Count("pk"), total=Sum("address__number"))
        .order_by("address__city")
        .values_list("address__city", "n", "total")
    ) == [("a", 2, 4), ("b", 1, 2), ("c", 1, 0)]
    assert Person.objects.aggregate(
        last=Max("address__seen"), most=Max("address__price")
    ) == {"last": datetime.datetime(2026, 1, 4), "most": Decimal("0.75")}
    assert set(
        Person.objects.annotate(key=F("address__key")).values_list("key", flat=True)
    ) == {uuid.UUID(int=number) for number in range(4)}
    assert Person.objects.filter(address__number__gt=F("pk")).count() == 0

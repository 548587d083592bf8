"""Lookups of collections, beside a model of what they mean, on each database."""

import json
from decimal import Decimal

import pytest
from django.db.models import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.effort import examples

from .models import Address, Person, Place

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4
)
SMALL = st.text("ab'\"%{\\é", max_size=2)
NUMBERS = st.integers(-3, 3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | SMALL,
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
people = st.builds(
    Person,
    tags=st.lists(SMALL, max_size=3),
    marks=st.sets(NUMBERS, max_size=3),
    numbers=st.lists(NUMBERS, max_size=3),
    prices=st.lists(st.none() | st.decimals(-2, 2, places=2), max_size=2),
    sums=st.dictionaries(
        SMALL.filter(bool), st.sampled_from([0.0, 1.0, 1.5]), max_size=2
    ),
    grid=st.lists(st.lists(NUMBERS, max_size=2), max_size=2),
    anything=st.lists(JSON, max_size=3),
    places=st.lists(st.builds(Place, name=SMALL), max_size=2),
)


def form(value):
    """Equal values, and no others, have the same one: true isn't 1."""
    if isinstance(value, Model):
        value = {field.name: getattr(value, field.name) for field in value._meta.fields}
    return json.dumps(value, sort_keys=True, default=str)


def forms(value):
    if isinstance(value, dict):
        return {form(pair) for pair in value.items()}
    return {form(each) for each in value}


MEANINGS = {
    "contains": lambda have, given: forms(given) <= forms(have),
    "contained_by": lambda have, given: forms(have) <= forms(given),
    "overlap": lambda have, given: bool(forms(have) & forms(given)),
    "exact": lambda have, given: (
        have == given
        and form(sorted(have, key=form) if isinstance(have, set) else have)
        == form(sorted(given, key=form) if isinstance(given, set) else given)
    ),
}


@pytest.mark.parametrize(
    "name",
    ["tags", "marks", "numbers", "prices", "sums", "grid", "anything", "places"],
)
@settings(
    max_examples=examples(test=5, check=8, soak=1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_lookups_mean_the_same_everywhere(database, name, data):
    Person.objects.all().delete()
    saved = data.draw(st.lists(people, min_size=1, max_size=4))
    Person.objects.bulk_create(saved)
    saved = list(Person.objects.order_by("pk"))
    value = getattr(data.draw(people), name)
    if name == "numbers":
        value = sorted(value, key=abs)
    for lookup, meaning in MEANINGS.items():
        found = Person.objects.filter(**{f"{name}__{lookup}": value}).order_by("pk")
        expected = [each.pk for each in saved if meaning(getattr(each, name), value)]
        assert [each.pk for each in found] == expected, (lookup, value)
        others = Person.objects.exclude(**{f"{name}__{lookup}": value})
        assert others.count() == len(saved) - len(expected), (lookup, value)
    if name == "sums":
        for key in value:
            if database.is_oracle and set(key) & set('"\\'):
                continue  # an older SQLite has no way to write such a key in a path
            found = Person.objects.filter(**{f"{name}__{key}__gte": value[key]})
            assert found.count() == sum(
                each.sums.get(key, -1) >= value[key] for each in saved
            )
        return
    for number in range(3):
        found = Person.objects.filter(**{f"{name}__len__gte": number})
        assert found.count() == sum(
            len(getattr(each, name)) >= number for each in saved
        )
    if name in {"tags", "numbers", "prices", "grid"} and value:
        found = Person.objects.filter(**{f"{name}__0": value[0]})
        if value[0] is not None:
            assert found.count() == sum(
                getattr(each, name)[:1] == value[:1] for each in saved
            )


@settings(
    max_examples=examples(test=10, check=20, soak=1000),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    addresses=st.lists(
        st.none()
        | st.builds(
            Address,
            city=TEXT,
            number=st.integers(-(2**31), 2**31 - 1),
            ratio=st.none() | st.floats(-1e10, 1e10),
            price=st.none() | st.decimals(-9999, 9999, places=2),
            since=st.none() | st.dates(),
            seen=st.none() | st.datetimes(),
            opens=st.none() | st.times(),
            lasts=st.none() | st.timedeltas(),
            key=st.none() | st.uuids(),
            secret=st.none() | st.binary(max_size=5),
            open=st.none() | st.booleans(),
        ),
        min_size=2,
        max_size=5,
        unique_by=lambda each: (each and each.key) or object(),
    ),
    data=st.data(),
)
def test_paths_compare_and_sort_as_their_values(database, addresses, data):
    Person.objects.all().delete()
    for address in addresses:
        Person.objects.create(address=address)
    name = data.draw(
        st.sampled_from(
            ["number", "ratio", "price", "since", "seen", "opens", "lasts", "open"]
        )
    )
    path = f"address__{name}"
    values = [address and getattr(address, name) for address in addresses]
    known = sorted(value for value in values if value is not None)
    found = Person.objects.exclude(**{f"{path}__isnull": True}).order_by(path)
    assert list(found.values_list(path, flat=True)) == known
    assert [getattr(each.address, name) for each in found] == known
    assert Person.objects.filter(**{f"{path}__isnull": True}).count() == values.count(
        None
    )
    for value in known[:1]:
        assert Person.objects.filter(**{path: value}).count() == known.count(value)
        if name != "open":
            assert Person.objects.filter(**{f"{path}__gt": value}).count() == sum(
                each > value for each in known
            )
    for address in filter(None, addresses):
        assert Person.objects.filter(address__city=address.city).count() == sum(
            each is not None and each.city == address.city for each in addresses
        )
    assert [each.address for each in Person.objects.order_by("pk")] == addresses


def test_decimals_beyond_fifteen_digits_are_kept(empty):
    value = [Decimal("123456.78")]
    Person.objects.create(prices=value)
    assert Person.objects.get(prices__0=value[0]).prices == value

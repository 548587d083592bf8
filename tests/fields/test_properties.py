"""
The same properties of each kind of value, in each place, on each database.

A path is compared with a column of the same field, and collections with a model of what
their lookups mean.
"""

import dataclasses
import json
import types

import pytest
from django.db import connection
from django.db.models import Count, F, Max, Min

from tests.effort import chance, effort

from .kinds import KINDS, MODELS, UNORDERED, UNTYPED, rows_of
from .test_semantics import MEANINGS, form

#: What is there is what is in the column, or nothing.
PATHS = ["one__value", "deep__inner__value", "items__0", "named__a"]
COLLECTIONS = ["items", "unique", "named", "lists", "many"]
COMPARISONS = ["gt", "gte", "lt", "lte"]
PROBES = effort(test=1, soak=5)


def cases(*places, of=lambda kind: True):
    """Return parameters: each of the kinds, in each of the places."""
    return pytest.mark.parametrize(
        ("kind", "place"),
        [
            pytest.param(kind, place, id=f"{kind.name}-{place}")
            for kind in KINDS
            if of(kind)
            for place in places
        ],
    )


def is_typed(kind):
    return kind.name not in UNTYPED


def is_ordered(kind):
    return kind.name not in UNORDERED | UNTYPED


@pytest.fixture(scope="module")
def tables(database):
    """A table for each kind, with its rows; no test changes them."""
    made = {}
    database.create(*(holder for holder, _, _ in MODELS.values()))
    for kind in KINDS:
        holder = MODELS[kind.name][0]
        rows = rows_of(kind, chance("rows", kind.name), effort(test=12, soak=30))
        for number, row in enumerate(rows, 1):
            row.pk = number
        holder.objects.bulk_create(rows)
        made[kind.name] = rows
    yield types.MappingProxyType(made)
    with connection.schema_editor() as editor:
        for holder, _, _ in MODELS.values():
            editor.delete_model(holder)


@dataclasses.dataclass
class Case:
    """
    :param saved: the rows, in the order of their keys.
    :param probes: values to look for: some are there.
    """

    saved: list
    probes: list
    chance: object

    @property
    def objects(self):
        return type(self.saved[0]).objects

    def keys(self, **filters):
        return sorted(self.objects.filter(**filters).values_list("pk", flat=True))

    def others(self, **filters):
        return sorted(self.objects.exclude(**filters).values_list("pk", flat=True))

    def alike(self, path, lookup, value):
        """Assert that a path's lookup, and its negation, are those of the column."""
        at_path, at_column = f"{path}__{lookup}", f"column__{lookup}"
        expected = self.keys(**{at_column: value})
        assert self.keys(**{at_path: value}) == expected, (lookup, value)
        # As in Django, NOT of what isn't known isn't known.
        rest = [
            row.pk
            for row in self.saved
            if row.pk not in expected
            and (
                lookup == "isnull"
                or row.column is not None
                or getattr(row, path.split("__")[0]) is None
            )
        ]
        assert self.others(**{at_path: value}) == rest, (lookup, value)


@pytest.fixture
def case(tables, kind, place):
    saved = tables[kind.name]
    source = chance("probes", kind.name, place)
    known = [row.column for row in saved if row.column is not None]
    probes = [source.choice(known), *kind.values(source, PROBES + 1)][:PROBES]
    return Case(saved, probes, source)


@cases(*PATHS, of=is_typed)
def test_a_path_equals_what_its_column_does(case, kind, place):
    for probe in case.probes:
        case.alike(place, "exact", probe)
        case.alike(place, "in", [probe, *case.probes])
    case.alike(place, "isnull", True)
    case.alike(place, "isnull", False)
    # Bytes are Base64 in JSON, and nothing else in SQL.
    other = PATHS[0] if kind.name == "binary" else "column"
    assert case.keys(**{place: F(other)}) == case.keys(column__isnull=False)


@cases(*PATHS, of=is_ordered)
def test_a_path_is_compared_as_its_column_is(case, kind, place):
    for probe in case.probes:
        for lookup in COMPARISONS:
            case.alike(place, lookup, probe)
        case.alike(place, "range", (probe, case.chance.choice(case.probes)))


@cases(*PATHS, of=is_ordered)
def test_a_path_sorts_as_its_column_does(case, kind, place):
    for sign in ("", "-"):
        found = case.objects.order_by(f"{sign}{place}", "pk").values_list(
            "pk", place, "column"
        )
        expected = case.objects.order_by(f"{sign}column", "pk")
        assert [pk for pk, _, _ in found] == [row.pk for row in expected]
        assert [value for _, value, _ in found] == [column for _, _, column in found]


@cases(*PATHS, of=is_typed)
def test_a_path_groups_as_its_column_does(case, kind, place):
    def groups(name):
        counted = case.objects.values_list(name).annotate(n=Count("pk"))
        return {same_letters(value): number for value, number in counted}

    def same_letters(value):
        # Which of some equal texts stands for its group is the database's affair.
        if isinstance(value, str):
            return value.casefold()
        return bytes(value) if kind.name == "binary" and value else value

    assert groups(place) == groups("column")
    assert (
        case.objects.values(place).distinct().count()
        == case.objects.values("column").distinct().count()
    )
    if is_ordered(kind):
        for function in (Min, Max):
            found = case.objects.aggregate(
                at_path=function(place), of=function("column")
            )
            assert same_letters(found["at_path"]) == same_letters(found["of"])


@cases("one__value", "items__0", of=lambda kind: kind.lookups)
def test_a_path_has_the_lookups_of_its_column(case, kind, place):
    for probe in case.probes:
        for lookup, operand in kind.lookups.items():
            case.alike(place, lookup, operand(probe))


@cases(*COLLECTIONS)
def test_lookups_of_collections_mean_what_they_say(case, kind, place):
    for _ in range(PROBES):
        value = getattr(case.chance.choice(case.saved), place)
        if case.chance.random() < 0.5 and value:
            value = part(value, case.chance)
        some = part(value, case.chance) if value else value
        for each in (value, swapped(value), swapped(some)):
            for lookup, meaning in MEANINGS.items():
                filters = {f"{place}__{lookup}": each}
                expected = [
                    row.pk for row in case.saved if meaning(getattr(row, place), each)
                ]
                assert case.keys(**filters) == expected, filters
                assert len(case.others(**filters)) == len(case.saved) - len(expected)
    if place != "named":
        for number in range(3):
            assert case.keys(**{f"{place}__len": number}) == [
                row.pk for row in case.saved if len(getattr(row, place)) == number
            ]


def swapped(value):
    """Return a collection whose texts differ in case, or the same one."""
    if isinstance(value, dict):
        return {key: swapped(each) for key, each in value.items()}
    if isinstance(value, list | set):
        return type(value)(map(swapped, value))
    if isinstance(value, str) and ":" not in value:  # which an address may have
        return value.swapcase()
    return value


def part(value, chance):
    """Return a collection with one of the items of another one."""
    if isinstance(value, dict):
        return dict([chance.choice(list(value.items()))])
    item = chance.choice(sorted(value, key=form))
    return type(value)([item])


@cases("many")
def test_what_is_saved_is_loaded_and_saved_again(case, kind, place):
    loaded = list(case.objects.order_by("pk"))
    for found, saved in zip(loaded, case.saved, strict=True):
        for field in found._meta.concrete_fields:
            assert getattr(found, field.name) == getattr(saved, field.name), field.name
    before = stored(case)
    case.objects.bulk_update(loaded, ["one", "deep", "many", *COLLECTIONS[:4]])
    assert stored(case) == before


@cases("many")
def test_equal_values_are_stored_alike(case, kind, place):
    """A client without this package reads JSON; what it compares is equal or isn't."""
    for row, (one, _, many, items, *_) in zip(case.saved, stored(case), strict=True):
        if row.one is not None:
            assert set(one) == {"value"}
        assert len(many) == len(row.many)
        if row.items:
            assert one["value"] == items[0]
            for value, kept in zip(row.items, items, strict=True):
                assert (value == row.items[0]) == (kept == items[0])


def stored(case):
    """Return the JSON of each row, as any client has it."""
    table = connection.ops.quote_name(case.objects.model._meta.db_table)
    names = ["one", "deep", "many", "items", "unique", "named", "lists"]
    columns = ", ".join(map(connection.ops.quote_name, names))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY id")
        return [
            [json.loads(value) if isinstance(value, str) else value for value in row]
            for row in cursor.fetchall()
        ]

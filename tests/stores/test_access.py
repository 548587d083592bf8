"""choose_access: which index a table is read by."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.stores import (
    Capabilities,
    Column,
    FilterShape,
    Index,
    Order,
    Table,
    ValueType,
    choose_access,
)

TABLE = Table(
    "t",
    tuple(Column(name, ValueType.INTEGER) for name in ("id", "a", "b", "c", "d")),
    ("id",),
    (
        Index("ab", ("a", "b")),
        Index("c", ("c",), unique=True),
        Index("bd", ("b", "d"), unique=True),
    ),
)
PLAIN = Capabilities()
INDEXED = Capabilities(indexed=True, order=Order.INDEX)


def choose(capabilities, *filters, ordering=(), total=10_000, usable=None):
    shapes = [FilterShape(*one.split()) for one in filters]
    return choose_access(TABLE, capabilities, total, shapes, ordering, usable)


@pytest.mark.parametrize(
    ("filters", "index", "equalities", "ranged", "unique"),
    [
        ([], "", 0, False, False),
        (["id exact"], "", 1, False, True),
        (["id in"], "", 1, False, False),
        (["id gt", "id lt"], "", 0, True, False),
        (["id exact", "a exact", "c exact"], "", 1, False, True),
        (["a exact"], "ab", 1, False, False),
        (["a exact", "b gt"], "ab", 1, True, False),
        (["a isnull", "b exact"], "ab", 2, False, False),
        (["c exact"], "c", 1, False, True),
        (["c isnull"], "c", 1, False, False),
        (["b exact", "d exact"], "bd", 2, False, True),
        (["d exact"], "", 0, False, False),
        (["a contains"], "", 0, False, False),
    ],
)
def test_the_most_selective_index_is_chosen(filters, index, equalities, ranged, unique):
    """Whole unique keys first, then the longest prefix, then a range."""
    access = choose(INDEXED, *filters)
    assert (access.index, access.equalities) == (index, equalities)
    assert (access.ranged, access.unique) == (ranged, unique)


@pytest.mark.parametrize(
    ("filters", "index", "equalities"),
    [
        (["a exact", "b exact"], "", 0),
        (["c exact"], "c", 1),
        (["b exact"], "", 0),
        (["b exact", "d in"], "bd", 2),
        (["id exact"], "", 1),
        (["id gt"], "", 0),
    ],
)
def test_without_ordered_indexes_whole_unique_keys_are_looked_up(
    filters, index, equalities
):
    """Secondary indexes, prefixes and ranges are of no use then."""
    access = choose(PLAIN, *filters)
    assert (access.index, access.equalities, access.ranged) == (
        index,
        equalities,
        False,
    )


def test_negated_filters_fix_nothing():
    """The complement of a value is nearly all rows."""
    shapes = [FilterShape("c", "exact", negated=True), FilterShape("a", "isnull", True)]
    assert choose_access(TABLE, INDEXED, 10_000, shapes).index == ""


def test_not_null_beside_a_whole_key_leaves_it_unique():
    """``c = 1 AND c IS NOT NULL`` is at most one row."""
    shapes = [FilterShape("c", "exact"), FilterShape("c", "isnull", negated=True)]
    assert choose_access(TABLE, INDEXED, 10_000, shapes).unique


def test_unusable_indexes_are_not_chosen():
    """The primary key always can be."""
    assert choose(INDEXED, "c exact", usable=frozenset({"ab"})).index == ""
    assert choose(INDEXED, "c exact", usable=frozenset({"c"})).index == "c"


@pytest.mark.parametrize(
    ("filters", "ordering", "ordered", "reverse"),
    [
        ([], [("id", False)], True, False),
        ([], [("id", True)], True, True),
        (["id gt"], [("id", True)], True, True),
        (["id in"], [("id", False)], False, False),
        (["a exact"], [("b", False)], True, False),
        (["a exact"], [("a", True), ("b", False), ("id", False)], True, False),
        (["a exact"], [("b", False), ("id", True)], False, False),
        (["a exact"], [("b", True), ("id", True)], True, True),
        (["a exact"], [("id", False)], False, False),
        (["a exact", "b exact"], [("id", False)], True, False),
        (["a exact"], [("c", False)], False, False),
    ],
)
def test_an_index_gives_its_order(filters, ordering, ordered, reverse):
    """What is fixed doesn't matter for the order; equal entries go by primary key."""
    access = choose(INDEXED, *filters, ordering=ordering)
    assert (access.ordered, access.reverse) == (ordered, reverse)


def test_order_by_capability():
    """ANY is always ordered, NONE never."""
    wanted = [("d", True)]
    assert choose(Capabilities(order=Order.ANY), ordering=wanted).ordered
    assert not choose(Capabilities(), ordering=[("id", False)]).ordered


LOOKUPS = ("exact", "in", "isnull", "gt", "lt", "contains")
SHAPES = st.builds(
    FilterShape, st.sampled_from("abcd"), st.sampled_from(LOOKUPS), st.booleans()
)


@given(st.lists(SHAPES, max_size=5), st.integers(0, 10**9), st.booleans())
def test_an_access_is_possible_and_never_worse_than_a_scan(shapes, total, indexed):
    """Its columns are fixed by filters, in their order; its cost is bounded."""
    capabilities = INDEXED if indexed else PLAIN
    access = choose_access(TABLE, capabilities, total, shapes)
    indexes = {index.name: index.columns for index in TABLE.indexes} | {"": ("id",)}
    columns = indexes[access.index]
    fixed = {s.column for s in shapes if not s.negated and s.lookup in LOOKUPS[:3]}
    assert set(columns[: access.equalities]) <= fixed
    if access.ranged:
        bounds = {
            s.column for s in shapes if not s.negated and s.lookup in LOOKUPS[3:5]
        }
        assert columns[access.equalities] in bounds
    assert access.cost <= max(total, 1)
    assert 0 < access.rows <= max(total, 1)


@given(st.lists(SHAPES, max_size=4))
def test_the_order_of_filters_does_not_matter(shapes):
    """The same filters in another order get the same access."""
    found = {
        choose_access(TABLE, INDEXED, 1000, order)
        for order in itertools.islice(itertools.permutations(shapes), 24)
    }
    assert len(found) == 1


def test_the_first_few_rows():
    """They are read in order from an index, if there are no filters."""
    index = next(one for one in TABLE.indexes if not one.unique)
    ordering = [(name, False) for name in index.columns]
    all_rows = choose_access(TABLE, INDEXED, 10_000, (), ordering)
    few = choose_access(TABLE, INDEXED, 10_000, (), ordering, few=True)
    assert (all_rows.index, all_rows.ordered) == ("", False)
    assert (few.index, few.ordered) == (index.name, True)
    shapes = [FilterShape(index.columns[-1], "exact", negated=True)]
    again = choose_access(TABLE, INDEXED, 10_000, shapes, ordering, few=True)
    assert not again.ordered
    # Without the index, nothing changes.
    none = frozenset[str]()
    assert not choose_access(
        TABLE, INDEXED, 10_000, (), ordering, none, few=True
    ).ordered


def test_how_many_values_a_column_has():
    """Where it is known, no guess is made: each has its part of the rows."""
    shapes = [FilterShape("a", "exact")]
    guessed = choose_access(TABLE, INDEXED, 10_000, shapes)
    assert guessed.rows == 100
    known = choose_access(TABLE, INDEXED, 10_000, shapes, different={"a": 5_000})
    assert (known.index, known.rows) == ("ab", 2)
    shapes.append(FilterShape("b", "exact"))
    both = choose_access(TABLE, INDEXED, 10_000, shapes, different={"a": 5_000})
    assert both.rows == 10  # what is guessed is so many at least
    nulls = [FilterShape("a", "isnull")]
    assert choose_access(TABLE, INDEXED, 10_000, nulls, different={"a": 5_000}) == (
        choose_access(TABLE, INDEXED, 10_000, nulls)
    )

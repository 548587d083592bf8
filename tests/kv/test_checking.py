"""The checker finds each kind of damage, and repairs what follows from the rows."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendkit.kv import RecordStore
from backendkit.kv.checking import Checker, Finding, Problem
from backendkit.kv.codec import pack
from backendkit.kv.keys import encode_int
from backendkit.kv.layout import (
    NEXT_ID_KEY,
    VERSION_KEY,
    catalog_key,
    index_prefix,
    numbers_key,
    rows_prefix,
)
from backendkit.stores import Column, Index, Table, ValueType

from .memory import MemoryEngine

ITEM = Table(
    "item",
    (
        Column("id", ValueType.INTEGER, False, True),
        Column("name", ValueType.STRING),
        Column("price", ValueType.DECIMAL),
    ),
    ("id",),
    (
        Index("item_name", ("name",), unique=True),
        Index("item_price", ("price",)),
        Index("item_pair", ("name", "price"), unique=True),
    ),
)
PAIR = Table(
    "pair",
    (Column("a", ValueType.STRING, False), Column("b", ValueType.INTEGER, False)),
    ("a", "b"),
)
#: Numbers of the table and its indexes, in a new store.
ITEM_ID, NAME_ID, PRICE_ID, PAIR_INDEX_ID, PAIR_ID = range(1, 6)


@pytest.fixture
def engine():
    return make_engine()


def make_engine():
    engine = MemoryEngine()
    session = RecordStore(engine).session()
    session.begin(write=True)
    session.create_table(ITEM)
    session.create_table(PAIR)
    rows = [(n, f"name {n}", Decimal(n) / 2) for n in range(1, 7)]
    session.insert(ITEM, [*rows, (None, None, None), (None, None, Decimal(9))])
    session.insert(PAIR, [("x", 1), ("x", 2), ("y", 1)])
    session.commit()
    return engine


def check(engine, repair=False):
    transaction = engine.begin(repair)
    checker = Checker(transaction, engine.max_key_bytes, repair=repair)
    found = list(checker.findings())
    if repair:
        transaction.commit()
    else:
        transaction.abort()
    return found


def row_key(number):
    return rows_prefix(ITEM_ID) + encode_int(number)


def name_entry(name):
    return index_prefix(NAME_ID) + b"\x01" + name.encode() + b"\x00"


def price_entry(engine, number):
    """Return the key of a row's entry in the index that isn't unique."""
    wanted = encode_int(number)
    return next(
        key
        for key, value in engine.pairs.items()
        if key.startswith(index_prefix(PRICE_ID)) and value == wanted
    )


def kinds(found):
    return sorted({finding.problem for finding in found})


def remove_entry(engine):
    del engine.pairs[price_entry(engine, 3)]


def remove_guard(engine):
    del engine.pairs[name_entry("name 3")]


def add_entry_of_no_row(engine):
    engine.pairs[index_prefix(PRICE_ID) + b"\x80" + encode_int(99)] = encode_int(99)


def add_guard_of_no_row(engine):
    engine.pairs[name_entry("name 99")] = encode_int(99)


def add_second_entry(engine):
    engine.pairs[name_entry("name 99")] = encode_int(3)


def add_entry_that_leads_nowhere(engine):
    engine.pairs[name_entry("name 99")] = b"\xff" * 600


def point_guard_elsewhere(engine):
    engine.pairs[name_entry("name 3")] = encode_int(4)


def point_entry_elsewhere(engine):
    engine.pairs[price_entry(engine, 3)] = encode_int(4)


def point_entry_nowhere(engine):
    engine.pairs[price_entry(engine, 3)] = b""


def remove_row(engine):
    del engine.pairs[row_key(3)]


def change_row(engine):
    engine.pairs[row_key(3)] = pack((3, "other", Decimal(7), 0))


def add_row(engine):
    engine.pairs[row_key(50)] = pack((50, "new", None, 0))


def count_off(engine):
    engine.pairs[numbers_key(ITEM_ID)] = pack((77, 8))


def number_too_small(engine):
    engine.pairs[numbers_key(ITEM_ID)] = pack((8, 3))


def numbers_unreadable(engine):
    engine.pairs[numbers_key(ITEM_ID)] = b"\xc1"


def numbers_missing(engine):
    del engine.pairs[numbers_key(ITEM_ID)]


def numbers_of_no_table(engine):
    engine.pairs[numbers_key(40)] = pack((1, 1))


def entries_of_no_index(engine):
    for number in range(5):
        engine.pairs[index_prefix(40) + encode_int(number)] = b""


def next_number_taken(engine):
    engine.pairs[NEXT_ID_KEY] = (2).to_bytes(8, "big")


def next_number_missing(engine):
    del engine.pairs[NEXT_ID_KEY]


def version_missing(engine):
    del engine.pairs[VERSION_KEY]


def row_of_long_text(engine):
    engine.pairs[row_key(3)] = pack((3, "n" * 600, Decimal("1.5"), 0))


M, W, C, N = Problem.MISSING, Problem.WRONG_ENTRY, Problem.COUNT, Problem.NUMBERING
REPAIRABLE = {
    remove_entry: [M],
    remove_guard: [M],
    add_entry_of_no_row: [W],
    add_guard_of_no_row: [W],
    add_second_entry: [W],
    add_entry_that_leads_nowhere: [W],
    point_guard_elsewhere: [W],
    point_entry_elsewhere: [W],
    point_entry_nowhere: [W],
    remove_row: [C, W],
    change_row: [M, W],
    row_of_long_text: [M, W],
    add_row: [M, N, C],
    count_off: [C],
    number_too_small: [N],
    numbers_unreadable: [C],
    numbers_missing: [N, C],
    numbers_of_no_table: [Problem.STRAY],
    entries_of_no_index: [Problem.STRAY],
    next_number_taken: [Problem.CATALOG],
    next_number_missing: [Problem.CATALOG],
    version_missing: [Problem.CATALOG],
}


def unreadable_row(engine):
    engine.pairs[row_key(3)] = b"\xc1"


def row_of_another_type(engine):
    engine.pairs[row_key(3)] = pack((3, 4, 5, 0))


def row_that_is_too_short(engine):
    engine.pairs[row_key(3)] = pack((3, 0))


def row_with_too_large_a_number(engine):
    engine.pairs[row_key(3)] = pack((2**63, "name 3", Decimal("1.5"), 0))


def empty_row(engine):
    engine.pairs[row_key(3)] = b""


def row_under_another_key(engine):
    engine.pairs[row_key(3)] = pack((2, "name 3", Decimal("1.5"), 0))


def same_values(engine):
    engine.pairs[row_key(3)] = pack((3, "name 4", Decimal("1.5"), 0))


def rows_of_no_table(engine):
    engine.pairs[rows_prefix(40) + encode_int(1)] = pack((1, 0))


def strange_key(engine):
    engine.pairs[b"what"] = b"is this"


def key_beyond_a_table(engine):
    engine.pairs[rows_prefix(ITEM_ID) + b"\xff\xff"] = b""


def number_that_is_none(engine):
    engine.pairs[b"r"] = b""


def unreadable_definition(engine):
    engine.pairs[catalog_key(ITEM_ID)] = b"{"


def definition_without_its_indexes(engine):
    document = json.loads(engine.pairs[catalog_key(ITEM_ID)])
    document["indexes"] = {}
    engine.pairs[catalog_key(ITEM_ID)] = json.dumps(document).encode()


def definition_at_anothers_place(engine):
    engine.pairs[catalog_key(PAIR_ID)] = engine.pairs[catalog_key(ITEM_ID)]


def two_tables_of_a_name(engine):
    document = json.loads(engine.pairs[catalog_key(PAIR_ID)])
    document["table"]["name"] = "Item"
    engine.pairs[catalog_key(PAIR_ID)] = json.dumps(document).encode()


UNREADABLE, CATALOG, STRAY = Problem.UNREADABLE, Problem.CATALOG, Problem.STRAY
#: What remains after a repair.
LEFT = {
    unreadable_row: [UNREADABLE],
    row_of_another_type: [UNREADABLE],
    row_that_is_too_short: [UNREADABLE],
    row_with_too_large_a_number: [UNREADABLE],
    empty_row: [UNREADABLE],
    row_under_another_key: [Problem.WRONG_KEY],
    same_values: [Problem.DUPLICATE],
    rows_of_no_table: [STRAY],
    strange_key: [STRAY],
    key_beyond_a_table: [STRAY],
    number_that_is_none: [STRAY],
    unreadable_definition: [CATALOG],
    definition_without_its_indexes: [CATALOG],
    definition_at_anothers_place: [CATALOG],
    two_tables_of_a_name: [CATALOG],
}


def rows_and_definitions(engine):
    return {key: v for key, v in engine.pairs.items() if key[:1] in {b"r", b"\x01"}}


def test_nothing_wrong(engine):
    before = dict(engine.pairs)
    assert check(engine) == []
    assert check(engine, repair=True) == []
    assert engine.pairs == before


def test_an_empty_store():
    assert check(MemoryEngine()) == []


@pytest.mark.parametrize("damage", REPAIRABLE, ids=lambda damage: damage.__name__)
def test_repaired(engine, damage):
    """What follows from the rows is found, and afterwards as if nothing had been."""
    damage(engine)
    rows = rows_and_definitions(engine)
    damaged = dict(engine.pairs)
    assert kinds(check(engine)) == sorted(REPAIRABLE[damage])
    assert engine.pairs == damaged
    found = check(engine, repair=True)
    assert kinds(found) == sorted(REPAIRABLE[damage])
    assert all(finding.repaired for finding in found)
    assert rows_and_definitions(engine) == rows
    assert check(engine) == []


@pytest.mark.parametrize("damage", LEFT, ids=lambda damage: damage.__name__)
def test_left(engine, damage):
    """What doesn't follow from the rows is reported, again after a repair, and left."""
    damage(engine)
    rows = rows_and_definitions(engine)
    found = check(engine)
    assert set(LEFT[damage]) <= set(kinds(found))
    assert not any(finding.repaired for finding in found)
    check(engine, repair=True)
    assert rows_and_definitions(engine) == rows
    assert kinds(check(engine)) == sorted(LEFT[damage])


def test_an_unreadable_row_keeps_its_entries(engine):
    """What isn't known to be wrong isn't removed."""
    unreadable_row(engine)
    entries = {k: v for k, v in engine.pairs.items() if k[:1] == b"i"}
    check(engine, repair=True)
    assert {k: v for k, v in engine.pairs.items() if k[:1] == b"i"} == entries


def test_the_last_number_is_known_from_a_row_that_cannot_be_read(engine):
    engine.pairs[row_key(8)] = b"\xc1"
    number_too_small(engine)
    check(engine, repair=True)
    assert engine.pairs[numbers_key(ITEM_ID)] == pack((8, 8))


def test_a_damaged_catalog_gives_nothing_away(engine):
    """Entries of a table whose definition can't be read don't count as nobody's."""
    unreadable_definition(engine)
    next_number_missing(engine)
    before = dict(engine.pairs)
    assert kinds(check(engine)) == [CATALOG]
    check(engine, repair=True)
    assert engine.pairs == before


def test_rolled_back(engine):
    """The caller may think better of it."""
    remove_entry(engine)
    before = dict(engine.pairs)
    transaction = engine.begin(True)
    checker = Checker(transaction, engine.max_key_bytes, repair=True)
    assert all(finding.repaired for finding in checker.findings())
    transaction.abort()
    assert engine.pairs == before


def test_layouts(engine):
    """Rows that were written before a column was added are read as they were."""
    session = RecordStore(engine).session()
    session.begin(write=True)
    column = Column("more", ValueType.FLOAT)
    wider = replace(ITEM, columns=(*ITEM.columns, column))
    session.alter_table("item", wider, fill={"more": 0.5})
    session.create_index("item", Index("item_more", ("more",)))
    session.commit()
    assert check(engine) == []


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (remove_entry, "item: index item_price: row 3: its entry is missing"),
        (point_guard_elsewhere, "item: index item_name: row 3: its entry leads to 4"),
        (
            add_guard_of_no_row,
            (
                "item: index item_name: 'name 99': leads to 99, which doesn't exist or has"
                " other values"
            ),
        ),
        (count_off, "item: the row count is 77, but there are 8 rows"),
        (
            number_too_small,
            "item: the next automatic number is 4, but there is a row with 8",
        ),
        (
            row_with_too_large_a_number,
            (
                "item: row 3: its row can't be read: DataError: item.id: 9223372036854775808"
                " can't be stored in a column of type i..."
            ),
        ),
        (entries_of_no_index, "5 entries of index number 40, which doesn't exist"),
        (strange_key, "0x77686174: a key that this format doesn't allow"),
    ],
)
def test_message(engine, damage, text):
    damage(engine)
    assert str(check(engine)[0]) == text


def test_each_thing_once(engine):
    """An entry that is wrong is reported with its row, not again by itself."""
    point_guard_elsewhere(engine)
    add_guard_of_no_row(engine)
    assert [finding.key for finding in check(engine)] == ["row 3", "'name 99'"]


@given(st.data())
def test_any_damage(data):
    """
    Whatever bytes are there, checking ends, and so does repairing; what is repaired
    stays so, and rows are left alone.
    """
    engine = make_engine()
    keys = st.sampled_from(sorted(engine.pairs))
    anything = st.binary(min_size=1, max_size=12)
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(keys | anything | st.builds(bytes.__add__, keys, anything))
        value = data.draw(
            st.none() | anything | st.sampled_from(sorted(engine.pairs.values()))
        )
        if value is None:
            engine.pairs.pop(key, None)
        else:
            engine.pairs[key] = value
    rows = rows_and_definitions(engine)
    check(engine)
    check(engine, repair=True)
    assert rows_and_definitions(engine) == rows
    left = check(engine)
    assert not {Problem.MISSING, Problem.COUNT, Problem.NUMBERING} & set(kinds(left))
    assert check(engine, repair=True) == left


def test_finding():
    """Without a table, an index or a key, a finding says what is left."""
    assert str(Finding(Problem.CATALOG, "", "", "", "wrong", False)) == "wrong"

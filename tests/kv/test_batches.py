"""Many rows at once are written, or refused, just as one by one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backendkit.kv import RecordStore
from backendkit.kv.codec import pack
from backendkit.kv.layout import VERSION_KEY
from backendkit.stores import Column, Error, Index, Table, ValueType

from .memory import Fault, MemoryEngine
from .values import VALUES

ZEROS = pack((0, 0))
TYPES = st.sampled_from(sorted(ValueType))


@st.composite
def cases(draw):
    """A table, and rows that mostly fit into it."""
    kinds = draw(st.lists(TYPES, min_size=1, max_size=3))
    numbered = draw(st.booleans())
    columns = [Column("id", ValueType.INTEGER, False, numbered)]
    columns += [Column(f"c{n}", kind) for n, kind in enumerate(kinds)]
    names = [column.name for column in columns]
    some = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)
    indexes = [
        Index(f"i{n}", tuple(draw(some)), draw(st.booleans()))
        for n in range(draw(st.integers(0, 3)))
    ]
    table = Table("t", tuple(columns), ("id",), tuple(indexes))
    number = st.integers(-3, 40)
    if draw(st.booleans()):
        number = st.none()
    elif numbered or draw(st.booleans()):
        number |= st.none() | st.just(2**63 - 1)
    values = []
    for kind in kinds:
        few = draw(st.lists(VALUES[kind], min_size=1, max_size=6))
        value = st.none() | st.sampled_from(few)
        if draw(st.integers(0, 3)) == 0:
            value |= st.sampled_from([True, 1, 1.0, 2**63, "a", "\ud800", float("nan")])
        values.append(value)
    row = st.tuples(number, *values)
    before = draw(st.lists(row, max_size=2))
    return table, before, draw(st.lists(row, min_size=4, max_size=12))


def written(table, before, rows, *, each, writes=None):
    """Return the error, and what is stored then."""
    engine = MemoryEngine()
    session = RecordStore(engine).session()
    session.begin(write=True)
    session.create_table(table)
    record = session.record(table)
    for row in before:
        mark = session.savepoint()
        try:
            session.insert(table, [row])
        except Error:
            session.rollback_to(mark)
        session.release(mark)
    mark = session.savepoint()
    engine.writes_left = writes
    result = None
    try:
        result = (
            session._insert_each(record, rows) if each else session.insert(table, rows)
        )
    except (Error, Fault) as error:
        result = type(error), str(error)
        engine.writes_left = None
        session.rollback_to(mark)
    engine.writes_left = None
    session.commit()
    # No numbers and zeros are the same, and a version is random.
    for key in (VERSION_KEY, *(k for k, v in engine.pairs.items() if v == ZEROS)):
        del engine.pairs[key]
    return result, engine.pairs


@given(cases())
@example(
    (
        Table("t", (Column("id", ValueType.INTEGER, False, True),), ("id",)),
        [(3,)],
        [(None,)] * 4,
    )
)
def test_many_rows_are_as_one_by_one(case):
    assert written(*case, each=False) == written(*case, each=True)


@given(cases(), st.integers(0, 20))
def test_what_fails_between_leaves_nothing(case, writes):
    table, before, rows = case
    result, stored = written(table, before, rows, each=False, writes=writes)
    if isinstance(result, tuple):
        assert stored == written(table, before, [], each=True)[1]
    else:
        assert stored == written(table, before, rows, each=True)[1]


def test_a_violation_without_a_savepoint_leaves_what_was_before():
    """Rows before the one that is refused are there, whole, and no others."""
    columns = (
        Column("id", ValueType.INTEGER, False, True),
        Column("a", ValueType.STRING),
        Column("b", ValueType.STRING),
    )
    indexes = (Index("b", ("b",)), Index("a", ("a",), unique=True))
    table = Table("t", columns, ("id",), indexes)
    engine = MemoryEngine()
    session = RecordStore(engine).session()
    session.begin(write=True)
    session.create_table(table)
    rows = [(None, name, name) for name in "abcdb"]
    with pytest.raises(Error, match=r"t\.a"):
        session.insert(table, rows)
    session.commit()
    session.begin(write=True)
    assert session.insert(table, [(None, "z", "z")]) == [(6,)]
    assert session.estimated_rows(table) == 5
    assert session.delete(table, [(n,) for n in range(9)]) == 5
    session.commit()
    assert not [key for key in engine.pairs if key[:1] in b"ri"]

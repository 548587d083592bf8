"""Batches: bounded in items and in bytes, and nothing is read beyond them."""

from hypothesis import given
from hypothesis import strategies as st

from backendkit.stores import Column, ValueType, batch, batches, weigher


@given(
    items=st.lists(st.binary(max_size=30), max_size=40),
    most=st.integers(1, 10),
    size=st.integers(1, 60),
    weighed=st.booleans(),
)
def test_batches_are_all_items_in_order(items, most, size, weighed):
    weigh = len if weighed else None
    found = list(batches(items, most, weigh, size))
    assert [item for some in found for item in some] == items
    for some in found:
        assert 1 <= len(some) <= most
        if weighed:
            assert sum(map(len, some[:-1])) < size
    # None could have been longer.
    for some in found[:-1]:
        assert len(some) == most or (weighed and sum(map(len, some)) >= size)


@given(
    items=st.lists(st.binary(max_size=30), max_size=40),
    most=st.integers(0, 10),
    size=st.integers(1, 60),
)
def test_a_batch_reads_no_more_than_it_returns(items, most, size):
    rest = iter(items)
    found = batch(rest, most, len, size)
    assert found + list(rest) == items
    assert len(found) <= most


def test_rows_weigh_what_their_text_does():
    short = Column("short", ValueType.STRING, max_length=20)
    text = Column("text", ValueType.STRING)
    number = Column("number", ValueType.INTEGER)
    assert weigher([short, number]) is None
    weigh = weigher([number, text])
    assert weigh((1, "abc")) == 3
    assert weigh((None, None)) == 0
    assert weigh(("wrong", b"ab", "and too long")) == 19

"""The same writes: the same tables."""

from hypothesis import given

from .cases import check_writes
from .examples import cases, examples
from .writes import writes


@examples(0.13)
@given(case=cases(writes, most=5))
def test_writes(compared, case):
    """update, delete, save, bulk and nested transactions, valid and not."""
    check_writes(case, compared)


@examples(0.13)
@given(case=cases(writes, most=5))
def test_writes_more(compared, case):
    """The same with others."""
    check_writes(case, compared)

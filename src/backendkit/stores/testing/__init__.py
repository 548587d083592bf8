"""
Tests that check a store against the contract, for authors of stores.

Subclass :class:`StoreContract`, and define how to open an empty store::

    class TestMyStore(StoreContract):  # collected by pytest
        def make_store(self):
            return MyStore(tempfile.mkdtemp())

    class MyStoreTests(StoreContract, unittest.TestCase):  # by unittest
        ...

Tests of features that the store's :class:`Capabilities` don't declare are skipped. All
others compare the store with :func:`matcher`, which behaves as SQL does. The tests need
only the standard library.

A store that can't be written is held against :class:`ReadOnlyContract`, over the data
that ``make_store()`` finds there.
"""

from ._reading import ReadingContract
from ._readonly import ReadOnlyContract
from ._schema import SchemaContract
from ._transactions import TransactionsContract
from ._writing import WritingContract

__all__ = ["ReadOnlyContract", "StoreContract"]


class StoreContract(
    ReadingContract, WritingContract, TransactionsContract, SchemaContract
):
    """The contract, as tests: override ``make_store()``, and what else differs."""

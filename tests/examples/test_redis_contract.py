"""Redis keeps the contract of a store."""

import pytest
from django.db.utils import ConnectionHandler

from tests.stores.variants import Variant


def opened(entry):
    """Open the store that an entry of DATABASES names."""
    connection = ConnectionHandler({"default": entry})["default"]
    return connection.open_store(entry["NAME"], {})


class TestContract(Variant):
    many = 100

    @pytest.fixture(autouse=True)
    def entry(self, redis_entry):
        self.settings = redis_entry

    def make_store(self):
        return opened(self.settings)

    def reopen_store(self, store):
        store.close()
        return opened(self.settings)

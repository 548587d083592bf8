"""The store over HTTP keeps the contract of a store without transactions."""

from urllib.parse import urlsplit

from backendkit.stores import Catalog
from backendkit.stores.testing import StoreContract
from http_store.store import HttpSession, HttpStore
from tests.effort import later
from tests.stores.variants import Variant

from .service import Service


class Administered(HttpSession):
    """A session that changes tables where they are, which the service lets nobody do."""

    def _catalog(self):
        with self.store.service.writing() as session:
            found = session.catalog()
        # The version is that of what was read last.
        if found.version is not self.store.catalog.version:
            self.store.catalog = Catalog(found.version, found.tables)
        return self.store.catalog

    def change(self, method, *arguments):
        self.require()
        with self.store.service.writing() as session:
            getattr(session, method)(*arguments)

    def create_table(self, *arguments):
        self.change("create_table", *arguments)

    def drop_table(self, *arguments):
        self.change("drop_table", *arguments)

    def alter_table(self, *arguments):
        self.change("alter_table", *arguments)

    def reset_sequence(self, *arguments):
        self.change("reset_sequence", *arguments)


class AdministeredStore(HttpStore):
    def __init__(self, service):
        self.service = service
        super().__init__(urlsplit(service.url), "", 10)

    def session(self):
        return Administered(self)

    def reader(self):
        return Administered(self)


class TestContract(Variant):
    many = 100

    test_alter_columns = later(StoreContract.test_alter_columns)
    test_create_index = later(StoreContract.test_create_index)
    test_keys_of_every_type = later(StoreContract.test_keys_of_every_type)
    test_look_up_by_several_columns = later(
        StoreContract.test_look_up_by_several_columns
    )
    test_writing_while_reading = later(StoreContract.test_writing_while_reading)
    # Each query is some requests: what asks thousands is left for `make soak`.
    test_comparisons = later(StoreContract.test_comparisons, "soak")
    test_order = later(StoreContract.test_order, "soak")
    test_filters_together = later(StoreContract.test_filters_together, "soak")
    test_patterns = later(StoreContract.test_patterns, "soak")
    test_bounds_of_numbers = later(StoreContract.test_bounds_of_numbers, "soak")

    def make_store(self):
        return AdministeredStore(Service(page=20))

    def reopen_store(self, store):
        return AdministeredStore(store.service)

    def remove_store(self, store):
        store.close()
        store.service.close()

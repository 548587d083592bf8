from backendkit.nonrel.base import NonrelDatabaseWrapper

from .store import CsvStore


class DatabaseWrapper(NonrelDatabaseWrapper):
    display_name, store_vendor, store_class = "CSV", "csv", CsvStore

    def open_store(self, name, options):
        return CsvStore(name)

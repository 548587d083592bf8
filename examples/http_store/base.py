from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from backendkit.nonrel.base import NonrelDatabaseWrapper

from .store import CONNECTIONS, HttpStore


class DatabaseWrapper(NonrelDatabaseWrapper):
    display_name, store_vendor, store_class = "HTTP", "http", HttpStore
    store_options = frozenset({"timeout"})

    def open_store(self, name, options):
        url, token = urlsplit(name), self.settings_dict["PASSWORD"]
        if url.scheme not in CONNECTIONS or not url.hostname:
            raise ImproperlyConfigured(f"NAME is {name!r}: use an http or https URL")
        return HttpStore(url, token, options.get("timeout", 30))

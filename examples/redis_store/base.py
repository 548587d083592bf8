import re

import redis
from django.core.exceptions import ImproperlyConfigured
from redis.backoff import NoBackoff
from redis.retry import Retry

from backendkit.nonrel.base import NonrelDatabaseWrapper
from backendkit.nonrel.creation import NonrelDatabaseCreation

from .store import RedisStore

SETTINGS = {"HOST": "host", "PORT": "port", "USER": "username", "PASSWORD": "password"}

# A commit that may have been done isn't sent again.
CLIENT = {"socket_timeout": 5, "decode_responses": True, "retry": Retry(NoBackoff(), 0)}


class DatabaseCreation(NonrelDatabaseCreation):
    def keys(self, name):
        with self.connection.server(name) as client:
            for key in client.scan_iter(f"{{{name}}}:*", 1000):
                yield client, key

    def database_exists(self, name):
        return any(self.keys(name))

    def destroy_database(self, name):
        for client, key in self.keys(name):
            client.unlink(key)

    def clone_database(self, source, target):
        for client, key in self.keys(source):
            client.copy(key, key.replace(source, target, 1), replace=True)


class DatabaseWrapper(NonrelDatabaseWrapper):
    display_name, store_vendor, store_class = "Redis", "redis", RedisStore
    store_options = frozenset({"socket_timeout", "ssl", "ssl_ca_certs"})
    creation_class = DatabaseCreation

    def server(self, name):
        if not re.fullmatch(r"[\w.-]+", name):
            raise ImproperlyConfigured(f"NAME is {name!r}: use letters, digits, . - _")
        settings, known = self.settings_dict, self.store_options
        given = {SETTINGS[key]: settings[key] for key in SETTINGS if settings[key]}
        given |= {k: v for k, v in settings["OPTIONS"].items() if k in known}
        return redis.Redis(**{**CLIENT, **given})

    def open_store(self, name, options):
        return RedisStore(self.server(name), name)

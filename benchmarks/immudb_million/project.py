"""The project's settings."""

from benchmarks.engines import configure

APPLICATIONS = {
    False: "benchmarks.immudb_million.former.apps.FormerConfig",
    True: "benchmarks.immudb_million.events.apps.EventsConfig",
}


def set_up(places, *, migrated):
    """
    Set up Django.

    :param places: where the server is: ``host``, ``port`` and ``password``.
    :param migrated: whether the models are those that the last migration leaves.
    """
    configure(
        {
            "ENGINE": "backendkit.backends.immudb",
            "NAME": "defaultdb",
            "HOST": places["host"],
            "PORT": places["port"],
            "USER": "immudb",
            "PASSWORD": places["password"],
            "OPTIONS": {"state": places["state"]},
        },
        "backendkit.backends.immudb",
        APPLICATIONS[migrated],
        MIGRATION_MODULES={"events": "benchmarks.immudb_million.events.migrations"},
        ROOT_URLCONF="benchmarks.immudb_million.events.urls",
    )

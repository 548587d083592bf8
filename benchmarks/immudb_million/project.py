"""The project's settings."""

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
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "backendkit.backends.immudb",
                "NAME": "defaultdb",
                "HOST": places["host"],
                "PORT": places["port"],
                "USER": "immudb",
                "PASSWORD": places["password"],
                "OPTIONS": {"state": places["state"]},
            }
        },
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "django.contrib.staticfiles",
            "backendkit.backends.immudb",
            APPLICATIONS[migrated],
        ],
        MIGRATION_MODULES={"events": "benchmarks.immudb_million.events.migrations"},
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        ALLOWED_HOSTS=["testserver"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="benchmarks.immudb_million.events.urls",
        SECRET_KEY="of a benchmark",
        STATIC_URL="static/",
    )
    django.setup()

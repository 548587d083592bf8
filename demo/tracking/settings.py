"""
Settings of the demo.

Read from the environment: ``DEMO_ENGINE`` (``lmdb``, ``immudb``, ``memory`` or ``sqlite``),
``DEMO_DATA`` (the directory that everything is kept in), ``DEMO_DEBUG``.
"""

import os
import secrets
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("DEMO_DATA", DEMO / "data"))
DATA.mkdir(parents=True, exist_ok=True)


def _kept_secret(path):
    """Return the secret in a file; made at the first run, readable by its owner."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(50))
    return path.read_text()


SECRET_KEY = _kept_secret(DATA / "secret_key")
DEBUG = os.environ.get("DEMO_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

# All that a project needs to run on LMDB: the engine and a directory.
ENGINES = {
    "lmdb": {
        "ENGINE": "backendkit.backends.lmdb",
        "NAME": DATA / "lmdb",
    },
    "memory": {
        "ENGINE": "backendkit.backends.memory",
        "NAME": "demo",
    },
    "sqlite": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "sqlite.db",
    },
}
DEMO_ENGINE = os.environ.get("DEMO_ENGINE") or "lmdb"
if DEMO_ENGINE == "immudb":
    # A server of the demo's own, in its directory: `manage.py demo` starts it.
    from backendkit.dbdev import dbsettings

    ENGINES["immudb"] = dbsettings(
        "immudb",
        DATA,
        NAME="demo",
        OPTIONS={
            # The files of a distribution are one transaction.
            "max_tx_entries": 16_384,
            # Large ones take a slow disk some time.
            "timeout": 120,
            # What was verified, to be deleted with the data.
            "state": DATA / "verified.json",
        },
    )
DATABASES = {"default": ENGINES[DEMO_ENGINE]}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "backendkit.dbdev",
    "tracking.apps.TrackingConfig",
]
if DEMO_ENGINE == "immudb":
    # Its command, and what the ledger's pages look like.
    INSTALLED_APPS.append("backendkit.backends.immudb")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tracking.context.store",
            ],
        },
    },
]

ROOT_URLCONF = "tracking.urls"
WSGI_APPLICATION = "tracking.wsgi.application"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "static/"

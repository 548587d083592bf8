"""The guide's sample as the default database."""

import itertools
import os

import django
import pytest
from django.conf import settings

from tests.nonrel.databases import Database, default

if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
    )
django.setup()

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    if request.config.pluginmanager.hasplugin("django"):
        with request.getfixturevalue("django_db_blocker").unblock():
            yield
    else:
        yield


@pytest.fixture
def database(_unblocked):
    """An empty database, the default one."""
    host = f"sample-{next(_numbers)}"
    entry = {"ENGINE": "tests.toolbox.sample", "NAME": "shop", "HOST": host}
    with default(entry):
        yield Database("sample")

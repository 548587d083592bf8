"""Django for tests that name their databases themselves."""

import contextlib
import os

import django
from django.conf import settings


def set_up():
    """Set Django up, with the run's settings or, without them, next to none."""
    if not settings.configured and not os.environ.get("DJANGO_SETTINGS_MODULE"):
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}}, USE_TZ=False
        )
    django.setup()


@contextlib.contextmanager
def unblocked(request):
    """Let a test use databases, where pytest-django forbids it."""
    with contextlib.ExitStack() as stack:
        if request.config.pluginmanager.hasplugin("django"):
            blocker = request.getfixturevalue("django_db_blocker")
            stack.enter_context(blocker.unblock())
        yield

"""``howto/fields``: its files, commands and sessions are run in the page's order."""

import re
import textwrap

import pytest

from . import pages
from .test_movedata import MANAGE
from .test_movedata import SETTINGS as BASE

PAGE = "howto/fields.rst"
SETTINGS = (
    BASE
    + """
INSTALLED_APPS += [
    f"django.contrib.{app}" for app in ("admin", "messages", "sessions")
]
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["testserver"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
STATIC_URL = "/static/"
"""
)
URLS = """
from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
"""
ADMIN = """
>>> from django.contrib.auth.models import User
>>> from django.test import Client
>>> client = Client()
>>> client.force_login(User.objects.create_superuser("ann"))
>>> page = client.get("/admin/shop/customer/1/change/")
>>> page.status_code, b"ann@example.com" in page.content
(200, True)
"""
# A session of the page is a doctest; the settings say where it is.
SESSION = """
import doctest, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django
django.setup()
failed, tried = doctest.testfile(
    sys.argv[1], module_relative=False, optionflags=doctest.ELLIPSIS, encoding="utf-8"
)
sys.exit(bool(failed) or not tried)
"""
_BLOCK = re.compile(
    r"^\.\. code-block:: (\w+)\n(?:   :caption: (.+)\n)?\n((?:   .*\n|\n)+)", re.M
)


def steps():
    """Return the page's blocks in their order: kind, caption and text."""
    return [
        (kind, caption, textwrap.dedent(text))
        for kind, caption, text in _BLOCK.findall((pages.DOCS / PAGE).read_text())
    ]


@pytest.mark.check
def test_the_page(tmp_path):
    written = {"manage.py": MANAGE, "settings.py": SETTINGS, "session.py": SESSION}
    written["urls.py"] = URLS
    pages.write(written | {"shop/migrations/__init__.py": ""}, tmp_path)
    sessions = []
    for kind, caption, text in steps():
        if kind != "pycon":
            run_sessions(tmp_path, sessions)
        if caption == "shop/migrations/0002_location.py":
            models = (tmp_path / "shop/models.py").read_text()
            pages.write(
                {"shop/models.py": re.sub(r"\bAddress\b", "Location", models)}, tmp_path
            )
        if kind == "python":
            before = SETTINGS if caption == "settings.py" else ""
            pages.write({caption: before + text}, tmp_path)
        elif kind == "console":
            for line in text.strip().splitlines():
                assert line.startswith("$ ./manage.py ")
                pages.run(tmp_path, "manage.py", *line.split()[2:])
        else:
            assert kind == "pycon"
            sessions.append(text)
    run_sessions(tmp_path, [*sessions, ADMIN])
    assert "no issues" in pages.run(tmp_path, "manage.py", "check")


def run_sessions(folder, sessions):
    """Run what one types until the next file or command; names stay bound so long."""
    if sessions:
        pages.write({"session.txt": "\n".join(sessions)}, folder)
        pages.run(folder, "session.py", "session.txt")
        sessions.clear()

"""A project on the guide's sample: ``python -m tests.toolbox.project``."""

import io
import json
import sys

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "tests.toolbox.sample",
            "NAME": "shop",
            "HOST": "project",
            "OPTIONS": {"allow_no_transactions": True},
        }
    },
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
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
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["testserver"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    SECRET_KEY="of a test",
    STATIC_URL="/static/",
    USE_TZ=True,
)
django.setup()

from django.contrib import admin  # noqa: E402  # after the settings
from django.contrib.auth.models import Group, Permission, User  # noqa: E402  # as above
from django.core.management import call_command  # noqa: E402  # as above
from django.test import Client  # noqa: E402  # as above
from django.test.utils import setup_test_environment  # noqa: E402  # as above
from django.urls import path  # noqa: E402  # as above

urlpatterns = [path("admin/", admin.site.urls)]


def command(*args, **options):
    """Return what a command prints."""
    out = io.StringIO()
    call_command(*args, stdout=out, **options)
    return out.getvalue()


def main():
    command("migrate", verbosity=0)
    found = {"checks": command("check", databases=["default"])}
    User.objects.create_superuser("ann", "ann@example.com", "secret")
    setup_test_environment()  # pages keep their contexts
    client = Client()
    assert client.login(username="ann", password="secret")
    permission = Permission.objects.get(codename="add_group")
    added = client.post(
        "/admin/auth/group/add/", {"name": "editors", "permissions": [permission.pk]}
    )
    group = Group.objects.get()
    found["added"] = (
        added.status_code,
        [one.codename for one in group.permissions.all()],
    )
    pages = [client.get("/admin/auth/group/", {"q": q}) for q in ("edit", "writ")]
    found["listed"] = [page.context["cl"].result_count for page in pages]
    url = f"/admin/auth/group/{group.pk}/delete/"
    found["deleted"] = (
        client.post(url, {"post": "yes"}).status_code,
        [*Group.objects.all()],
    )
    found["inspected"] = "class AuthGroup(" in command("inspectdb", "auth_group")
    found["unmigrated"] = command("makemigrations", "--check", "--dry-run").strip()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()

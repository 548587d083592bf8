"""``docs/howto/from-djangotoolbox.rst``: its code runs in a project."""

import pytest

from . import pages

PAGE = "howto/from-djangotoolbox.rst"
SETTINGS = """
SECRET_KEY = "x"
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {"default": {"ENGINE": "backendkit.backends.memory", "NAME": "shop"}}
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.sites",
    "django.contrib.contenttypes", "django.contrib.messages", "django.contrib.sessions",
    "shop"]
MIGRATION_MODULES = {name.rpartition(".")[2]: None for name in INSTALLED_APPS}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True, "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}]
"""
# The page leaves out what has nothing to do with it.
MESSAGES = """
MIDDLEWARE.append("django.contrib.messages.middleware.MessageMiddleware")
"""
MODELS = """
from django.db import models

class Author(models.Model):
    name = models.CharField(max_length=50)

class Book(models.Model):
    title = models.CharField(max_length=50)
    pages = models.IntegerField()
    author = models.ForeignKey(Author, models.CASCADE, null=True)
"""
URLS = """
from django.contrib import admin
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from . import views

def broken(request):
    raise ZeroDivisionError

def site(request):
    return HttpResponse(request.site.domain)

urlpatterns = [
    path("json/", views.status_as_json),
    path("text/", views.status_as_text),
    path("broken/", broken),
    path("staff/", views.status_as_text),
    path("staff/help/", views.status_as_text),
    path("site/", site),
    path("admin/", admin.site.urls),
]
"""
# What the page says of its code.
TESTS = """
from django.contrib.auth.models import User
from django.contrib.sites.models import Site
from django.test import TestCase
from shop import helpers
from shop.models import Author, Book

class PageTests(TestCase):
    @classmethod
    def setUpTestData(cls):
        Site.objects.create(domain="shop.example.com", name="shop")
        cls.user = User.objects.create_superuser("ann", "ann@example.com", "x")

    def get(self, path, host="shop.example.com"):
        return self.client.get(path, headers={"host": host})

    def test_responses(self):
        self.assertEqual(self.get("/json/").json(), {"status": "open"})
        answer = self.get("/text/")
        self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")

    def test_error_page(self):
        self.client.raise_request_exception = False
        answer = self.get("/broken/")
        self.assertEqual(answer.status_code, 500)
        self.assertEqual(answer.content, b"not at /broken/")

    def test_login_by_prefix(self):
        self.assertRedirects(
            self.get("/staff/"), "/login/?next=/staff/", fetch_redirect_response=False
        )
        self.assertEqual(self.get("/staff/help/").status_code, 200)
        self.assertEqual(self.get("/text/").status_code, 200)
        self.client.force_login(self.user)
        self.assertEqual(self.get("/staff/").status_code, 200)

    def test_one_domain(self):
        answer = self.get("/text/?a=1", "old.example.com")
        self.assertEqual(answer.status_code, 301)
        self.assertEqual(answer.headers["Location"], "http://shop.example.com/text/?a=1")

    def test_no_history_cache(self):
        self.assertNotIn("Cache-Control", self.get("/text/").headers)
        self.client.force_login(self.user)
        self.assertIn("no-store", self.get("/text/").headers["Cache-Control"])

    def test_site_of_host(self):
        for host in ("shop.example.com", "www.shop.example.com"):
            self.assertEqual(self.get("/site/", host).content, b"shop.example.com")
        Site.objects.all().delete()
        self.assertEqual(self.get("/site/").status_code, 404)
        self.assertEqual(Site.objects.count(), 0)

    def test_admin(self):
        self.client.force_login(self.user)
        for path in ("", "?q=ann", "add/", f"{self.user.pk}/change/"):
            answer = self.get(f"/admin/auth/user/{path}")
            self.assertEqual(answer.status_code, 200, path)
        self.assertContains(answer, "is_superuser")
        self.assertNotContains(answer, "user_permissions")
        self.assertEqual(self.get("/admin/auth/group/").status_code, 200)

    def test_helpers(self):
        book = Book.objects.create(
            title="Emma", pages=474, author=Author.objects.create(name="Jane")
        )
        both = {"title": "Emma", "pages": 474}
        self.assertEqual(helpers.author_name(book), "Jane")
        self.assertEqual(helpers.title_and_pages({**both, "more": 1}), both)
        self.assertEqual(helpers.as_dict(book), both)
        self.assertTrue(helpers.same_items([1, 2, 2], [2, 1, 2]))
        self.assertFalse(helpers.same_items([1, 2], [2, 2]))
        self.assertEqual(
            helpers.table(Book.objects.all()), [("title", "pages"), ("Emma", 474)]
        )
        self.assertIsNone(helpers.current_shop.get())
"""


@pytest.mark.check
def test_the_page(tmp_path):
    files = pages.blocks(PAGE)
    files["settings.py"] = SETTINGS + files["settings.py"] + MESSAGES
    files["shop/urls.py"] = URLS + files["shop/urls.py"]
    more = {
        "shop/models.py": MODELS,
        "shop/templates/500.html": "not at {{ request_path }}",
        "test_page.py": TESTS,
    }
    pages.write(files | more, tmp_path)
    said = pages.run(
        tmp_path, "-m", "django", "test", "--settings=settings", "--buffer"
    )
    assert "Ran 9 tests" in said

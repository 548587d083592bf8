"""``LedgerAdmin``: the page with an object's history."""

import html
import re

import pytest

pytest.importorskip("grpc", reason="needs the extra immudb")

from django.conf import settings
from django.test import Client, override_settings

from tests.nonrel.databases import default

APPLICATIONS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "backendkit.backends.immudb",
    "tests.immudb.ledgershop",
]
SETTINGS = {
    "INSTALLED_APPS": APPLICATIONS,
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    "TEMPLATES": [
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
    "ROOT_URLCONF": "tests.immudb.ledgershop.urls",
    # Neither needs a table.
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "MESSAGE_STORAGE": "django.contrib.messages.storage.cookie.CookieStorage",
    "STATIC_URL": "/static/",
    "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
    "USE_TZ": True,
    "USE_THOUSAND_SEPARATOR": True,
}


class Project:
    """A project with an admin, and who uses it."""

    def __init__(self, database):
        from django.contrib.admin.models import LogEntry
        from django.contrib.auth.models import Group, Permission, User
        from django.contrib.contenttypes.models import ContentType

        from .ledgershop.models import Customer, Invoice, Special

        self.Customer, self.Invoice = Customer, Invoice
        self.User, self.Permission = User, Permission
        self.ContentType, self.Special, self.LogEntry = ContentType, Special, LogEntry
        models = (ContentType, Permission, Group, User, LogEntry)
        database.create(*models, Customer, Invoice, Special)
        self.root = self.user("root <b>", is_superuser=True)

    def user(self, name, **fields):
        return self.User.objects.create(username=name, is_staff=True, **fields)

    def client(self, user):
        client = Client()
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        return client

    def save(self, path, **fields):
        """Add or change an object as a person does."""
        answer = self.client(self.root).post(f"/admin/ledgershop/{path}/", fields)
        assert answer.status_code == 302, answer.content.decode()

    def history(self, pk, query="", *, user=None, model="invoice", status=200):
        answer = self.client(user or self.root).get(
            f"/admin/ledgershop/{model}/{pk}/history/{query}"
        )
        assert answer.status_code == status
        return Page(answer)


class Page:
    def __init__(self, answer):
        self.answer = answer
        self.html = answer.content.decode()
        self.text = plain(self.html)
        #: Cells of the ledger's table.
        self.rows = []
        found = re.search(r'(?s)id="ledger-history".*?<tbody>(.*?)</tbody>', self.html)
        for row in re.findall(r"(?s)<tr>(.*?)</tr>", found[1] if found else ""):
            cells = re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row)
            self.rows.append(tuple(map(plain, cells)))


def plain(markup):
    # A boolean is a picture.
    markup = re.sub(r'<img[^>]* alt="([^"]*)"[^>]*>', r"\1", markup)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


@pytest.fixture(autouse=True)
def states(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def applications():
    with override_settings(**SETTINGS):
        # Gone with the others, while an empty one can't be overridden and restored.
        settings.SECRET_KEY = "of this test"
        yield


@pytest.fixture
def project(database, applications):
    from django.contrib.contenttypes.models import ContentType

    ContentType.objects.clear_cache()
    yield Project(database)
    ContentType.objects.clear_cache()


def test_what_changed_when_and_by_whom(project, connection):
    """A page has it all, the newest first, and who did it where that is known."""
    project.save("customer/add", name="Ada")
    project.save("customer/add", name="Grace")
    project.save("invoice/add", title="Engine", customer=1, total="12.50")
    project.save(
        "invoice/1/change", title="Engine", customer=2, total="1234.5", paid="on"
    )
    # Not by the admin.
    invoice = project.Invoice.objects.get()
    invoice.internal = "elsewhere"
    invoice.save()
    connection.run("UPDATE ledgershop_invoice SET paid = paid WHERE id = 1")
    invoice.password = "secret-1"
    invoice.save()

    page = project.history(1)
    changes = [(row[1], row[3], row[4]) for row in page.rows]
    assert changes[:3] == [
        ("5", "", "password: not shown"),
        ("4", "", "Nothing"),
        ("3", "", "Other fields, which aren\N{RIGHT SINGLE QUOTATION MARK}t shown"),
    ]
    page = project.history(1, "?p=2")
    root = "root <b>"
    assert [(row[1], row[3], row[4]) for row in page.rows] == [
        ("1", root, "Added title Engine customer Ada (1) total 12.50 paid False"),
    ]
    page = project.history(1)
    second = page.rows[3]
    assert second[3] == root
    assert "customer Ada (1) → Grace (2)" in second[4]
    assert "total 12.50 → 1,234.50" in second[4]
    assert "5 revisions" in page.text
    txs = [int(row[2]) for row in page.rows]
    assert txs == sorted(txs, reverse=True)
    assert "secret" not in page.html
    assert "elsewhere" not in page.html


def test_an_object_is_proven_on_demand(project, proxy, settings_of_database, tmp_path):
    """Green if it is; red, with the reason, if it isn't; neither before it was asked."""
    project.save("invoice/add", title="the-honest-title")
    page = project.history(1)
    assert "Verified" not in page.text
    assert ">Verify</a>" in page.html
    page = project.history(1, "?verify=1")
    assert "ledger-proven" in page.html
    assert "✓ Verified" in page.text
    tx = page.rows[0][2]
    assert f"It is as transaction {tx} wrote it" in page.text

    with default({**settings_of_database, "PORT": str(proxy.port)}):
        project.history(1, "?verify=1")
        proxy.change = lambda name, data: data.replace(b"the-honest", b"the-forged")
        page = project.history(1, "?verify=1")
        assert "✗ Not verified" in page.text
        assert "ledger-proven" not in page.html
        assert "contradicts what was verified before" in page.text
        # What was seen is another thing than what is proven.
        proxy.change = lambda name, data: (
            data
            if name == "VerifiableSQLGet"
            else data.replace(b"the-honest", b"the-forged")
        )
        page = project.history(1, "?verify=1")
        assert "✗ Not verified" in page.text
        assert "title" in page.text

    # A file of states that is broken isn't a broken proof.
    proxy.change = None
    (file,) = tmp_path.rglob("immudb-states.json")
    file.write_text("{")
    page = project.history(1, "?verify=1")
    assert "be told whether it is as it was written" in page.text
    assert "Verified" not in page.text


def test_hostile_values(project):
    evil = "<script>alert('1')</script>&amp;{{ x }}"
    project.save("customer/add", name=evil[:40])
    project.save("invoice/add", title=evil, customer=1)
    project.save("invoice/1/change", title="</del>" + evil, customer=1)
    for query in ("", "?verify=1"):
        page = project.history(1, query)
        assert "<script>alert" not in page.html
        assert "</del><script" not in page.html
        assert evil in page.text
    # Long ones are cut off.
    project.Invoice.objects.update(title="x" * 5_000)
    page = project.history(1)
    assert "x" * 900 in page.rows[0][4]
    assert "x" * 1_000 not in page.rows[0][4]


@pytest.mark.check
def test_deleted_objects(project):
    """Superusers see what they were; to others they aren't there, as in Django."""
    project.save("invoice/add", title="gone")
    project.save("invoice/1/delete", post="yes")
    page = project.history(1)
    assert page.rows[0][4] == "Deleted"
    assert page.rows[0][3] == "root <b>"
    assert "Added title gone" in page.rows[1][4]
    assert "Verify" not in page.text
    viewer = viewer_of(project)
    project.history(1, user=viewer, status=302)
    project.history(2, status=302)
    project.history("no-number", status=302)
    # It comes back.
    project.Invoice.objects.create(pk=1, title="again")
    page = project.history(1)
    assert "Added title again" in page.rows[0][4]
    assert page.rows[1][4] == "Deleted"
    assert "Verify" in page.text


def viewer_of(project):
    viewer = project.user("viewer")
    permission = project.Permission.objects.create(
        codename="view_invoice",
        name="view",
        content_type=project.ContentType.objects.get_for_model(project.Invoice),
    )
    viewer.user_permissions.add(permission)
    return viewer


def test_who_may_see_it(project):
    """Those whom Django lets, and no rows that the admin keeps back."""
    project.Invoice.objects.create(title="seen")
    project.Invoice.objects.create(title="withheld")
    viewer, stranger = viewer_of(project), project.user("stranger")
    assert project.history(1, user=viewer).rows
    project.history(1, user=stranger, status=403)
    project.history(2, user=viewer, status=302)
    project.history(2, status=302)
    # Which table's history it would be isn't for us to choose.
    project.Special.objects.create(title="in two tables")
    page = project.history(3, model="special")
    assert "multi-table inheritance" in page.text


@pytest.mark.check
def test_another_database(project, tmp_path):
    """There the page is Django's own."""
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db")}
    from tests.nonrel.databases import Database

    with default(settings):
        project.ContentType.objects.clear_cache()
        other = Project(Database("sqlite3"))
        other.save("invoice/add", title="there")
        page = other.history(1)
        assert 'id="change-history"' in page.html
        assert "ledger-history" not in page.html
        other.history(7, status=302)


def test_the_application_has_to_be_installed(applications):
    from .ledgershop.models import Invoice
    from .ledgershop.urls import site

    admin = site.get_model_admin(Invoice)
    assert admin.check() == []
    fewer = [name for name in APPLICATIONS if "immudb" not in name or "shop" in name]
    with override_settings(INSTALLED_APPS=fewer):
        assert [found.id for found in admin.check()] == ["backendkit.immudb.E001"]

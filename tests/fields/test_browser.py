"""The admin in a real Chromium edits lists and embedded models."""

import socket
import urllib.request

import pytest

from tests.nonrel.projects import Project
from tests.waiting import until

pytest.importorskip("selenium", reason="selenium isn't installed")

from selenium.webdriver.common.by import By

pytestmark = [pytest.mark.browser, pytest.mark.check]

_CONTRIB = "django.contrib"
_MIDDLEWARE = [
    f"{_CONTRIB}.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    f"{_CONTRIB}.auth.middleware.AuthenticationMiddleware",
    f"{_CONTRIB}.messages.middleware.MessageMiddleware",
]
_PROCESSORS = [
    "django.template.context_processors.request",
    f"{_CONTRIB}.auth.context_processors.auth",
    f"{_CONTRIB}.messages.context_processors.messages",
]
_FILES = {
    "shop/urls.py": """
        from django.contrib import admin
        from django.http import HttpResponse
        from django.urls import path

        urlpatterns = [
            path("admin/", admin.site.urls),
            path("favicon.ico", lambda request: HttpResponse()),
        ]
    """,
    "shop/models.py": """
        from django.db import models
        from backendkit.fields import *

        class Address(EmbeddedModel):
            city = models.CharField(max_length=50)
            since = models.DateField(null=True, blank=True)

        class Email(EmbeddedModel):
            address = models.EmailField()

        class Phone(EmbeddedModel):
            number = models.CharField(max_length=20)
            mobile = models.BooleanField(default=False)

        class Person(models.Model):
            contact = EmbeddedModelField([Email, Phone], null=True, blank=True)
            contacts = EmbeddedModelListField([Email, Phone], blank=True)
            address = EmbeddedModelField(Address, null=True, blank=True)
            others = EmbeddedModelListField(Address, blank=True)
            tags = ListField(models.CharField(max_length=20), blank=True)
            sums = DictField(models.FloatField(), blank=True)
            photo = BlobField(null=True, blank=True)
    """,
    "shop/admin.py": """
        from django.contrib import admin
        from shop.models import Person

        admin.site.register(Person)
    """,
    "shop/migrations/__init__.py": "",
}


def test_lists_and_embedded_models_are_edited(driver, tmp_path):
    apps = ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
    project = Project(
        tmp_path,
        {"ENGINE": "backendkit.backends.lmdb", "NAME": str(tmp_path / "db")},
        apps=[*(f"{_CONTRIB}.{app}" for app in apps), "shop"],
        DEBUG=True,
        ROOT_URLCONF="shop.urls",
        STATIC_URL="/static/",
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": _PROCESSORS},
            }
        ],
    )
    settings = (tmp_path / "project_settings.py").read_text()
    project.write("project_settings.py", f"{settings}\nMIDDLEWARE = {_MIDDLEWARE!r}\n")
    for name, text in _FILES.items():
        project.write(name, text)
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    project.script("""
        from django.contrib.auth.models import User
        from shop.models import *
        User.objects.create_superuser("admin", "a@b.cd", "pw")
        Person.objects.create(
            contact=Email(address="a@b.cd"), contacts=[Phone(number="1", mobile=True)],
            address=Address(city="London"), others=[Address(city="Paris")],
            tags=["friend", "<b>"], sums={"eur": 1.5}, photo=b"x" * 2000,
        )
    """)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = project.start("manage.py", "runserver", f"127.0.0.1:{port}", "--noreload")
    try:
        edit(driver, f"http://127.0.0.1:{port}/admin/", tmp_path)
    finally:
        server.kill()
        server.communicate()
    assert (
        project.script("""
        from shop.models import *
        p = Person.objects.get()
        print(p.tags, p.address.city, [o.city for o in p.others], p.sums, len(p.photo))
    """)
        == "['<b>', 'new'] Rome ['Paris', 'Oslo'] {'eur': 1.5} 2000\n"
    )
    assert (
        project.script("""
        from shop.models import *
        p = Person.objects.get()
        print(p.contact.number, [(c.number, c.mobile) for c in p.contacts[:1]])
        print([c.address for c in p.contacts[1:]])
    """)
        == "55 [('1', True)]\n['c@d.ef']\n"
    )


def edit(driver, admin, pictures):
    def is_served():
        try:
            return urllib.request.urlopen(f"{admin}login/").status == 200
        except OSError:
            return False

    def find(name):
        return driver.find_element(By.NAME, name)

    def fill(name, text):
        find(name).clear()
        find(name).send_keys(text)

    def click(name, css):
        driver.execute_script("arguments[0].click()", find(name))
        until(lambda: driver.find_elements(By.CSS_SELECTOR, css))

    def choose(name, model):
        xpath = f"//input[@name='{name}--model']/../label[.='{model}']"
        driver.find_element(By.XPATH, xpath).click()

    def take(path):
        """Leave a picture of the whole page, to be looked at."""
        page = driver.find_element(By.TAG_NAME, "html")
        driver.set_window_size(1280, page.get_property("scrollHeight") + 200)
        assert driver.save_screenshot(str(path))

    until(is_served)
    driver.get(f"{admin}login/?next=/admin/shop/person/1/change/")
    fill("username", "admin")
    fill("password", "pw")
    find("password").submit()
    until(lambda: driver.find_elements(By.NAME, "tags_2"))
    fill("tags_0", "")
    fill("tags_2", "new")
    fill("address-city", "Rome")
    fill("others_1-city", "Oslo")
    fill("others_2-since", "nonsense")
    # A form is shown once its model is chosen.
    assert find("contact-shop.email-address").is_displayed()
    assert not find("contact-shop.phone-number").is_displayed()
    choose("contact", "Phone")
    assert not find("contact-shop.email-address").is_displayed()
    fill("contact-shop.phone-number", "55")
    choose("contacts_1", "Email")
    fill("contacts_1-shop.email-address", "nonsense")
    take(pictures / "edited.png")
    click("_continue", ".errornote")
    errors = driver.find_element(By.CSS_SELECTOR, ".field-others > div > .errorlist")
    assert errors.text == "Item 2: City: This field is required."
    errors = driver.find_element(By.CSS_SELECTOR, ".field-contacts > div > .errorlist")
    assert errors.text == "Item 1: Address: Enter a valid email address."
    take(pictures / "errors.png")
    fill("others_2-since", "")
    fill("contacts_1-shop.email-address", "c@d.ef")
    click("_continue", ".messagelist .success")
    take(pictures / "saved.png")
    # Nothing is asked of the server when it is gone.
    driver.get("about:blank")

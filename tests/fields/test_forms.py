"""Forms of models with these fields."""

import datetime

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict

from .models import Address, Email, Person, Phone, Place


class Form(forms.ModelForm):
    class Meta:
        model = Person
        exclude = ["teams", "anything"]


def data(html, **changes):
    """Return what a browser sends of a form's HTML, with changes."""
    from html.parser import HTMLParser

    found = {}

    class Parser(HTMLParser):
        area = None

        def handle_starttag(self, tag, attrs):
            attrs = dict(attrs)
            if tag == "textarea":
                self.area = attrs["name"]
                found[self.area] = ""
            elif tag == "input" and attrs.get("type") == "radio":
                if "checked" in attrs:
                    assert attrs["name"] not in found
                    found[attrs["name"]] = attrs["value"]
            elif tag == "input" and attrs.get("type") not in {"checkbox", "file"}:
                found[attrs["name"]] = attrs.get("value", "")
            elif tag == "select":
                self.select = attrs["name"]
            elif tag == "option" and "selected" in attrs:
                found[self.select] = attrs["value"]

        def handle_data(self, text):
            if self.area:
                found[self.area] += text

        def handle_endtag(self, tag):
            if tag == "textarea":
                found[self.area] = found[self.area].removeprefix("\n")
                self.area = None

    Parser().feed(str(html))
    query = QueryDict(mutable=True)
    query.update(found | changes)
    return query


@pytest.fixture
def person(empty):
    person = Person(
        address=Address(city="a", tags=["x"], place=Place(name="b", floor=0)),
        contact=Email(address="a@b.cd"),
        ways=[Phone(number="1", private=True), Phone(number="2")],
        places=[Place(name="c"), Place(name="d", floor=2)],
        tags=["<i>", "y"],
        marks={2, 1},
        numbers=[0, 1],
        sums={"a": 1.5},
        days=[datetime.date(2026, 1, 1)],
        grid=[[1], [2, 3]],
        raw={"a": None},
        blob=b"abc",
    )
    person.save()
    return Person.objects.get()


def test_a_form_that_is_sent_back_changes_nothing(person):
    html = Form(instance=person).as_p()
    assert "<i>" not in html.replace('"&lt;i&gt;"', "")
    form = Form(data(html), {}, instance=Person.objects.get())
    assert form.is_valid(), form.errors
    assert form.changed_data == []
    form.save()
    found = Person.objects.get()
    for field in Person._meta.concrete_fields:
        before = getattr(person, field.name)
        assert getattr(found, field.name) == before, field.name


def test_what_is_changed_is_saved(person):
    changed = {
        "tags_0": "",
        "tags_2": "z",
        "places_1-name": "",
        "places_1-floor": "",
        "places_2-name": "new",
        "address-city": "other",
        "address-place-floor": "7",
        "sums": '{"b": 2.5}',
        "contact--model": "fields_tests.phone",
        "contact-fields_tests.phone-number": "5",
        "ways_0--model": "fields_tests.phone",
        "ways_0-fields_tests.phone-number": "7",
        "ways_2--model": "fields_tests.email",
        "ways_2-fields_tests.email-address": "e@f.gh",
        "marks_0": "9",
    }
    files = {"blob": SimpleUploadedFile("x", b"new")}
    form = Form(data(Form(instance=person).as_p(), **changed), files, instance=person)
    assert form.is_valid(), form.errors
    form.save()
    found = Person.objects.get()
    assert found.tags == ["y", "z"]
    assert [place.name for place in found.places] == ["c", "new"]
    assert found.address.city == "other"
    assert found.address.place == Place(name="b", floor=7)
    assert found.sums == {"b": 2.5}
    assert found.contact == Phone(number="5")
    assert found.ways == [
        Phone(number="7", private=True),
        Phone(number="2"),
        Email(address="e@f.gh"),
    ]
    assert found.marks == {9, 2}
    assert bytes(found.blob) == b"new"


def test_errors_name_the_item(person):
    changed = {
        "tags_1": "x" * 11,
        "places_1-name": "",
        "places_1-floor": "3",
        "marks_0": "x",
        "address-city": "",
        "sums": "[1]",
        "contact--model": "os.system",
        "ways_1-fields_tests.phone-number": "",
        "ways_2--model": "fields_tests.email",
        "ways_2-fields_tests.email-address": "nonsense",
        "raw": "{",
    }
    form = Form(data(Form(instance=person).as_p(), **changed), {}, instance=person)
    assert set(form.errors) == {
        *("tags", "places", "marks", "address", "sums", "contact", "ways", "raw")
    }
    assert "Item 1: " in form.errors["tags"][0]
    assert "Item 1: Name: " in form.errors["places"][0]
    assert "City: " in form.errors["address"][0]
    assert form.errors["contact"] == ["“os.system” isn't a model that is allowed here."]
    assert form.errors["ways"] == [
        "Item 1: Number: This field is required.",
        "Item 2: Address: Enter a valid email address.",
    ]
    # It is shown again as it was sent.
    assert f'value="{"x" * 11}"' in form.as_p()
    assert 'value="nonsense"' in form.as_p()


def test_another_model_is_chosen(person):
    """Or none. What the former one's form didn't show goes with it."""
    changed = {
        "contact--model": "",
        "ways_0--model": "fields_tests.email",
        "ways_0-fields_tests.email-address": "a@b.cd",
        "ways_1--model": "",
    }
    form = Form(data(Form(instance=person), **changed), {}, instance=person)
    assert form.is_valid(), form.errors
    assert form.changed_data == ["contact", "ways"]
    form.save()
    found = Person.objects.get()
    assert found.contact is None
    assert found.ways == [Email(address="a@b.cd")]


def test_an_empty_form_is_an_empty_person(empty):
    form = Form(data(Form().as_p()), {})
    assert form.is_valid(), form.errors
    saved = form.save()
    assert (saved.address, saved.tags, saved.marks, saved.places) == (
        None,
        [],
        set(),
        [],
    )
    assert (saved.contact, saved.ways) == (None, [])


def test_a_page_hides_the_forms_of_other_models_once(person):
    media = str(Form(instance=person).media)
    assert media.count("<style>") == 1


def test_the_number_of_rows_is_not_believed(empty):
    form = Form({"tags_rows": str(10**12), "tags_0": "a"}, {})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["tags"] == ["a"]


def test_a_client_without_rows(empty):
    query = QueryDict("tags=a&tags=b")
    form = Form(query, {})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["tags"] == ["a", "b"]


def test_a_blob_shows_its_size(empty):
    assert "3 bytes" in Form(instance=Person(blob=b"abc")).as_p().replace("\xa0", " ")

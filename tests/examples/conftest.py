"""Databases on the examples, each the default one of its test."""

import pytest

from tests.django_setup import set_up, unblocked

set_up()


@pytest.fixture(autouse=True)
def _unblocked(request):
    """Let tests use databases, where pytest-django forbids it."""
    with unblocked(request):
        yield

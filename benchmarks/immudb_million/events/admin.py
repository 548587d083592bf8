"""The changelist and the history page that are requested."""

from typing import ClassVar

from django.contrib import admin

from backendkit.backends.immudb.admin import LedgerAdmin

from .models import Event


@admin.register(Event)
class EventAdmin(LedgerAdmin):
    """What a project's admin has for a log: by time, with the foreign key."""

    date_hierarchy = "created"
    list_display: ClassVar = ["created", "name", "author", "severity", "weight"]
    list_per_page = 100
    list_select_related: ClassVar = ["author"]
    ordering: ClassVar = ["-created"]
    raw_id_fields: ClassVar = ["author"]
    search_fields: ClassVar = ["name"]

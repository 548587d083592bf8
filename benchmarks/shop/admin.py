"""The changelist that is requested."""

from django.contrib import admin

from .models import Book


@admin.register(Book)
class BookAdmin(admin.ModelAdmin):
    """What a project's admin has: columns of two tables, filters, a search box."""

    list_display = ["title", "author", "genre", "pages", "price", "in_print"]
    list_filter = ["genre", "in_print", "published"]
    list_select_related = ["author"]
    list_per_page = 100
    search_fields = ["title", "author__name"]
    ordering = ["pk"]

"""What the demo's templates need."""

from django import template
from django.utils.html import format_html

register = template.Library()


@register.simple_tag
def share(part, total):
    """Show a part of a total as a bar with its percentage."""
    percent = 100 * part / total if total else 0
    return format_html(
        '<span class="bar" aria-hidden="true"><span style="width: {}%"></span></span>'
        '<span class="percent">{}%</span>',
        f"{percent:.1f}",
        f"{percent:.1f}",
    )

"""Names that SQLite takes for tables, columns and indexes, once they are quoted."""

from hypothesis import strategies as st


def is_free(name):
    """Return whether SQLite doesn't keep a name for itself."""
    return not name.lower().startswith("sqlite_")


#: Any text but the empty one; SQLite's texts end at NUL, and no encoding has surrogates.
NAMES = (
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
    )
    | st.sampled_from(
        [
            *('a"b', "a b", "select", "a;--", "a/*", "`", "[x]", "a.b", "'", "%s"),
            *("ä", "1", "?", "sqlite", "sqlitex", "rowid", "main", "\u212a", "\ufeff"),
        ]
    )
).filter(is_free)

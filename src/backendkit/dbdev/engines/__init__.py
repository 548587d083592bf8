"""One module for each kind of database. They are imported when they are needed."""

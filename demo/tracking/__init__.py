"""A software bill of materials: which Python distributions are installed here."""

"""The rows themselves, in SQLite: tables of a generation, written inline and read by the API."""

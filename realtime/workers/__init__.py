"""Child processes that draw mouths, paint and encode pictures, and their ends in the server."""

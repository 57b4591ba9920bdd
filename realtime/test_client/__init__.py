"""A client that measures a running server: it calls, records what comes, and reads it."""

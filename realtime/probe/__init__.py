"""A client of our own, for measuring a running server: it calls, records what comes, and reads it."""

"""Child processes that draw mouths, or paint and encode pictures, and the server's ends of them."""

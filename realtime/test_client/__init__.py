"""A client that measures a running server: it calls the server, records the packets, and analyses them."""

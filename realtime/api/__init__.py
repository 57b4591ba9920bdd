"""HTTP and WebSocket: routes, who may call them, what is refused, and what is exported."""

"""HTTP and WebSocket: routes, authorization, limits on requests and connections, and exported metrics."""

"""Tunnels: a client's WebSocket joined to a session's endpoint, without a word about how WebSockets are framed."""

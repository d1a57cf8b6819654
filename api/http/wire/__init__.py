"""Connections and bodies: what a client sends before it is known who it is, within limits."""

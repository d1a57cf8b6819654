"""Connections and bodies: what a client sends before anybody knows who it is, within limits."""

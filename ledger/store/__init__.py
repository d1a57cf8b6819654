"""The event store: the eventsourcing library's recorders made ours, behind one thin seam."""

"""What the caller of a request may do: which routes, which jobs, how often, and for whom."""

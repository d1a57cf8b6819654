"""`/api/v1`: where any program records an operation of its own as a job."""

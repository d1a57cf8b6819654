"""A client of the API, as the command line is one. It knows nothing of the service's inside."""

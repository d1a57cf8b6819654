"""The roots of the API's URLs, for those who serve them and those who ask."""

API_ROOT = "/api/2.0"
V1_ROOT = "/api/v1"
"""Of what other programs record their own jobs with."""

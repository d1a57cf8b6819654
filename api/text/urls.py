"""The root of the API's URLs, for those who serve them and those who ask."""

API_ROOT = "/api/2.0"

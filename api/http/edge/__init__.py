"""What browsers and proxies add to requests, and how far it is believed."""

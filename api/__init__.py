"""The service as others meet it: HTTP, the command line, and the composition of it all."""

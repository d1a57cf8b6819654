"""What is told of a running process, in the form that Prometheus reads."""

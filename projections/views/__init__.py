"""The rows of the read models: written inline with the events, and read in snapshots."""

"""Reads of producers' jobs: their pages, what is shown of them, how long those of a series take."""

"""Time travel: jobs as they were at an earlier position, and how they came to be so."""

"""Disk images: where they are, and how they are made, copied and received. Linux only."""

"""Numbers of things, in words."""


def what(trees: int, jobs: int, streams: int) -> str:
    """Return what is, or would be, discarded."""
    return (
        f"{counted(jobs, 'job')} in {counted(trees, 'tree')},"
        f" and {counted(streams, 'other stream')}"
    )


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

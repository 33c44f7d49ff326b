"""`python -m cachestead` is the command line."""

from cachestead.cli.main import app

app()

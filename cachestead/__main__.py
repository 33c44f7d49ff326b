"""`python -m cachestead`: the command line."""

from cachestead.cli.main import app

if __name__ == "__main__":
    app()

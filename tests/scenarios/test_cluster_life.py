"""A cluster from its order to its removal, through the official SDK and redis-py's cluster client."""

from __future__ import annotations

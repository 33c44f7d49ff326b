"""Where sessions are, as steps and operations reach it: an instance's proxies, or its data nodes."""

from __future__ import annotations

from cachestead.domain.instances import Instance, Node
from cachestead.domain.sessions import Place
from cachestead.engine.connection import Client
from cachestead.workflows import machinery as nodes
from cachestead.workflows import proxies
from cachestead.workflows.machinery import Machinery


def client_at(machinery: Machinery, instance: Instance, place: Place) -> Client:
    """The control plane's own connection to a data node or a proxy."""
    if isinstance(place, Node):
        return nodes.client_of(machinery, instance, place)
    return proxies.client_of(machinery, instance, place)

"""Proxies as steps and reconcilers handle them: what each is told, and that it runs.

A proxy's configuration is made whole from the record, as a node's is. It finds masters and slots by itself, so it
is told only what an order changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Iterable

from cachestead.domain.instances import Instance, Node, Proxy, State
from cachestead.domain.proxies import proxy_connections
from cachestead.engine import proxies as engine
from cachestead.engine.acl import PROXY, PROXY_READER, refused_commands
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client
from cachestead.proxy.configuration import (
    ADMIN_USER,
    CONFIGURATION_FILE,
    AccountLogin,
    Address,
    DataNode,
    Layout,
    ProxyConfiguration,
)
from cachestead.runtime.interface import NodeSpec
from cachestead.workflows.machinery import Machinery, flavor_of, open_secrets

COMMAND = (sys.executable, "-m", "cachestead.proxy", CONFIGURATION_FILE)


async def ensure_proxies(machinery: Machinery, instance: Instance) -> None:
    """Each of the instance's proxies runs and obeys what `instance` says."""
    await asyncio.gather(*(_ensure_proxy(machinery, instance, proxy) for proxy in instance.proxies))


async def _ensure_proxy(machinery: Machinery, instance: Instance, proxy: Proxy) -> None:
    await machinery.runtime.ensure_node(spec_of(machinery, instance, proxy))
    configuration = configuration_of(machinery, instance, proxy)
    await engine.configure(client_of(machinery, instance, proxy), configuration.to_json())


async def wait_serving(machinery: Machinery, instance: Instance, seconds: float) -> None:
    """Each of the instance's proxies takes clients and knows all masters. Raises `ProxyLate`."""
    clients = [client_of(machinery, instance, proxy) for proxy in instance.proxies]
    await asyncio.gather(*(engine.wait_serving(client, seconds) for client in clients))


async def remove_proxies(machinery: Machinery, gone: Iterable[Proxy]) -> None:
    """No process and no folder of these proxies is left."""
    gone = tuple(gone)
    await asyncio.gather(*(machinery.runtime.remove_node(proxy.id) for proxy in gone))
    for proxy in gone:
        await machinery.connections.forget(address_of(proxy))


def address_of(proxy: Proxy) -> NodeAddress:
    """Where the proxy listens for us."""
    return NodeAddress(proxy.address, proxy.port)


def client_of(machinery: Machinery, instance: Instance, proxy: Proxy) -> Client:
    """The control plane's own connection to a proxy."""
    secrets = open_secrets(machinery.vault, instance)
    return machinery.connections.get(address_of(proxy), secrets.admin, user=ADMIN_USER)


def spec_of(machinery: Machinery, instance: Instance, proxy: Proxy) -> NodeSpec:
    """The proxy as it should run."""
    return NodeSpec(
        id=proxy.id,
        command=COMMAND,
        files={CONFIGURATION_FILE: configuration_of(machinery, instance, proxy).to_json()},
        address=proxy.address,
        port=proxy.port,
        owner=instance.id,
    )


def configuration_of(machinery: Machinery, instance: Instance, proxy: Proxy) -> ProxyConfiguration:
    """What the proxy is told."""
    secrets, flavor = open_secrets(machinery.vault, instance), flavor_of(machinery, instance)
    values = machinery.parameters.values_of(instance.mode, flavor, instance.parameters)
    clustered = instance.mode.is_clustered
    return ProxyConfiguration(
        id=proxy.id,
        own=Address(proxy.address, proxy.port),
        endpoint=Address(instance.ip, instance.port) if instance.ip else None,
        layout=Layout.CLUSTER if clustered else Layout.REPLICATED,
        nodes=tuple(_data_node(node) for node in _in_service(instance)),
        version=instance.engine_version,
        user=PROXY,
        reader=PROXY_READER,
        secret=secrets.proxy,
        admin_hash=_hash(secrets.admin),
        password_hash=None if secrets.password is None else _hash(secrets.password),
        accounts={one.name: AccountLogin(one.password_hash, one.reads_only) for one in instance.accounts_in_force},
        admitted=_admitted(instance),
        refused=refused_commands(instance.engine_version, instance.mode),
        renamed=instance.rename_commands,
        maxclients=proxy_connections(flavor, int(values.get("maxclients", flavor.max_connections))),
        databases=1 if clustered else flavor.db_number,
        parameters=values,
    )


def _admitted(instance: Instance) -> tuple[str, ...]:
    """The whitelist's networks, and where we call the instance from ourselves: its own address."""
    networks = instance.whitelist.networks
    return (*map(str, networks), instance.ip) if networks and instance.ip else tuple(map(str, networks))


def _in_service(instance: Instance) -> list[Node]:
    """While an instance changes its shape: not those that only come, nor those that go."""
    return [node for node in instance.nodes if node.active or instance.state is not State.EXTENDING]


def _data_node(node: Node) -> DataNode:
    weight = DataNode.weight if node.in_domain_name else 0
    return DataNode(node.id, Address(node.address, node.port), weight)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

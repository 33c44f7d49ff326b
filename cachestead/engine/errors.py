"""What can go wrong between us and an engine, in our words.

Third-party exceptions end here: whoever calls `engine/` sees these classes and nothing of redis-py. None of them
carries a secret.
"""

from __future__ import annotations

from cachestead.engine.addresses import NodeAddress


class EngineError(Exception):
    """Something an engine, or the lack of one, stands in the way of."""


class EngineMissing(EngineError):
    """No binary on this machine can serve the wanted version."""


class EngineUnreachable(EngineError):
    """The node did not answer: refused, timed out, or dropped the connection."""

    def __init__(self, node: NodeAddress, reason: str) -> None:
        super().__init__(f"{node} did not answer: {reason}")
        self.node, self.reason = node, reason


class EndpointTaken(EngineError):
    """Another process still listens on the instance address."""

    def __init__(self, vip: str, node: NodeAddress) -> None:
        super().__init__(f"{node} cannot take {vip}: another process listens on it")
        self.vip, self.node = vip, node


class EngineRefused(EngineError):
    """The engine understood and said no."""


class EngineBusy(EngineRefused):
    """A script keeps the engine from doing anything else."""


class ReplicationLate(EngineError):
    """A replica was not in step with its master within the time given."""


class ProxyLate(EngineError):
    """A proxy did not serve within the time given."""


class FailoverFailed(EngineError):
    """No replica took over within the time given."""


class PortImpossible(EngineError):
    """A node of a cluster cannot be given this port."""

    def __init__(self, port: int, reason: str) -> None:
        super().__init__(f"port {port}: {reason}")
        self.port, self.reason = port, reason


class ClusterNotAgreed(EngineError):
    """The nodes of a cluster did not come to one view within the time given."""


class SlotsInDanger(EngineError):
    """What was asked for would take slots, or their only data, from under the cluster."""


class SlotMoveFailed(EngineError):
    """Slots stayed with their source; what was moved before stays moved."""


class CopyFailed(EngineError):
    """Not everything that was to be copied is there, and a second attempt would end the same."""


class SourceChanged(EngineError):
    """A node was restarted or replaced while it was copied."""


class FileUnreadable(EngineError):
    """No engine here loads the file: it is damaged, of another kind, or of a newer release."""


class LoadInterrupted(EngineError):
    """A node ended while it read its data, and did not say that the data is at fault."""

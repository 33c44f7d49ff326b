"""Questions and answers of the zone: packets in, packets out, no sockets.

Authoritative for one zone and for nothing else. Every packet that is a question gets an answer, whatever is wrong
with it; what is an answer itself gets none, so that two servers never talk each other to death.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import structlog

from cachestead.domain.instances import InstanceId
from cachestead.domain.names import NamedInstance, addresses_of, parse_name

log = structlog.get_logger()

Find = Callable[[InstanceId], Awaitable[NamedInstance | None]]

_HEADER = struct.Struct("!6H")
_PLAIN_DATAGRAM, _LARGEST_DATAGRAM = 512, 1232
_LARGEST_STREAM = 65535
_TRANSFERS = (dns.rdatatype.AXFR, dns.rdatatype.IXFR)


class Answers:
    """The zone as it answers."""

    def __init__(self, zone: str, ttl: int, server: IPv4Address | IPv6Address, find: Find) -> None:
        self._zone = dns.name.from_text(zone)
        self._zone_text = zone
        self._server_name = dns.name.Name(("ns", *self._zone.labels))
        self._server = [str(server)] if server.version == 4 and not server.is_unspecified else []
        self._ttl = ttl
        self._find = find

    async def answer_datagram(self, packet: bytes) -> bytes | None:
        """The answer to a packet that came by UDP, cut to what the client takes; None: say nothing."""
        return await self._answer(packet, datagram=True)

    async def answer_stream(self, packet: bytes) -> bytes | None:
        """The answer to a packet that came by TCP, of any length; None: say nothing."""
        return await self._answer(packet, datagram=False)

    async def _answer(self, packet: bytes, *, datagram: bool) -> bytes | None:
        if len(packet) < _HEADER.size or _flags(packet) & dns.flags.QR:
            return None
        if dns.opcode.from_flags(_flags(packet)) != dns.opcode.QUERY:
            return _bare_answer(packet, dns.rcode.NOTIMP)
        try:
            query = dns.message.from_wire(packet)
        except dns.exception.DNSException:
            return _bare_answer(packet, dns.rcode.FORMERR)
        answer = dns.message.make_response(query, our_payload=_LARGEST_DATAGRAM)
        answer.set_rcode(await self._fill(answer, query))
        limit = min(max(query.payload, _PLAIN_DATAGRAM), _LARGEST_DATAGRAM) if datagram else _LARGEST_STREAM
        return answer.to_wire(max_size=limit, prefer_truncation=True)

    async def _fill(self, answer: dns.message.Message, query: dns.message.Message) -> dns.rcode.Rcode:
        """Put what is known into the answer; says how it went."""
        if query.edns > 0:
            return dns.rcode.BADVERS
        if len(query.question) != 1:
            return dns.rcode.FORMERR
        [question] = query.question
        kind, in_zone = question.rdtype, question.name.is_subdomain(self._zone)
        if question.rdclass != dns.rdataclass.IN or not in_zone or kind in _TRANSFERS:
            return dns.rcode.REFUSED
        try:
            records = await self._records(question.name)
        except Exception as error:  # noqa: BLE001 - a trace for each question would be a flood of them
            log.warning("a name could not be looked up", name=str(question.name), reason=repr(error))
            return dns.rcode.SERVFAIL
        answer.flags |= dns.flags.AA
        answer.answer = [one for one in records or () if kind in (one.rdtype, dns.rdatatype.ANY)]
        if not answer.answer:
            answer.authority = [self._start_of_authority(self._zone)]
        return dns.rcode.NXDOMAIN if records is None else dns.rcode.NOERROR

    async def _records(self, name: dns.name.Name) -> list[dns.rrset.RRset] | None:
        """All records of a name of the zone; None if there is no such name."""
        if name == self._zone:
            servers = self._rrset(name, dns.rdatatype.NS, [self._server_name.to_text()])
            return [self._start_of_authority(name), servers]
        if name == self._server_name:
            return [self._rrset(name, dns.rdatatype.A, self._server)] if self._server else []
        parsed = parse_name(name.to_text(), self._zone_text)
        if parsed is None:
            return None
        instance_id, readonly = parsed
        instance = await self._find(instance_id)
        addresses = addresses_of(instance, readonly=readonly) if instance else ()
        return [self._rrset(name, dns.rdatatype.A, addresses)] if addresses else None

    def _start_of_authority(self, name: dns.name.Name) -> dns.rrset.RRset:
        # Nobody copies this zone, so its number and intervals say nothing; the last figure is how long an answer
        # of "no such name" may be believed.
        hostmaster = dns.name.Name(("hostmaster", *self._zone.labels))
        text = f"{self._server_name} {hostmaster} 1 3600 600 86400 {self._ttl}"
        return self._rrset(name, dns.rdatatype.SOA, [text])

    def _rrset(self, name: dns.name.Name, kind: dns.rdatatype.RdataType, values: Sequence[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text_list(name, self._ttl, dns.rdataclass.IN, kind, values)


def _flags(packet: bytes) -> int:
    return int(_HEADER.unpack_from(packet)[1])


def _bare_answer(packet: bytes, code: dns.rcode.Rcode) -> bytes:
    """An answer to what could not be read: its number and what is wrong."""
    number, flags, *_ = _HEADER.unpack_from(packet)
    kept = flags & (dns.flags.RD | 0x7800)
    return _HEADER.pack(number, dns.flags.QR | kept | code, 0, 0, 0, 0)

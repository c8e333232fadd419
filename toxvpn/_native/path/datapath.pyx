"""Moves IP packets between a TUN device and Tox, without Python per packet; path.h and its neighbours do the
work.

A TUN descriptor is on one side, a Carrier on the other. The selector (wakeups.pyx) calls serve() when the TUN
is readable; the carrier delivers inbound packets, and ends each batch with a flush. Python fills the tables,
calls read_tun() where no selector does, and reads the counters.
"""

import os

cimport cython
from libc.stdlib cimport calloc
from libc.string cimport memcpy

from .carrier cimport Backlog, Carrier
from ..wakeups cimport Early

from ...errors import ClosedError
from .packets import FRAME_BYTES as _FRAME_BYTES, Counters, DropReason, PacketFormat, Place, Sending

assert len(DropReason) == DROP_REASONS

assert _FRAME_BYTES == {PacketFormat.VPN: FRAME_VPN, PacketFormat.STACK: FRAME_STACK}

LARGEST_MTU = {packet_format: 1373 - frame for packet_format, frame in _FRAME_BYTES.items()}
SMALLEST_MTU = 576

cdef enum:
    BUDGET = 256  # packets at a time, then others get their turn


# -- one prefix of a table ------------------------------------------------------------------------

cdef _set(prefixes *table, network, uint32_t scope, uint32_t value):
    cdef bytes packed = network.network_address.packed
    if not prefixes_set(table, network.version, packed, network.prefixlen, scope, value):
        raise MemoryError


cdef bint _remove(prefixes *table, network, uint32_t scope) except -1:
    cdef bytes packed = network.network_address.packed
    return prefixes_remove(table, network.version, packed, network.prefixlen, scope)


cdef _get(prefixes *table, network, uint32_t scope):
    cdef bytes packed = network.network_address.packed
    cdef uint32_t value
    if prefixes_get(table, network.version, packed, network.prefixlen, scope, &value):
        return value
    return None


# -- rules ------------------------------------------------------------------------------------------

cdef policy_rule *policy_rules(list rules) except NULL:
    """From malloc(); not NULL where there are none."""
    cdef policy_rule *made = <policy_rule *>calloc(len(rules) + 1, sizeof(policy_rule))
    cdef bytes packed
    if made == NULL:
        raise MemoryError
    for index, (where, protocol, first_port, last_port) in enumerate(rules):
        made[index].protocol = ANY_PROTOCOL if protocol is None else protocol
        made[index].first_port = first_port
        made[index].last_port = last_port
        if isinstance(where, Place):
            made[index].here = where is Place.HERE
        else:
            packed = where.network_address.packed
            made[index].version = where.version
            made[index].length = where.prefixlen
            memcpy(made[index].address, <const uint8_t *>packed, len(packed))
    return made


# -- the carrier, as C sees it ---------------------------------------------------------------------

cdef int _send(void *carrier, uint32_t friend_number, const uint8_t *packet, size_t length) noexcept:
    return (<Carrier>carrier).send(friend_number, packet, length)


cdef void _flush(void *carrier) noexcept:
    (<Carrier>carrier).flush()


cdef bint _congested(void *carrier) noexcept:
    return (<Carrier>carrier).congested()


cdef void _refused(void *datapath) noexcept:
    on_refusal = (<Datapath>datapath).on_refusal
    if on_refusal is not None:
        on_refusal()


# -- the packet path -------------------------------------------------------------------------------

@cython.no_gc_clear
cdef class Datapath(Early):
    cdef c_path *_path
    cdef Carrier _carrier
    cdef Backlog _backlog
    cdef readonly object packet_format
    cdef public object on_refusal

    def __init__(
        self,
        Carrier carrier not None,
        int tun_fd,
        packet_format,
        *,
        int mtu,
        bint vnet_hdr,
        bint udp_offload=False,
        uint16_t carrier_port=0,
    ):
        if not SMALLEST_MTU <= mtu <= LARGEST_MTU[packet_format]:
            raise ValueError(
                f"an MTU of {mtu} is out of range: {SMALLEST_MTU} to {LARGEST_MTU[packet_format]}"
            )
        if self._path != NULL:
            raise ClosedError("this Datapath is in use already")
        cdef path_settings settings
        settings.tun = tun_fd
        settings.vnet_hdr = vnet_hdr
        settings.udp_offload = udp_offload
        settings.packet_id = packet_format
        settings.frame = FRAME_VPN if packet_format == PacketFormat.VPN else FRAME_STACK
        settings.mtu = mtu
        settings.carrier_port = carrier_port
        settings.carrier.context = <void *>carrier
        settings.carrier.send = _send
        settings.carrier.flush = _flush
        settings.carrier.congested = _congested
        settings.owner = <void *>self
        settings.refused = _refused
        self._backlog = carrier.backlog()
        settings.backlog = self._backlog.queue
        self._path = path_new(&settings)
        if self._path == NULL:
            raise MemoryError
        self._carrier = carrier
        self.packet_format = packet_format
        carrier.set_sink(packet_format, path_inbound, path_flush_inbound, self._path)

    def close(self):
        if self._path != NULL:
            self._carrier.set_sink(self.packet_format, NULL, NULL, NULL)
            path_free(self._path)
            self._path = NULL

    def __dealloc__(self):
        self.close()

    cdef c_path *_open(self) except NULL:
        if self._path == NULL:
            raise ClosedError("the packet path is closed")
        return self._path

    cdef friend_path *_friend(self, uint32_t friend_number) except NULL:
        cdef friend_path *friend = path_friend(self._open(), friend_number)
        if friend == NULL:
            raise ValueError(f"{friend_number} is not a friend number")
        return friend

    # -- packets --

    cdef bint serve(self) noexcept:
        cdef int error
        if self._path == NULL:
            return False
        path_read_tun(self._path, BUDGET, &error)
        return error == 0 and not self._carrier.wants_room()

    def read_tun(self, size_t budget=BUDGET):
        cdef int error
        cdef size_t handled = path_read_tun(self._open(), budget, &error)
        if error:
            raise OSError(error, f"the TUN device is gone: {os.strerror(error)}")
        return handled

    # -- tables --

    def set_route(self, network, uint32_t friend_number):
        self._friend(friend_number)
        _set(&self._path.routes, network, 0, friend_number)

    def remove_route(self, network):
        return _remove(&self._open().routes, network, 0)

    def allow_source(self, network, uint32_t friend_number):
        self._friend(friend_number)
        self._own_source(network, friend_number)

    def remove_source(self, network):
        return _remove(&self._open().sources, network, 0)

    def allow_destination(self, network, friend_number=None, *, bint allowed=True, bint outside=False):
        cdef uint32_t value = OUTSIDE if outside else ALLOWED if allowed else FORBIDDEN
        _set(&self._open().destinations, network, self._scope(friend_number), value)

    def remove_destination(self, network, friend_number=None):
        return _remove(&self._open().destinations, network, self._scope(friend_number))

    def add_own_address(self, network):
        self._own_source(network, OURSELVES)
        self.allow_destination(network)

    def remove_own_address(self, network):
        if _get(&self._open().sources, network, 0) != OURSELVES:
            return False
        self.remove_source(network)
        return self.remove_destination(network)

    # -- groups --

    def set_groups(self, addresses):
        cdef c_path *path = self._open()
        cdef list wanted = list(addresses)
        cdef bytes packed
        if len(wanted) > MAX_GROUPS:
            raise ValueError(f"{len(wanted)} groups are more than {MAX_GROUPS}")
        for index, address in enumerate(wanted):
            packed = address.packed
            path.groups.list[index].version = address.version
            memcpy(path.groups.list[index].address, <const uint8_t *>packed, len(packed))
        path.groups.many = len(wanted)
        for number in range(path.many_friends):
            path.friends[number].groups = 0

    def join_groups(self, uint32_t friend_number, addresses):
        cdef friend_path *friend = self._friend(friend_number)
        cdef c_groups *groups = &self._path.groups
        cdef uint32_t mask = 0
        wanted = {(address.version, address.packed) for address in addresses}
        for index in range(groups.many):
            version = groups.list[index].version
            length = 4 if version == 4 else 16
            if (version, groups.list[index].address[:length]) in wanted:
                mask |= <uint32_t>1 << index
        friend.groups = mask

    cdef _own_source(self, network, uint32_t owner):
        present = _get(&self._open().sources, network, 0)
        if present is not None and present != owner:
            whose = "this machine" if present == OURSELVES else f"friend {present}"
            raise ValueError(f"{network} belongs to {whose}")
        _set(&self._path.sources, network, 0, owner)

    cdef uint32_t _scope(self, friend_number) except? 0:
        if friend_number is None:
            return EVERYBODY
        self._friend(friend_number)
        return friend_number

    # -- friends --

    def set_online(self, uint32_t friend_number, bint online):
        self._friend(friend_number)
        path_set_online(self._path, friend_number, online)

    def heard(self, uint32_t friend_number):
        self._friend(friend_number)
        path_heard(self._path, friend_number)

    def renumber(self, uint32_t friend_number, uint32_t new_number):
        self._friend(friend_number)
        self._friend(new_number)
        path_renumber(self._path, friend_number, new_number)

    def set_mtu(self, uint32_t friend_number, int mtu):
        self._friend(friend_number).mtu = min(max(mtu, SMALLEST_MTU), LARGEST_MTU[self.packet_format])

    def set_bundles(self, uint32_t friend_number, bint bundles):
        self._friend(friend_number).bundles = bundles

    def set_policy(self, uint32_t friend_number, rules):
        cdef policy_rule *made = NULL
        cdef list wanted
        self._friend(friend_number)
        wanted = [] if rules is None else list(rules)
        if rules is not None:
            made = policy_rules(wanted)
        if not path_set_policy(self._path, friend_number, made, len(wanted)):
            raise MemoryError

    def sending_to(self, uint32_t friend_number, destination):
        cdef c_path *path = self._open()
        cdef bytes packed = destination.packed
        cdef uint32_t may = FORBIDDEN
        prefixes_lookup(&path.destinations, destination.version, packed, EVERYBODY, &may)
        if may == FORBIDDEN:
            prefixes_lookup(&path.destinations, destination.version, packed, friend_number, &may)
        if may == OUTSIDE:
            return Sending.OUTSIDE
        return Sending.FORBIDDEN if may == FORBIDDEN else Sending.ALLOWED

    def judge(self, uint32_t friend_number, destination, uint8_t protocol, uint16_t port=0):
        cdef friend_path *friend = self._friend(friend_number)
        cdef bytes packed = destination.packed
        if friend.policy == NULL:
            raise ValueError(f"nothing limits friend {friend_number}")
        cdef int index = policy_judge(friend.policy, destination.version, packed, protocol, port)
        return None if index < 0 else index

    def remove_friend(self, uint32_t friend_number):
        path_remove_friend(self._open(), friend_number)

    def counters(self, uint32_t friend_number):
        cdef friend_path *friend = self._friend(friend_number)
        return Counters(
            friend.rx_packets, friend.rx_bytes, friend.tx_packets, friend.tx_bytes, _drops(friend.drops)
        )

    @property
    def drops(self):
        return _drops(self._open().drops)

    @property
    def refused(self):
        cdef c_path *path = self._open()
        cdef bint vnet_hdr = path.settings.vnet_hdr
        wanted = {"TCP": vnet_hdr, "UDP": vnet_hdr and path.settings.udp_offload}
        merged = {"TCP": path.coalescer.tcp, "UDP": path.coalescer.udp}
        return tuple(kind for kind in wanted if wanted[kind] and not merged[kind])


cdef dict _drops(uint64_t *counts):
    return {reason: counts[index] for index, reason in enumerate(DropReason)}

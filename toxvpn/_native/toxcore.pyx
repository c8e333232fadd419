"""The libtoxcore binding: one Tox handle, its calls, its callbacks.

Callbacks cannot raise into C: the first exception of an iteration is kept, and raised when tox_iterate has
returned. Every call runs between begin() and end(), so that libtoxcore's sockets, clock and datagrams are
those of this handle (netio). Like toxcore, a handle is not thread-safe.

The steps of an inbound packet: iterate() calls tox_iterate, which receives through the hooks (net/hooks.c)
and calls _on_lossy(); that hands the packet to the datapath registered for its ID (path/inbound.c), or to the
handler. Those of an outbound one: a datapath calls send_lossy_raw() for each packet of a batch, then
flush_lossy().
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from .net cimport netio
from .capi cimport *
from .path.carrier cimport Backlog
from .net.netio cimport netio_owner

from ..errors import ClosedError, UsageError
from .net import netio as _netio
from .flaws import flaw_of_libtoxcore
from .options import Options
from .results import Connection, SendResult, error as _error

_ROLL_CALL = bytes([254]) + bytes(199)  # a lossy packet; shorter ones libtoxcore sends by UDP too

cdef extern from "<string.h>" nogil:
    void explicit_bzero(void *memory, size_t length)

cdef extern from "<dlfcn.h>" nogil:
    ctypedef struct Dl_info:
        const char *dli_fname
    int dladdr(const void *address, Dl_info *out)

cdef extern from *:
    """
    /* the names of the flaws that a patch fixed; only a patched library has it, NULL otherwise */
    extern const char tox_patched_flaws[] __attribute__((weak));
    """
    const char *tox_patched_flaws

cdef extern from "detour.h" nogil:
    enum:
        DETOUR_PACKET_ID

cdef enum:
    FIRST_LOSSY = 192
    MOST_CUSTOM = 1373  # bytes, TOX_MAX_CUSTOM_PACKET_SIZE
    DETOUR_BATCH = 64   # packets of a batch between looks for what takes a detour
    SHORTEST_NAP_S = 5  # turns are a quarter of a second apart at most, and no machine is that busy


def version() -> str:
    """The loaded library's version, e.g. `0.2.18` (tox_version_major and so on)."""
    return f"{tox_version_major()}.{tox_version_minor()}.{tox_version_patch()}"


def file() -> str:
    """The file of the loaded library."""
    cdef Dl_info found
    return found.dli_fname.decode(errors="surrogateescape") if dladdr(<void *>&tox_version_major, &found) else ""


PATCHED = tox_patched_flaws.decode() if tox_patched_flaws != NULL else None
_version = tox_version_major(), tox_version_minor(), tox_version_patch()
FLAW = flaw_of_libtoxcore(_version, PATCHED)
# the address of a function of libtoxcore, so that netio patches that very library; the shield also stands
# before one that a patch fixed
_netio.install(<uintptr_t><void *>&tox_version_major, flaw_of_libtoxcore(_version) is not None)

cdef dict _NEW_CODES = {
    TOX_ERR_NEW_MALLOC: "NEW_MALLOC",
    TOX_ERR_NEW_PORT_ALLOC: "NEW_PORT_ALLOC",
    TOX_ERR_NEW_PROXY_BAD_TYPE: "NEW_PROXY_BAD_TYPE",
    TOX_ERR_NEW_PROXY_BAD_HOST: "NEW_PROXY_BAD_HOST",
    TOX_ERR_NEW_PROXY_BAD_PORT: "NEW_PROXY_BAD_PORT",
    TOX_ERR_NEW_PROXY_NOT_FOUND: "NEW_PROXY_NOT_FOUND",
    TOX_ERR_NEW_LOAD_ENCRYPTED: "NEW_LOAD_ENCRYPTED",
    TOX_ERR_NEW_LOAD_BAD_FORMAT: "NEW_LOAD_BAD_FORMAT",
}
cdef dict _BOOTSTRAP_CODES = {
    TOX_ERR_BOOTSTRAP_BAD_HOST: "BOOTSTRAP_BAD_HOST",
    TOX_ERR_BOOTSTRAP_BAD_PORT: "BOOTSTRAP_BAD_PORT",
}
cdef dict _ADD_CODES = {
    TOX_ERR_FRIEND_ADD_TOO_LONG: "FRIEND_ADD_TOO_LONG",
    TOX_ERR_FRIEND_ADD_NO_MESSAGE: "FRIEND_ADD_NO_MESSAGE",
    TOX_ERR_FRIEND_ADD_OWN_KEY: "FRIEND_ADD_OWN_KEY",
    TOX_ERR_FRIEND_ADD_ALREADY_SENT: "FRIEND_ADD_ALREADY_SENT",
    TOX_ERR_FRIEND_ADD_BAD_CHECKSUM: "FRIEND_ADD_BAD_CHECKSUM",
    TOX_ERR_FRIEND_ADD_SET_NEW_NOSPAM: "FRIEND_ADD_SET_NEW_NOSPAM",
    TOX_ERR_FRIEND_ADD_MALLOC: "FRIEND_ADD_MALLOC",
}
cdef int SENT = SendResult.SENT
cdef int OFFLINE = SendResult.OFFLINE
cdef int QUEUE_FULL = SendResult.QUEUE_FULL
cdef int NOT_FOUND = SendResult.NOT_FOUND
cdef int INVALID = SendResult.INVALID


cdef int _send_result(bint sent, int code) noexcept:
    if sent:
        return SENT
    if code == TOX_ERR_FRIEND_CUSTOM_PACKET_SENDQ:
        return QUEUE_FULL
    if code == TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_CONNECTED:
        return OFFLINE
    if code == TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_FOUND:
        return NOT_FOUND
    return INVALID


cdef class Tox:
    def __cinit__(self):
        memset(self._lossy_sinks, 0, sizeof(self._lossy_sinks))
        memset(self._lossy_flushes, 0, sizeof(self._lossy_flushes))
        memset(self._lossy_contexts, 0, sizeof(self._lossy_contexts))
        memset(self._accepted, 0, sizeof(self._accepted))
        self.backlog = Backlog()

    def __init__(self, options, savedata=None, handler=None):
        self.handler = handler
        self._log = options.log
        self._owner = netio.owner_new()
        cdef CToxOptions *c_options = tox_options_new(NULL)
        if self._owner == NULL or c_options == NULL:
            tox_options_free(c_options)
            raise MemoryError
        netio.set_segmentation(self._owner, options.udp_segmentation)
        netio.set_mark(self._owner, options.mark)
        try:
            self._create(c_options, options, savedata)
        finally:
            tox_options_free(c_options)
        self._set_callbacks()
        netio.on_flush_inbound(self._owner, _on_flush_inbound, <void *>self)

    cdef _create(self, CToxOptions *c_options, options, savedata):
        cdef Tox_Err_New code = <Tox_Err_New>0
        cdef bytes kept_save = savedata
        cdef bytes proxy_host = options.proxy_host.encode() if options.proxy_host else None
        tox_options_set_ipv6_enabled(c_options, options.ipv6)
        tox_options_set_udp_enabled(c_options, options.udp)
        tox_options_set_local_discovery_enabled(c_options, options.local_discovery)
        tox_options_set_start_port(c_options, options.udp_ports[0])
        tox_options_set_end_port(c_options, options.udp_ports[1])
        tox_options_set_tcp_port(c_options, options.tcp_port)
        if proxy_host is not None:
            tox_options_set_proxy_type(
                c_options,
                TOX_PROXY_TYPE_HTTP if options.proxy_type == "http" else TOX_PROXY_TYPE_SOCKS5)
            tox_options_set_proxy_host(c_options, proxy_host)
            tox_options_set_proxy_port(c_options, options.proxy_port)
        if kept_save is not None:
            tox_options_set_savedata_type(c_options, TOX_SAVEDATA_TYPE_TOX_SAVE)
            tox_options_set_savedata_data(c_options, kept_save, len(kept_save))
            tox_options_set_savedata_length(c_options, len(kept_save))
        if self._log is not None:
            tox_options_set_log_callback(c_options, <void *>_on_log)
            tox_options_set_log_user_data(c_options, <void *>self)
        self.begin()
        netio.begin_keys()
        self._tox = tox_new(c_options, &code)
        self._made_keys = netio.end_keys()
        if self._tox != NULL and code != TOX_ERR_NEW_OK:  # a half-loaded savedata
            tox_kill(self._tox)
            self._tox = NULL
        self.end()
        if self._tox == NULL:
            raise _error(_NEW_CODES.get(code, f"NEW_{code}"))

    cdef _set_callbacks(self):
        tox_callback_self_connection_status(self._tox, <void *>_on_self_connection)
        tox_callback_friend_request(self._tox, <void *>_on_friend_request)
        tox_callback_friend_name(self._tox, <void *>_on_friend_name)
        tox_callback_friend_status_message(self._tox, <void *>_on_friend_status_message)
        tox_callback_friend_connection_status(self._tox, <void *>_on_friend_connection)
        tox_callback_friend_lossy_packet(self._tox, <void *>_on_lossy)
        tox_callback_friend_lossless_packet(self._tox, <void *>_on_lossless)

    # -- the owner that netio works for --------------------------------------------------------

    cdef void begin(self) noexcept:
        if self._depth == 0:
            self._previous = netio.enter(self._owner)
        self._depth += 1

    cdef void end(self) noexcept:
        if self._depth == 1:
            self.send_detours()
        self._depth -= 1
        if self._depth == 0:
            netio.leave(self._owner, self._previous)

    cdef int alive(self) except -1:
        if self._tox == NULL:
            raise ClosedError("the Tox handle is closed")
        return 0

    def cork(self):
        """Gather what the following calls send, until `uncork`; pairs nest."""
        self.alive()
        self.begin()

    def uncork(self):
        self.end()

    def flush(self):
        self.alive()
        self.begin()
        self.flush_inbound()
        self.end()

    @property
    def congested(self):
        return netio.congested(self._owner)

    @property
    def wants_room(self):
        return self.is_wanting_room()

    @property
    def streams_held(self):
        return netio.streams_held(self._owner)

    @property
    def receive_pending(self):
        return netio.receive_pending(self._owner)

    @property
    def quiet(self):
        return not (self._handler_called or self.is_wanting_room() or self.receive_pending or self.streams_held
                    or netio.sighted(self._owner) or self._sockets_seen != self.sockets_version)

    def set_clock_rate(self, double rate):
        self.alive()
        netio.set_clock_rate(self._owner, rate)

    def step_clock(self, double step_s):
        self.alive()
        netio.step_clock(self._owner, step_s)
        return _netio.hooks().clock.in_force

    def jump_clock(self, double jump_s):
        self.alive()
        netio.jump_clock(self._owner, jump_s)

    @property
    def source(self):
        return netio.source(self._owner)

    def watch_key(self, bytes dht_key):
        _sized(dht_key, TOX_PUBLIC_KEY_SIZE)
        return netio.watch_key(self._owner, dht_key)

    def forget_key(self, bytes dht_key):
        _sized(dht_key, TOX_PUBLIC_KEY_SIZE)
        netio.forget_key(self._owner, dht_key)

    def sightings(self):
        return netio.take_sightings(self._owner)

    # -- detours -------------------------------------------------------------------------------

    def set_detour(self, unsigned slot, uint32_t via, uint8_t index, bytes dht_key):
        self.alive()
        _sized(dht_key, TOX_PUBLIC_KEY_SIZE)
        return netio.set_detour(self._owner, slot, via, index, dht_key)

    def clear_detour(self, unsigned slot):
        netio.clear_detour(self._owner, slot)

    def open_detour(self, unsigned slot, double open_s):
        return netio.open_detour(self._owner, slot, open_s)

    def straighten_detour(self, unsigned slot, str host, uint16_t port, double straight_s):
        cdef bytes c_host = host.encode()
        return netio.straighten_detour(self._owner, slot, c_host, port, straight_s)

    def detour_traffic(self, unsigned slot):
        return netio.detour_traffic(self._owner, slot)

    def relay_for(self, dict members):
        return netio.relay_for(self._owner, members)

    # -- doors ---------------------------------------------------------------------------------

    def overheard(self):
        return netio.take_overheard(self._owner)

    def open_door(self, int fd, str host, int port):
        return netio.open_door(self._owner, fd, host.encode(), port)

    def close_door(self, int fd):
        netio.close_door(self._owner, fd)

    @property
    def answers(self):
        return netio.answers(self._owner)

    def know_twin(self, str ipv4, str ipv6):
        return netio.know_twin(self._owner, ipv4.encode(), ipv6.encode())

    def set_nat64(self, str prefix):
        return netio.set_nat64(self._owner, prefix.encode())

    def rank_relays(self, dict quick):
        if _netio.hooks().quick.in_force:
            for fd, is_quick in quick.items():
                netio.rank_relay(self._owner, fd, is_quick)

    def call_relays(self, uint32_t number):
        if not _netio.hooks().quick.in_force:
            return False
        self.begin()
        netio.begin_call(self._owner)
        try:
            self.send_lossy(number, _ROLL_CALL)
        finally:
            has_quick = netio.end_call(self._owner)
            self.end()
        return has_quick

    def announce_again(self):
        return netio.announce_again(self._owner)

    @property
    def sockets_version(self):
        return netio.sockets_version(self._owner)

    def sockets(self):
        self._sockets_seen = netio.sockets_version(self._owner)
        return netio.sockets(self._owner)

    # -- closing and turns ---------------------------------------------------------------------

    def close(self):
        """Leave the network and free the handle (tox_kill); in a callback: once that returns. Idempotent."""
        if self._iterating:
            self._close_asked = True
            return
        self._kill()

    cdef _kill(self):
        if self._gathering:
            self.flush_lossy()
        if self._tox != NULL:
            self.begin()
            tox_kill(self._tox)
            self._tox = NULL
            self.end()

    def __dealloc__(self):
        cdef netio_owner *previous
        if self._tox != NULL:
            previous = netio.enter(self._owner)
            tox_kill(self._tox)
            netio.leave(self._owner, previous)
        if self._owner != NULL:
            netio.owner_free(self._owner)

    def iterate(self):
        self.alive()
        if self._iterating:
            raise ClosedError("iterate() was called from inside a callback")
        self._handler_called = False
        self._notice_nap()
        self.alive()
        self._iterating = True
        self.begin()
        # The GIL is kept: callbacks and sinks would have to take it again for each packet. Only threads that
        # resolve names wait for it, at most the 2 ms that netio lets a turn receive.
        tox_iterate(self._tox, <void *>self)
        self.flush_inbound()  # also what arrived through a relay
        self.end()
        self._iterating = False
        if self._close_asked:
            self._kill()
        if self._first_error is not None:
            failure, self._first_error = self._first_error, None
            raise failure

    cdef _notice_nap(self):
        """Before toxcore sees how much time has passed, and what came in meanwhile."""
        cdef double passed_s = netio.passed_s(self._owner)
        if passed_s < SHORTEST_NAP_S or self.handler is None:
            return
        self._handler_called = True
        try:
            self.handler.on_nap(passed_s)
        except BaseException as failure:
            self.keep(failure)

    def iteration_interval_ms(self):
        self.alive()
        return tox_iteration_interval(self._tox)

    cdef keep(self, failure):
        if self._first_error is None:
            self._first_error = failure

    # -- ourselves -----------------------------------------------------------------------------

    def savedata(self):
        self.alive()
        cdef size_t size = tox_get_savedata_size(self._tox)
        cdef uint8_t *buffer = <uint8_t *>malloc(size)
        if buffer == NULL:
            raise MemoryError
        try:
            tox_get_savedata(self._tox, buffer)
            return buffer[:size]
        finally:
            explicit_bzero(buffer, size)  # compilers leave out a memset before free
            free(buffer)

    @property
    def address(self):
        cdef uint8_t buffer[TOX_ADDRESS_SIZE]
        self.alive()
        tox_self_get_address(self._tox, buffer)
        return buffer[:TOX_ADDRESS_SIZE]

    @property
    def public_key(self):
        cdef uint8_t buffer[TOX_PUBLIC_KEY_SIZE]
        self.alive()
        tox_self_get_public_key(self._tox, buffer)
        return buffer[:TOX_PUBLIC_KEY_SIZE]

    @property
    def dht_id(self):
        cdef uint8_t buffer[TOX_PUBLIC_KEY_SIZE]
        self.alive()
        tox_self_get_dht_id(self._tox, buffer)
        return buffer[:TOX_PUBLIC_KEY_SIZE]

    def introductions(self, bytes public_key, bytes content):
        cdef uint8_t secret[TOX_PUBLIC_KEY_SIZE]
        self.alive()
        _sized(public_key, TOX_PUBLIC_KEY_SIZE)
        tox_self_get_secret_key(self._tox, secret)
        try:
            # which of these keys is the one for the onion, no function tells; what another cannot open is dropped
            made = [netio.introduction(key, secret, public_key, content) for key in self._made_keys]
        finally:
            explicit_bzero(secret, sizeof(secret))
        return [datagram for datagram in made if datagram]

    @property
    def nospam(self):
        self.alive()
        return tox_self_get_nospam(self._tox)

    @nospam.setter
    def nospam(self, uint32_t value):
        self.alive()
        tox_self_set_nospam(self._tox, value)

    @property
    def udp_port(self):
        self.alive()
        return tox_self_get_udp_port(self._tox, NULL)

    @property
    def tcp_port(self):
        self.alive()
        return tox_self_get_tcp_port(self._tox, NULL)

    @property
    def connection(self):
        self.alive()
        return Connection(tox_self_get_connection_status(self._tox))

    @property
    def name(self):
        self.alive()
        cdef size_t size = tox_self_get_name_size(self._tox)
        cdef bytearray buffer = bytearray(size)
        if size:
            tox_self_get_name(self._tox, buffer)
        return bytes(buffer)

    @name.setter
    def name(self, bytes value):
        self.alive()
        self.begin()
        cdef bint done = tox_self_set_name(self._tox, value, len(value), NULL)
        self.end()
        if not done:
            raise _error("SET_INFO_TOO_LONG")

    @property
    def status_message(self):
        self.alive()
        cdef size_t size = tox_self_get_status_message_size(self._tox)
        cdef bytearray buffer = bytearray(size)
        if size:
            tox_self_get_status_message(self._tox, buffer)
        return bytes(buffer)

    @status_message.setter
    def status_message(self, bytes value):
        self.alive()
        self.begin()
        cdef bint done = tox_self_set_status_message(self._tox, value, len(value), NULL)
        self.end()
        if not done:
            raise _error("SET_INFO_TOO_LONG")

    # -- the network ---------------------------------------------------------------------------

    def bootstrap(self, str host, uint16_t port, bytes public_key):
        self._reach(host, port, public_key, False)

    def add_tcp_relay(self, str host, uint16_t port, bytes public_key):
        self._reach(host, port, public_key, True)

    cdef _reach(self, str host, uint16_t port, bytes public_key, bint relay):
        cdef Tox_Err_Bootstrap code = <Tox_Err_Bootstrap>0
        cdef bytes c_host = host.encode()
        self.alive()
        _sized(public_key, TOX_PUBLIC_KEY_SIZE)
        self.begin()
        if relay:
            tox_add_tcp_relay(self._tox, c_host, port, public_key, &code)
        else:
            tox_bootstrap(self._tox, c_host, port, public_key, &code)
        self.end()
        if code != TOX_ERR_BOOTSTRAP_OK:
            raise _error(_BOOTSTRAP_CODES.get(code, f"BOOTSTRAP_{code}"))

    # -- friends -------------------------------------------------------------------------------

    def friend_add(self, bytes address, bytes message):
        cdef Tox_Err_Friend_Add code = <Tox_Err_Friend_Add>0
        self.alive()
        _sized(address, TOX_ADDRESS_SIZE)
        self.begin()
        cdef uint32_t number = tox_friend_add(self._tox, address, message, len(message), &code)
        self.end()
        if code != TOX_ERR_FRIEND_ADD_OK:
            raise _error(_ADD_CODES.get(code, f"FRIEND_ADD_{code}"))
        return number

    def friend_add_norequest(self, bytes public_key):
        cdef Tox_Err_Friend_Add code = <Tox_Err_Friend_Add>0
        self.alive()
        _sized(public_key, TOX_PUBLIC_KEY_SIZE)
        self.begin()
        cdef uint32_t number = tox_friend_add_norequest(self._tox, public_key, &code)
        self.end()
        if code != TOX_ERR_FRIEND_ADD_OK:
            raise _error(_ADD_CODES.get(code, f"FRIEND_ADD_{code}"))
        return number

    def friend_delete(self, uint32_t number):
        self.alive()
        self.begin()
        cdef bint done = tox_friend_delete(self._tox, number, NULL)
        self.end()
        return done

    def friend_list(self):
        self.alive()
        cdef size_t count = tox_self_get_friend_list_size(self._tox)
        if count == 0:
            return []
        cdef uint32_t *numbers = <uint32_t *>malloc(count * sizeof(uint32_t))
        if numbers == NULL:
            raise MemoryError
        try:
            tox_self_get_friend_list(self._tox, numbers)
            return [numbers[i] for i in range(count)]
        finally:
            free(numbers)

    def friend_by_public_key(self, bytes public_key):
        cdef Tox_Err_Friend_By_Public_Key code = <Tox_Err_Friend_By_Public_Key>0
        self.alive()
        _sized(public_key, TOX_PUBLIC_KEY_SIZE)
        cdef uint32_t number = tox_friend_by_public_key(self._tox, public_key, &code)
        return None if code else number

    def friend_public_key(self, uint32_t number):
        cdef uint8_t buffer[TOX_PUBLIC_KEY_SIZE]
        self.alive()
        if not tox_friend_get_public_key(self._tox, number, buffer, NULL):
            return None
        return buffer[:TOX_PUBLIC_KEY_SIZE]

    def friend_connection(self, uint32_t number):
        cdef Tox_Err_Friend_Query code = <Tox_Err_Friend_Query>0
        self.alive()
        cdef int connection = tox_friend_get_connection_status(self._tox, number, &code)
        return Connection.NONE if code else Connection(connection)

    # -- custom packets ------------------------------------------------------------------------

    def accept_packets(self, uint8_t packet_id):
        self._accepted[packet_id] = True

    cdef bint _is_accepted(self, const uint8_t *data, size_t length) noexcept:
        if length and self._accepted[data[0]]:
            self._handler_called = True
            return True
        self.unaccepted_packets += 1
        return False

    def send_lossless(self, uint32_t number, const uint8_t[::1] data):
        cdef Tox_Err_Friend_Custom_Packet code = <Tox_Err_Friend_Custom_Packet>0
        self.alive()
        if data.shape[0] == 0:
            return SendResult.INVALID
        self.begin()
        cdef bint sent = tox_friend_send_lossless_packet(self._tox, number, &data[0], data.shape[0], &code)
        self.end()
        return SendResult(_send_result(sent, code))

    def send_lossy(self, uint32_t number, const uint8_t[::1] data):
        cdef Tox_Err_Friend_Custom_Packet code = <Tox_Err_Friend_Custom_Packet>0
        self.alive()
        if data.shape[0] == 0:
            return SendResult.INVALID
        self.begin()
        cdef bint sent = tox_friend_send_lossy_packet(self._tox, number, &data[0], data.shape[0], &code)
        self.end()
        return SendResult(_send_result(sent, code))

    def send_lossy_unfragmented(self, uint32_t number, const uint8_t[::1] data):
        cdef bint had_room = True
        self.begin()
        try:
            if not netio.allow_fragments(self._owner, False):
                return SendResult.QUEUE_FULL
            result = self.send_lossy(number, data)
            self.send_detours()
        finally:
            had_room = netio.allow_fragments(self._owner, True)
            self.end()
        return result if had_room else SendResult.QUEUE_FULL

    cdef int send_lossy_raw(self, uint32_t friend_number, const uint8_t *data, size_t length) noexcept:
        cdef Tox_Err_Friend_Custom_Packet code = <Tox_Err_Friend_Custom_Packet>0
        if self._tox == NULL:
            return OFFLINE
        if not self._gathering:
            self._gathering = True
            self.begin()
        cdef bint sent = tox_friend_send_lossy_packet(self._tox, friend_number, data, length, &code)
        self._since_detours += 1
        if self._since_detours >= DETOUR_BATCH:
            self.send_detours()
        return _send_result(sent, code)

    cdef void send_detours(self) noexcept:
        """What libtoxcore has sent into detours goes to the friends. Never from within a call of libtoxcore's."""
        cdef uint8_t packet[MOST_CUSTOM]
        cdef uint32_t via = 0
        cdef size_t length
        self._since_detours = 0
        if self._tox == NULL or not netio.detour_waits(self._owner):
            return
        netio.close_detours(self._owner, True)
        while True:
            length = netio.next_for_friend(self._owner, &via, packet)
            if length == 0:
                break
            tox_friend_send_lossy_packet(self._tox, via, packet, length, NULL)
        netio.close_detours(self._owner, False)

    cdef void relay(self, uint32_t number, const uint8_t *packet, size_t length) noexcept:
        """Passes a packet on from one friend to another."""
        cdef uint8_t onward[MOST_CUSTOM]
        cdef uint32_t to = 0
        if not netio.relayed(self._owner, number, packet, length, &to, onward):
            return
        cdef bint uncut = netio.is_whole(packet) and netio.allow_fragments(self._owner, False)
        netio.close_detours(self._owner, True)
        tox_friend_send_lossy_packet(self._tox, to, onward, length, NULL)
        netio.close_detours(self._owner, False)
        if uncut:
            netio.allow_fragments(self._owner, True)

    cdef void flush_lossy(self) noexcept:
        if self._gathering:
            self._gathering = False
            self.end()

    cdef void flush_inbound(self) noexcept:
        cdef int packet_id
        self.send_detours()
        netio.flush(self._owner)  # first, as that may make room for what the sinks send
        for packet_id in range(FIRST_LOSSY, 256):
            if self._lossy_flushes[packet_id] != NULL:
                self._lossy_flushes[packet_id](self._lossy_contexts[packet_id])
        self.send_detours()
        netio.flush(self._owner)

    cdef bint is_congested(self) noexcept:
        return netio.congested(self._owner)

    cdef bint is_wanting_room(self) noexcept:
        return not self.room_asked and (netio.congested(self._owner) or self.backlog.waits())

    cdef void set_lossy_sink(self, uint8_t packet_id, lossy_sink sink, lossy_flush flush, void *context) noexcept:
        self._lossy_sinks[packet_id] = sink
        self._lossy_flushes[packet_id] = flush
        self._lossy_contexts[packet_id] = context


cdef void _on_flush_inbound(void *tox) noexcept:
    (<Tox>tox).flush_inbound()


cdef _sized(bytes value, size_t size):
    if len(value) != size:
        raise UsageError(f"expected {size} bytes, got {len(value)}")


# -- callbacks: called from C, so nothing may be raised -----------------------------------------

cdef void _on_log(CTox *tox, int level, const char *file, uint32_t line, const char *function,
                  const char *message, void *context) noexcept:
    cdef Tox self = <Tox>context
    try:
        self._log(level, f"{file.decode(errors='replace')}:{line}", message.decode(errors="replace"))
    except BaseException as failure:
        self.keep(failure)


cdef void _on_self_connection(CTox *tox, int connection, void *context) noexcept:
    cdef Tox self = <Tox>context
    self._handler_called = True
    try:
        self.handler.on_self_connection(Connection(connection))
    except BaseException as failure:
        self.keep(failure)


cdef void _on_friend_request(CTox *tox, const uint8_t *public_key, const uint8_t *message, size_t length,
                             void *context) noexcept:
    cdef Tox self = <Tox>context
    self._handler_called = True
    try:
        self.handler.on_friend_request(public_key[:TOX_PUBLIC_KEY_SIZE], message[:length])
    except BaseException as failure:
        self.keep(failure)


cdef void _on_friend_name(CTox *tox, uint32_t number, const uint8_t *name, size_t length,
                          void *context) noexcept:
    cdef Tox self = <Tox>context
    self._handler_called = True
    try:
        self.handler.on_friend_name(number, name[:length])
    except BaseException as failure:
        self.keep(failure)


cdef void _on_friend_status_message(CTox *tox, uint32_t number, const uint8_t *text, size_t length,
                                    void *context) noexcept:
    cdef Tox self = <Tox>context
    self._handler_called = True
    try:
        self.handler.on_friend_status_message(number, text[:length])
    except BaseException as failure:
        self.keep(failure)


cdef void _on_friend_connection(CTox *tox, uint32_t number, int connection, void *context) noexcept:
    cdef Tox self = <Tox>context
    self._handler_called = True
    try:
        self.handler.on_friend_connection(number, Connection(connection))
    except BaseException as failure:
        self.keep(failure)


cdef void _on_lossy(CTox *tox, uint32_t number, const uint8_t *data, size_t length, void *context) noexcept:
    cdef Tox self = <Tox>context
    if length and data[0] == DETOUR_PACKET_ID:
        if not netio.take_onward(self._owner, number, data, length):
            self.relay(number, data, length)
        return
    if length and self._lossy_sinks[data[0]] != NULL:
        self._lossy_sinks[data[0]](self._lossy_contexts[data[0]], number, data, length)
        return
    if not self._is_accepted(data, length):
        return
    try:
        self.handler.on_lossy(number, data[:length])
    except BaseException as failure:
        self.keep(failure)


cdef void _on_lossless(CTox *tox, uint32_t number, const uint8_t *data, size_t length, void *context) noexcept:
    cdef Tox self = <Tox>context
    if not self._is_accepted(data, length):
        return
    try:
        self.handler.on_lossless(number, data[:length])
    except BaseException as failure:
        self.keep(failure)

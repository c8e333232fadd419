"""The C side of the packet path, for datapath.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from .carrier cimport c_backlog


cdef extern from "prefixes.h" nogil:
    cdef struct prefixes:
        size_t many
    bint prefixes_set(prefixes *, uint8_t, const uint8_t *, uint8_t, uint32_t, uint32_t)
    bint prefixes_remove(prefixes *, uint8_t, const uint8_t *, uint8_t, uint32_t)
    bint prefixes_get(const prefixes *, uint8_t, const uint8_t *, uint8_t, uint32_t, uint32_t *)
    bint prefixes_lookup(const prefixes *, uint8_t, const uint8_t *, uint32_t, uint32_t *)
    void prefixes_free(prefixes *)

cdef extern from "policy.h" nogil:
    enum:
        ANY_PROTOCOL
    cdef struct policy_rule:
        bint here
        uint8_t version
        uint8_t length
        uint8_t address[16]
        uint16_t protocol
        uint16_t first_port
        uint16_t last_port
    cdef struct c_policy "policy":
        pass
    int policy_judge(const c_policy *, uint8_t, const uint8_t *, uint8_t, uint16_t)

cdef extern from "groups.h" nogil:
    enum:
        MAX_GROUPS
    cdef struct group:
        uint8_t version
        uint8_t address[16]
    cdef struct c_groups "groups":
        group list[MAX_GROUPS]
        uint32_t many

cdef extern from "path.h" nogil:
    enum:
        DROP_REASONS
        FRAME_VPN
        FRAME_STACK
    const uint32_t OURSELVES
    const uint32_t EVERYBODY
    enum:
        ALLOWED
        FORBIDDEN
        OUTSIDE
    cdef struct c_carrier "carrier":
        void *context
        int (*send)(void *, uint32_t, const uint8_t *, size_t) noexcept
        void (*flush)(void *) noexcept
        bint (*congested)(void *) noexcept
    cdef struct friend_path:
        bint online
        bint bundles
        uint16_t mtu
        uint64_t rx_packets
        uint64_t rx_bytes
        uint64_t tx_packets
        uint64_t tx_bytes
        uint64_t drops[DROP_REASONS]
        c_policy *policy
        uint32_t groups
    cdef struct path_settings:
        int tun
        bint vnet_hdr
        bint udp_offload
        uint8_t packet_id
        size_t frame
        uint16_t mtu
        uint16_t carrier_port
        c_carrier carrier
        c_backlog *backlog
        void *owner
        void (*refused)(void *) noexcept
    cdef struct c_coalescer "coalescer":
        bint tcp
        bint udp
    cdef struct c_path "path":
        path_settings settings
        prefixes routes
        prefixes sources
        prefixes destinations
        c_groups groups
        friend_path *friends
        uint32_t many_friends
        uint64_t drops[DROP_REASONS]
        c_coalescer coalescer
    c_path *path_new(const path_settings *)
    void path_free(c_path *)
    friend_path *path_friend(c_path *, uint32_t)
    void path_remove_friend(c_path *, uint32_t)
    bint path_renumber(c_path *, uint32_t, uint32_t)
    bint path_set_online(c_path *, uint32_t, bint)
    bint path_heard(c_path *, uint32_t)
    bint path_set_policy(c_path *, uint32_t, policy_rule *, size_t)
    size_t path_read_tun(c_path *, size_t, int *)
    void path_inbound(void *, uint32_t, const uint8_t *, size_t) noexcept
    void path_flush_inbound(void *) noexcept


cdef policy_rule *policy_rules(list rules) except NULL

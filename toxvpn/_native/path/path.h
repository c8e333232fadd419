/* The packet path between one TUN device and one kind of Tox packet: its tables, counters and buffers.
 *
 * path.c       makes it, and keeps its friends
 * outbound.c   TUN -> Tox    path_read_tun()
 * backlog.c    keeps outbound packets that wait for room
 * held.c       keeps outbound segments of TCP for friends that are offline
 * inbound.c    Tox -> TUN    path_inbound(), path_flush_inbound()
 * policy.c     which inbound packets of a friend may pass, where that is limited
 * groups.c     which packets to multicast groups may cross
 * coalesce.c   merges inbound packets of a flow
 * bundle.c     sends small packets together
 * cut.c        cuts super-packets into segments, and packets into fragments
 * device.c     writes to the TUN: inbound packets, and ICMP errors about outbound ones
 *
 * Nothing here knows Python or toxcore: a `carrier` takes the packets, datapath.pyx fills the tables. */
#ifndef TOXVPN_PATH_H
#define TOXVPN_PATH_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "coalesce.h"
#include "groups.h"
#include "held.h"
#include "packet.h"
#include "policy.h"
#include "prefixes.h"

/* Why a packet was dropped; in the order of DropReason in packets.py. */
enum drop {
    DROP_NO_ROUTE,
    DROP_OFFLINE,
    DROP_QUEUE_FULL,
    DROP_SOURCE,
    DROP_DESTINATION,
    DROP_TOO_BIG,
    DROP_MALFORMED,
    DROP_DEVICE,
    DROP_LOOP,
    DROP_LATE,
    DROP_POLICY,
    DROP_MULTICAST_RATE,
    DROP_REASONS,
};

/* The carrier's result for a packet; SendResult of results.py. */
enum sent { SENT, SENT_OFFLINE, SENT_QUEUE_FULL, SENT_NOT_FOUND, SENT_INVALID };

struct carrier {
    void *context;
    int (*send)(void *context, uint32_t friend_number, const uint8_t *packet, size_t length);
    void (*flush)(void *context);    /* ends a batch of sends */
    int (*congested)(void *context); /* the network takes no more for now */
};

enum {
    FRAME_VPN = 5,   /* packet ID, struct tun_pi: flags and EtherType (docs/wire-format.md §2) */
    FRAME_STACK = 1, /* packet ID (docs/wire-format.md §4) */
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_IPV6 = 0x86dd,
    VNET_HEADER = sizeof(struct virtio_net_hdr),
    LARGEST_READ = 65536, /* bytes of a super-packet */
    /* room before a packet, for a frame or a segment's headers, whichever is larger */
    HEADROOM = 256,
    ANSWERS = 32,        /* packets read at once after a batch of inbound packets */
    MAX_FRIENDS = 65536, /* toxcore numbers friends densely from 0 */
};

/* both are beyond every friend number */
static const uint32_t OURSELVES = UINT32_MAX, EVERYBODY = UINT32_MAX;
/* The values in the table of destinations; OUTSIDE is allowed, and no rules are asked (policy.h). */
enum { ALLOWED, FORBIDDEN, OUTSIDE };

struct friend_path {
    bool online;
    bool bundles; /* it takes several packets in one (bundle.h) */
    uint16_t mtu;
    uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes;
    uint64_t drops[DROP_REASONS];
    struct budget errors; /* for ICMP errors (RFC 4443 §2.4 f, RFC 1812 §4.3.2.8) */
    uint32_t groups;      /* those that it takes part in */
    struct budget to_groups, from_groups;
    struct policy *policy; /* what it may reach; NULL: every allowed destination */
    struct held *held;     /* for when it is back; NULL: nothing */
    uint32_t heard_s;      /* when a packet of it has come */
    uint32_t repeated_s;   /* when what is held was sent last because of path_heard() */
    bool is_unsure;        /* what is held was sent, but perhaps too early: it has not spoken since */
    bool is_back;          /* it has spoken again, in this batch */
};

struct backlog;

struct path_settings {
    int tun;
    bool vnet_hdr;    /* packets to and from the TUN have a virtio_net_hdr */
    bool udp_offload; /* the kernel takes UDP super-packets */
    uint8_t packet_id;
    size_t frame;          /* FRAME_VPN or FRAME_STACK */
    uint16_t mtu;          /* largest packet to a friend, until that has an MTU of its own */
    uint16_t carrier_port; /* UDP port that the carrier itself sends from; 0: none */
    struct carrier carrier;
    void *owner;
    void (*refused)(
        void *owner);        /* called when the kernel turned out not to take super-packets of one kind */
    struct backlog *backlog; /* shared by all paths over that carrier */
};

struct path {
    struct path_settings settings;
    struct prefixes routes;       /* destination -> friend */
    struct prefixes sources;      /* source -> the one friend that may use it, or OURSELVES */
    struct prefixes destinations; /* in the scope of a friend or of EVERYBODY: whether they may reach it */
    struct groups groups;         /* multicast, and broadcast to everybody */
    struct friend_path *friends;
    uint32_t many_friends;
    uint64_t drops[DROP_REASONS]; /* packets that belong to no friend */
    size_t held_bytes;            /* of all friends */

    uint32_t now_s;       /* the time in this batch; 0: nobody has asked for it yet */
    bool any_is_back;     /* some friend */
    bool wrote;           /* to the TUN, since it was last read: the kernel may have answered */
    struct budget errors; /* about packets that belong to no friend */
    struct coalescer coalescer;
    uint8_t buffer[HEADROOM + VNET_HEADER + LARGEST_READ + 64];
};

/* NULL: out of memory. */
struct path *path_new(const struct path_settings *settings);
void path_free(struct path *path);

/* The friend's state, made offline and with the path's MTU if there was none; NULL: out of memory or
 * range. */
struct friend_path *path_friend(struct path *path, uint32_t friend_number);

/* Forgets the friend: its state, its routes, what it may use and reach. */
void path_remove_friend(struct path *path, uint32_t friend_number);

/* Gives everything that is known of a friend to its new number, of which what was known is forgotten. False: out
 * of memory or range. */
bool path_renumber(struct path *path, uint32_t from, uint32_t to);

/* To one that is online again goes at once what is held for it (held.h). False: out of memory or range. */
bool path_set_online(struct path *path, uint32_t friend_number, bool online);

/* The friend has just been heard, though not by a packet of the network: sends what is held for it, at most once
 * a second. It is held on, until the friend speaks. False: out of memory or range. */
bool path_heard(struct path *path, uint32_t friend_number);

/* Sends what was held for friends that have spoken again. */
void path_resume(struct path *path);

/* Limits what the friend may reach to what one of `rules` allows, and to answers; `rules` comes from malloc()
 * and is the path's from now on. NULL: no limit. False: out of memory or range; `rules` are freed. */
bool path_set_policy(struct path *path, uint32_t friend_number, struct policy_rule *rules, size_t many);

/* Seconds of a monotonic clock, read once a batch. */
uint32_t path_now_s(struct path *path);

/* Reads the TUN until it is empty or about `budget` packets are done: sent, dropped or, without room, put to
 * the backlog. Returns how many; `error` is an errno when the device is gone, else 0. */
size_t path_read_tun(struct path *path, size_t budget, int *error);

/* Takes a packet of our ID from a friend, with the ID byte. A lossy_sink whose context is a struct path. */
void path_inbound(void *path, uint32_t friend_number, const uint8_t *packet, size_t length);

/* Ends a batch of inbound packets: writes what was held back for coalescing, then sends what the kernel
 * answered at once, and what waited for room. A lossy_flush whose context is a struct path. */
void path_flush_inbound(void *path);

/* Counts a drop for the friend; for the path itself when there is no such friend. */
void path_drop(struct path *path, uint32_t friend_number, enum drop reason);

/* Writes one packet to the TUN as it is. */
void device_write(struct path *path, uint32_t friend_number, const uint8_t *packet, size_t length);

/* Writes a super-packet of `packets` packets; `buffer` begins with its virtio_net_hdr. When the kernel
 * refuses it, but takes the packets one by one, no more super-packets of that kind are made. */
void device_write_super(struct path *path, uint32_t friend_number, uint8_t *buffer, size_t length,
                        unsigned packets);

/* Answers an outbound packet with an ICMP error into the TUN: too big for `mtu`, or with mtu 0: unreachable,
 * because it has no route or its peer is offline. Rate-limited for each friend; never about ICMP errors or
 * multicast. */
void device_answer_error(struct path *path, const struct packet *packet, uint32_t friend_number,
                         enum drop reason, uint16_t mtu);

#endif

/* The inside of an owner, for the files that make up the hooks: what it keeps of each socket, and of itself.
 * Neighbours: owner.c, sockets.c, hooks.c, streamhooks.c, clock.c, install.c; for all others there is hooks.h. */
#ifndef TOXVPN_OWNER_H
#define TOXVPN_OWNER_H

#include "announced.h"
#include "early.h"
#include "hooks.h"
#include "nat64.h"
#include "overheard.h"
#include "quick.h"
#include "sightings.h"
#include "streambuf.h"
#include "twins.h"

enum {
    DESCRIPTORS = 65536, /* hooks ignore larger descriptors; the kernel gives out the lowest free one */
};

enum socket_kind { DATAGRAM, STREAM, OTHER };

struct entry {
    netio_owner *owner;
    struct entry *next;
    int fd;
    bool datagram;
    struct sendbatch *out;     /* NULL: not batched */
    struct recvbatch *in;      /* NULL: not batched */
    struct streambuf *stream;  /* NULL: not a stream, or used plainly */
    struct standing *standing; /* NULL: not a connection of ours to a relay, as far as is known */
    bool own_relay;            /* an end of a connection to the relay that this node is */
    bool door;
    struct sockaddr_storage beyond; /* a door: the address that it is for */
};

struct netio_owner {
    struct entry *entries;
    uint32_t version;
    bool batching;
    bool streaming;
    bool segmentation;
    bool turn_cut;
    uint32_t turns; /* how many have begun */
    uint32_t mark;  /* 0: none */
    unsigned turn;
    netio_flush_inbound *flush_inbound;
    void *flush_context;
    double rate;
    int64_t real_ns, own_ns;        /* when the rate was last changed, on both clocks */
    int64_t stepped_ns;             /* the clock shows this until its own time is later */
    int64_t passed_ns;              /* CLOCK_BOOTTIME at the last netio_passed_s */
    struct sockaddr_storage source; /* of the datagram that was handed out last */
    socklen_t source_length;        /* 0: there are no more */
    struct sightings sightings;
    struct detours *detours; /* NULL: none yet */
    struct inject *inbox;    /* NULL: nothing yet */
    bool whole;              /* routers may not fragment what is sent now */
    struct overheard overheard;
    unsigned doors;
    struct entry *receiving; /* where the last datagram came in, while there are doors */
    struct early early;
    struct streamroom room;
    struct twins twins;
    struct nat64 nat64;
    struct roll roll;
    struct announced announced;
    uint32_t answers; /* of nodes that were asked for others, as far as it seems, and of others' relays */
};

/* Hidden: these files read them at each packet, and need not look for them in other libraries. */
#pragma GCC visibility push(hidden)

extern _Thread_local netio_owner *current;
extern struct entry *by_fd[DESCRIPTORS];

/* What is in force. */
extern struct netio_installed {
    bool batch;
    bool streams;
    bool shield;
    bool detours;
} netio_installed;

/* NULL: there is no owner, the descriptor is too large, or there is no memory. */
struct entry *entry_adopt(netio_owner *owner, int fd, enum socket_kind kind);
void entry_forget(struct entry *entry);
void entry_remove(struct entry *entry);
void entry_flush(struct entry *entry);

#pragma GCC visibility pop

static inline struct entry *find(int fd) { return fd >= 0 && fd < DESCRIPTORS ? by_fd[fd] : NULL; }

#endif

/* Which packets to groups cross: those to multicast groups, and to 255.255.255.255, that both sides take part
 * in, at a bounded rate. Only UDP: what else goes to groups belongs to one link (IGMP, routing, neighbour
 * discovery). The table of groups is filled by datapath.pyx. */
#ifndef TOXVPN_GROUPS_H
#define TOXVPN_GROUPS_H

#include "packet.h"

enum { MAX_GROUPS = 32 };

struct path;

struct group {
    uint8_t version; /* 4 or 6 */
    uint8_t address[16];
};

/* The groups that this machine takes part in. Bit n of a friend's mask stands for the nth. */
struct groups {
    struct group list[MAX_GROUPS];
    uint32_t many;
};

/* Whether it is what the kernel tells a link by itself: who is in which group, who is a router (IGMP, MLD,
 * neighbour discovery). Nobody on a point-to-point link misses it, so it is no drop. */
bool groups_is_kernels(const struct packet *packet);

/* The bit of the group that the packet goes to; 0: it goes to none of them, or is nothing that may cross. */
uint32_t groups_bit(const struct groups *groups, const struct packet *packet);

/* Whether a packet to a group may go to the friend, or has come from it. Counts the drop. */
bool groups_may_leave(struct path *path, uint32_t friend_number);
bool groups_may_arrive_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet);

#endif

/* What one friend may reach here: rules for what it begins, and the flows that were let through before. The
 * C side of wire/policy.py, which is its reference.
 *
 * Rules are looked at only for an inbound packet of no known flow, and for every SYN that begins a connection.
 * A flow begins with an outbound packet of ours, or with an inbound one that a rule allows. What is outbound is
 * never refused. Times are like those of Linux's connection tracking (nf_conntrack-sysctl). */
#ifndef TOXVPN_POLICY_H
#define TOXVPN_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"
#include "prefixes.h"

enum { ANY_PROTOCOL = 256 };

struct policy_rule {
    bool here;       /* this host's own addresses, and no others; else: */
    uint8_t version; /* 4 or 6: the prefix; 0: any address */
    uint8_t length;  /* bits of the prefix */
    uint8_t address[16];
    uint16_t protocol;              /* or ANY_PROTOCOL; PROTOCOL_ICMP is for both versions of IP */
    uint16_t first_port, last_port; /* 0 to 65535: any, also of a protocol without ports */
};

struct policy;

/* `sources` is the path's table, in which OURSELVES own this host's addresses; it must outlive the policy. NULL:
 * out of memory. */
struct policy *policy_new(const struct prefixes *sources);
void policy_free(struct policy *policy);

/* Replaces the rules; `rules` comes from malloc(), and is the policy's from now on. Flows that the friend has
 * begun and that are no longer allowed are refused from now on. */
void policy_set_rules(struct policy *policy, struct policy_rule *rules, size_t many);

/* The index of the first rule that allows it; -1: none does. */
int policy_judge(const struct policy *policy, uint8_t version, const uint8_t *destination, uint8_t protocol,
                 uint16_t port);

/* Whether a packet from the friend may pass. */
bool policy_inbound(struct policy *policy, const struct packet *packet, uint32_t now_s);

/* Notes a packet to the friend, so that its answers may pass. */
void policy_outbound(struct policy *policy, const struct packet *packet, uint32_t now_s);

#endif

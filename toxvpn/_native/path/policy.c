#include "policy.h"

#include <stdlib.h>

#include "flowtable.h"
#include "path.h"

enum {
    /* seconds without a packet after which a flow is forgotten */
    TCP_UNANSWERED_S = 120,
    TCP_S = 5 * 86400,
    TCP_CLOSED_S = 60, /* from the second FIN on */
    TCP_RESET_S = 10,  /* from a RST on */
    UNANSWERED_S = 30,
    ANSWERED_S = 120,

    /* the state of a flow */
    SEEN_OUTBOUND = 1,
    SEEN_INBOUND = 2,
    SEEN_BOTH = SEEN_OUTBOUND | SEEN_INBOUND,
    FIN_OUTBOUND = 4,
    FIN_INBOUND = 8,
    FIN_BOTH = FIN_OUTBOUND | FIN_INBOUND,
    CLOSED = 16,
    BY_FRIEND = 32, /* the friend began it */
    REFUSED = 64,   /* the friend began it, and the rules of today do not allow it */

    /* of an ICMP echo: whose request it is */
    ECHO_OURS = 1,
    ECHO_THEIRS = 2,

    HEADERS_END = 24, /* a fragment before this offset would overlap a TCP header */
};

struct policy {
    const struct prefixes *sources;
    struct policy_rule *rules;
    size_t many;
    struct flowtable flows;
};

struct policy *policy_new(const struct prefixes *sources) {
    struct policy *policy = calloc(1, sizeof *policy);
    if (policy == NULL)
        return NULL;
    policy->sources = sources;
    flowtable_start(&policy->flows);
    return policy;
}

void policy_free(struct policy *policy) {
    if (policy == NULL)
        return;
    free(policy->rules);
    free(policy);
}

/* -- rules */

static bool covers(const struct policy_rule *rule, const uint8_t *address) {
    size_t bytes = rule->length / 8;
    uint8_t rest = (uint8_t)(0xff00 >> rule->length % 8);
    return memcmp(rule->address, address, bytes) == 0 &&
           (rest == 0 || ((rule->address[bytes] ^ address[bytes]) & rest) == 0);
}

static bool is_icmp(uint8_t version, uint8_t protocol) {
    return protocol == (version == 4 ? PROTOCOL_ICMP : PROTOCOL_ICMPV6);
}

static bool has_ports(uint8_t protocol) { return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP; }

static bool is_for(const struct policy_rule *rule, uint8_t version, uint8_t protocol, uint16_t port) {
    if (rule->protocol == PROTOCOL_ICMP)
        return is_icmp(version, protocol);
    if (rule->protocol != ANY_PROTOCOL && rule->protocol != protocol)
        return false;
    if (rule->first_port == 0 && rule->last_port == UINT16_MAX)
        return true;
    return has_ports(protocol) && rule->first_port <= port && port <= rule->last_port;
}

int policy_judge(const struct policy *policy, uint8_t version, const uint8_t *destination, uint8_t protocol,
                 uint16_t port) {
    uint32_t owner;
    bool here = prefixes_lookup(policy->sources, version, destination, 0, &owner) && owner == OURSELVES;
    for (size_t at = 0; at < policy->many; at++) {
        const struct policy_rule *rule = &policy->rules[at];
        bool there = rule->here           ? here
                     : rule->version == 0 ? true
                                          : rule->version == version && covers(rule, destination);
        if (there && is_for(rule, version, protocol, port))
            return (int)at;
    }
    return -1;
}

/* -- what a packet says */

struct view {
    struct flow_id key; /* if it has a flow */
    uint8_t tcp_flags;
    bool has_flow;
    bool begins; /* it can be the first one of its flow */
};

static uint64_t last_word(const struct packet *packet, uint32_t ports) {
    return ports | (uint64_t)packet->protocol << 32 | (uint64_t)packet->version << 40;
}

/* A flow's key: addresses and ports as they stand in an inbound packet, that is theirs before ours. */
static void make_key(struct flow_id *key, const struct packet *packet, bool inbound, uint32_t ports) {
    uint64_t *words = key->words;
    if (packet->version == 4) {
        memcpy(words, packet->source, 8);
        if (!inbound)
            words[0] = words[0] << 32 | words[0] >> 32;
        words[1] = words[2] = words[3] = 0;
    } else {
        memcpy(words, inbound ? packet->source : packet->destination, 16);
        memcpy(words + 2, inbound ? packet->destination : packet->source, 16);
    }
    if (!inbound)
        ports = ports << 16 | ports >> 16;
    words[4] = last_word(packet, ports);
}

static void view_ports(struct view *view, const struct packet *packet, const uint8_t *at, bool inbound) {
    uint32_t ports;
    memcpy(&ports, at, 4);
    view->has_flow = true;
    make_key(&view->key, packet, inbound, ports);
}

static bool is_echo_request(uint8_t version, uint8_t type) { return type == (version == 4 ? 8 : 128); }

static bool is_echo_reply(uint8_t version, uint8_t type) { return type == (version == 4 ? 0 : 129); }

/* Destination unreachable, time exceeded, parameter problem; in IPv6 also packet too big. */
static bool is_error(uint8_t version, uint8_t type) {
    return version == 4 ? type == 3 || type == 11 || type == 12 : 1 <= type && type <= 4;
}

static void view_icmp(struct view *view, const struct packet *packet, const uint8_t *icmp, bool inbound) {
    bool request = is_echo_request(packet->version, icmp[0]);
    if (!request && !is_echo_reply(packet->version, icmp[0]))
        return;
    uint16_t identifier, whose = request == inbound ? ECHO_THEIRS : ECHO_OURS;
    memcpy(&identifier, icmp + 4, 2);
    view->has_flow = true;
    view->begins = request;
    /* the two stand for ports, and must not change places with the direction */
    uint32_t ports = (uint32_t)identifier << 16 | whose;
    make_key(&view->key, packet, inbound, inbound ? ports : ports << 16 | ports >> 16);
}

/* False if its headers are too short to be judged. */
static bool view_packet(struct view *view, const struct packet *packet, bool inbound) {
    const uint8_t *at = packet->ip + packet->transport;
    size_t room = packet->length - packet->transport;
    view->tcp_flags = 0;
    view->has_flow = view->begins = false;
    if (packet->protocol == PROTOCOL_TCP) {
        if (room < TCP_HEADER)
            return false;
        view->tcp_flags = at[13];
        /* outbound only a SYN begins one: the next packet of what a friend began must not pass for ours */
        view->begins = inbound ? !(at[13] & TCP_RST) : (at[13] & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
        view_ports(view, packet, at, inbound);
    } else if (packet->protocol == PROTOCOL_UDP) {
        if (room < UDP_HEADER)
            return false;
        view->begins = true;
        view_ports(view, packet, at, inbound);
    } else if (is_icmp(packet->version, packet->protocol)) {
        if (room < 8)
            return false;
        view_icmp(view, packet, at, inbound);
    } else if (packet->protocol == PROTOCOL_UNKNOWN) {
        return false;
    } else {
        view->has_flow = view->begins = true;
        make_key(&view->key, packet, inbound, 0);
    }
    return true;
}

/* -- flows */

static uint8_t protocol_of(const struct known_flow *flow) { return (uint8_t)(flow->key.words[4] >> 32); }

static uint8_t version_of(const struct known_flow *flow) { return (uint8_t)(flow->key.words[4] >> 40); }

static uint32_t idle_s(const struct known_flow *flow) {
    bool answered = (flow->state & SEEN_BOTH) == SEEN_BOTH;
    if (protocol_of(flow) == PROTOCOL_TCP)
        return answered ? TCP_S : TCP_UNANSWERED_S;
    return answered ? ANSWERED_S : UNANSWERED_S;
}

/* A closed flow is not used any longer than its time, whatever comes. */
static void use(struct known_flow *flow, const struct view *view, bool inbound, uint32_t now_s) {
    if (flow->state & CLOSED)
        return;
    flow->seen_s = now_s;
    uint8_t state = flow->state | (inbound ? SEEN_INBOUND : SEEN_OUTBOUND);
    if (view->tcp_flags & TCP_FIN)
        state |= inbound ? FIN_INBOUND : FIN_OUTBOUND;
    if (state == flow->state && !(view->tcp_flags & TCP_RST))
        return;
    flow->state = state;
    flow->idle_s = idle_s(flow);
    if (view->tcp_flags & TCP_RST || (state & FIN_BOTH) == FIN_BOTH) {
        flow->state |= CLOSED;
        flow->idle_s = view->tcp_flags & TCP_RST ? TCP_RESET_S : TCP_CLOSED_S;
    }
}

/* `flow` NULL: there is none yet with this key. */
static void begin(struct policy *policy, struct known_flow *flow, const struct view *view, bool inbound,
                  uint32_t now_s) {
    if (flow == NULL)
        flow = flowtable_open(&policy->flows, &view->key, now_s);
    flow->state = inbound ? BY_FRIEND : 0;
    use(flow, view, inbound, now_s);
}

static bool is_first_syn(const struct view *view) {
    return (view->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN;
}

/* Whether it is an ICMP error about a packet that we have sent in a flow that goes on. */
static bool is_error_of_flow(struct policy *policy, const struct packet *packet, uint32_t now_s) {
    const uint8_t *icmp = packet->ip + packet->transport;
    struct packet quoted;
    struct view view = {.has_flow = false};
    if (!is_icmp(packet->version, packet->protocol) || packet->fragment ||
        !is_error(packet->version, icmp[0]))
        return false;
    if (!packet_parse(&quoted, (uint8_t *)icmp + 8, packet->length - packet->transport - 8U, false) ||
        quoted.version != packet->version || quoted.fragment_offset ||
        memcmp(quoted.source, packet->destination, address_bytes(packet->version)) != 0)
        return false;
    const uint8_t *at = quoted.ip + quoted.transport;
    size_t room = quoted.length - quoted.transport; /* 8 bytes of a transport header are enough */
    if (has_ports(quoted.protocol) && room >= 8)
        view_ports(&view, &quoted, at, false);
    else if (is_icmp(quoted.version, quoted.protocol) && room >= 8)
        view_icmp(&view, &quoted, at, false);
    const struct known_flow *flow = view.has_flow ? flowtable_find(&policy->flows, &view.key, now_s) : NULL;
    return flow != NULL && !(flow->state & REFUSED);
}

static bool is_allowed(const struct policy *policy, const struct packet *packet) {
    uint16_t port = has_ports(packet->protocol) ? load16(packet->ip + packet->transport + 2) : 0;
    return policy_judge(policy, packet->version, packet->destination, packet->protocol, port) >= 0;
}

static uint64_t load_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* Whether both ends are those of the flow; `ports` are the first bytes of a TCP or UDP header. */
static bool is_of(const struct known_flow *flow, const struct packet *packet, const uint8_t *ports,
                  bool inbound) {
    const uint64_t *words = flow->key.words;
    uint32_t both;
    memcpy(&both, ports, 4);
    if (words[4] != last_word(packet, inbound ? both : both << 16 | both >> 16))
        return false;
    uint64_t first = load_word(packet->source);
    if (packet->version == 4)
        return words[0] == (inbound ? first : first << 32 | first >> 32);
    const uint8_t *theirs = inbound ? packet->source : packet->destination;
    const uint8_t *ours = inbound ? packet->destination : packet->source;
    return memcmp(words, theirs, 16) == 0 && memcmp(words + 2, ours, 16) == 0;
}

/* Whether it is one more packet of the flow that was used last, and changes nothing: most packets are. */
static bool goes_on(struct flowtable *flows, const struct packet *packet, bool inbound, uint32_t now_s) {
    const uint8_t *at = packet->ip + packet->transport;
    struct known_flow *flow = flowtable_newest(flows);
    uint8_t seen = inbound ? SEEN_INBOUND : SEEN_OUTBOUND;
    if (flow == NULL || packet->length < packet->transport + (size_t)TCP_HEADER ||
        !has_ports(packet->protocol) ||
        (packet->protocol == PROTOCOL_TCP && at[13] & (TCP_SYN | TCP_FIN | TCP_RST)))
        return false;
    if ((flow->state & (seen | CLOSED | REFUSED)) != seen || !is_of(flow, packet, at, inbound) ||
        !flow_is_fresh(flow, now_s))
        return false;
    flow->seen_s = now_s;
    return true;
}

bool policy_inbound(struct policy *policy, const struct packet *packet, uint32_t now_s) {
    struct view view;
    if (goes_on(&policy->flows, packet, true, now_s))
        return true;
    /* nothing is put together of later fragments whose first one is refused */
    if (packet->fragment_offset)
        return packet->fragment_offset >= HEADERS_END;
    if (!view_packet(&view, packet, true))
        return false;
    struct known_flow *flow = view.has_flow ? flowtable_find(&policy->flows, &view.key, now_s) : NULL;
    if (flow != NULL && !is_first_syn(&view)) {
        use(flow, &view, true, now_s);
        return !(flow->state & REFUSED);
    }
    if (!view.has_flow && is_error_of_flow(policy, packet, now_s))
        return true;
    if (!is_allowed(policy, packet))
        return false;
    if (view.begins)
        begin(policy, flow, &view, true, now_s);
    return true;
}

void policy_outbound(struct policy *policy, const struct packet *packet, uint32_t now_s) {
    struct view view;
    if (goes_on(&policy->flows, packet, false, now_s))
        return;
    if (packet->fragment_offset || !view_packet(&view, packet, false) || !view.has_flow)
        return;
    struct known_flow *flow = flowtable_find(&policy->flows, &view.key, now_s);
    if (flow != NULL && !is_first_syn(&view))
        use(flow, &view, false, now_s);
    else if (view.begins)
        begin(policy, flow, &view, false, now_s);
}

/* -- a change of the rules */

static void judge_again(void *context, struct known_flow *flow) {
    struct policy *policy = context;
    const uint8_t *ours = (const uint8_t *)flow->key.words + address_bytes(version_of(flow));
    uint32_t ports = (uint32_t)flow->key.words[4];
    uint16_t port = has_ports(protocol_of(flow)) ? load16((const uint8_t *)&ports + 2) : 0;
    if (!(flow->state & BY_FRIEND))
        return;
    flow->state &= (uint8_t)~REFUSED;
    if (policy_judge(policy, version_of(flow), ours, protocol_of(flow), port) < 0)
        flow->state |= REFUSED;
}

void policy_set_rules(struct policy *policy, struct policy_rule *rules, size_t many) {
    free(policy->rules);
    policy->rules = rules;
    policy->many = many;
    flowtable_each(&policy->flows, judge_again, policy);
}

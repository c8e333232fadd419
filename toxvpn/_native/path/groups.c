#include "path.h"

enum {
    DHCP_SERVER = 67,
    DHCP_CLIENT = 68,
    PER_SECOND = 100, /* to or from one friend */
    AT_ONCE = 200,
};

/* A network's DHCP server must not configure the machines of another network. */
static bool is_dhcp(const struct packet *packet) {
    if (packet->protocol != PROTOCOL_UDP || packet->transport + UDP_HEADER > packet->length)
        return false;
    const uint8_t *udp = packet->ip + packet->transport;
    for (int at = 0; at < 4; at += 2)
        if (load16(udp + at) == DHCP_SERVER || load16(udp + at) == DHCP_CLIENT)
            return true;
    return false;
}

bool groups_is_kernels(const struct packet *packet) {
    return packet->protocol == PROTOCOL_IGMP || packet->protocol == PROTOCOL_ICMPV6;
}

uint32_t groups_bit(const struct groups *groups, const struct packet *packet) {
    bool later_fragment = packet->protocol == PROTOCOL_UNKNOWN && packet->fragment;
    if ((packet->protocol != PROTOCOL_UDP && !later_fragment) || is_dhcp(packet))
        return 0;
    for (uint32_t at = 0; at < groups->many; at++) {
        const struct group *group = &groups->list[at];
        if (group->version == packet->version &&
            memcmp(group->address, packet->destination, address_bytes(group->version)) == 0)
            return (uint32_t)1 << at;
    }
    return 0;
}

bool groups_may_leave(struct path *path, uint32_t friend_number) {
    if (budget_take(&path->friends[friend_number].to_groups, PER_SECOND, AT_ONCE))
        return true;
    path_drop(path, friend_number, DROP_MULTICAST_RATE);
    return false;
}

/* A network that is routed through the friend is no address of its own. */
static bool is_own_address(const struct path *path, uint32_t friend_number, const struct packet *packet) {
    uint32_t owner;
    uint8_t bits = (uint8_t)(8 * address_bytes(packet->version));
    return prefixes_get(&path->sources, packet->version, packet->source, bits, 0, &owner) &&
           owner == friend_number;
}

bool groups_may_arrive_untrusted(struct path *path, uint32_t friend_number, const struct packet *packet) {
    struct friend_path *friend = &path->friends[friend_number];
    if (!(groups_bit(&path->groups, packet) & friend->groups))
        path_drop(path, friend_number, DROP_DESTINATION);
    else if (!is_own_address(path, friend_number, packet))
        path_drop(path, friend_number, DROP_SOURCE);
    else if (!budget_take(&friend->from_groups, PER_SECOND, AT_ONCE))
        path_drop(path, friend_number, DROP_MULTICAST_RATE);
    else
        return true;
    return false;
}

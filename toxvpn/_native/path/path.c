#include "backlog.h"
#include "path.h"

#include <stdlib.h>
#include <time.h>

static void pass(void *path, uint32_t friend_number, const uint8_t *packet, size_t length) {
    device_write(path, friend_number, packet, length);
}

static void write_super(void *path, uint32_t friend_number, uint8_t *buffer, size_t length,
                        unsigned packets) {
    device_write_super(path, friend_number, buffer, length, packets);
}

struct path *path_new(const struct path_settings *settings) {
    struct path *path = calloc(1, sizeof *path); /* over a megabyte, of which little is ever used */
    if (path == NULL)
        return NULL;
    path->settings = *settings;
    path->coalescer.context = path;
    path->coalescer.pass = pass;
    path->coalescer.write = write_super;
    path->coalescer.tcp = settings->vnet_hdr;
    path->coalescer.udp = settings->vnet_hdr && settings->udp_offload;
    return path;
}

static void forget(struct path *path, uint32_t friend_number) {
    struct friend_path *friend = &path->friends[friend_number];
    policy_free(friend->policy);
    held_free(&friend->held, &path->held_bytes);
    *friend = (struct friend_path){.mtu = path->settings.mtu};
}

void path_free(struct path *path) {
    if (path == NULL)
        return;
    backlog_forget(path->settings.backlog, path, EVERYBODY);
    prefixes_free(&path->routes);
    prefixes_free(&path->sources);
    prefixes_free(&path->destinations);
    for (uint32_t number = 0; number < path->many_friends; number++)
        forget(path, number);
    free(path->friends);
    free(path);
}

struct friend_path *path_friend(struct path *path, uint32_t friend_number) {
    if (friend_number >= MAX_FRIENDS)
        return NULL;
    if (friend_number >= path->many_friends) {
        size_t many = (size_t)friend_number + 16;
        struct friend_path *friends = realloc(path->friends, many * sizeof *friends);
        if (friends == NULL)
            return NULL;
        for (size_t at = path->many_friends; at < many; at++)
            friends[at] = (struct friend_path){.mtu = path->settings.mtu};
        path->friends = friends;
        path->many_friends = (uint32_t)many;
    }
    return &path->friends[friend_number];
}

void path_remove_friend(struct path *path, uint32_t friend_number) {
    backlog_forget(path->settings.backlog, path, friend_number);
    prefixes_remove_all(&path->routes, false, friend_number);
    prefixes_remove_all(&path->sources, false, friend_number);
    prefixes_remove_all(&path->destinations, true, friend_number);
    if (friend_number < path->many_friends)
        forget(path, friend_number);
}

bool path_renumber(struct path *path, uint32_t from, uint32_t to) {
    if (path_friend(path, from) == NULL || path_friend(path, to) == NULL)
        return false;
    if (from == to)
        return true;
    backlog_forget(path->settings.backlog, path, from);
    prefixes_move_all(&path->routes, false, from, to);
    prefixes_move_all(&path->sources, false, from, to);
    prefixes_move_all(&path->destinations, true, from, to);
    forget(path, to);
    path->friends[to] = path->friends[from];
    path->friends[from] = (struct friend_path){.mtu = path->settings.mtu};
    return true;
}

bool path_set_policy(struct path *path, uint32_t friend_number, struct policy_rule *rules, size_t many) {
    struct friend_path *friend = path_friend(path, friend_number);
    if (friend != NULL && rules == NULL) {
        policy_free(friend->policy);
        friend->policy = NULL;
        return true;
    }
    if (friend != NULL && friend->policy == NULL)
        friend->policy = policy_new(&path->sources);
    if (friend == NULL || friend->policy == NULL) {
        free(rules);
        return false;
    }
    policy_set_rules(friend->policy, rules, many);
    return true;
}

uint32_t path_now_s(struct path *path) {
    struct timespec now = {.tv_sec = (time_t)(path->settings.backlog->stopped_at_ns / 1000000000)};
    if (path->now_s == 0) {
        if (now.tv_sec == 0)
            clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        path->now_s = (uint32_t)now.tv_sec + 1;
    }
    return path->now_s;
}

void path_drop(struct path *path, uint32_t friend_number, enum drop reason) {
    if (friend_number < path->many_friends)
        path->friends[friend_number].drops[reason]++;
    else
        path->drops[reason]++;
}

#include "flowtable.h"

#include <stdlib.h>
#include <sys/random.h>

enum { NONE = UINT16_MAX };

void flowtable_start(struct flowtable *flows) {
    if (getrandom(&flows->seed, sizeof flows->seed, GRND_NONBLOCK) < 0)
        flows->seed = (uintptr_t)flows;
    flows->newest = flows->oldest = NONE;
    flows->unused = 0;
    for (int at = 0; at < FLOWTABLE_ROOM; at++) {
        flows->chains[at] = NONE;
        flows->flows[at].next = (uint16_t)(at + 1 < FLOWTABLE_ROOM ? at + 1 : NONE);
    }
}

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32;
}

static uint16_t *chain_of(struct flowtable *flows, const struct flow_id *key) {
    uint64_t hash = flows->seed;
    for (int i = 0; i < 5; i++)
        hash = mixed(hash, key->words[i]);
    return &flows->chains[hash % FLOWTABLE_ROOM];
}

/* -- the list */

static void take_out(struct flowtable *flows, const struct known_flow *flow) {
    *(flow->newer == NONE ? &flows->newest : &flows->flows[flow->newer].older) = flow->older;
    *(flow->older == NONE ? &flows->oldest : &flows->flows[flow->older].newer) = flow->newer;
}

static void put_in_front(struct flowtable *flows, struct known_flow *flow) {
    uint16_t index = (uint16_t)(flow - flows->flows);
    flow->newer = NONE;
    flow->older = flows->newest;
    *(flows->newest == NONE ? &flows->oldest : &flows->flows[flows->newest].newer) = index;
    flows->newest = index;
}

static void forget(struct flowtable *flows, struct known_flow *flow) {
    uint16_t index = (uint16_t)(flow - flows->flows), *link = chain_of(flows, &flow->key);
    while (*link != index)
        link = &flows->flows[*link].next;
    *link = flow->next;
    take_out(flows, flow);
    flow->next = flows->unused;
    flows->unused = index;
}

/* -- for callers */

static struct known_flow *fresh(struct flowtable *flows, struct known_flow *flow, uint32_t now_s) {
    if (flow_is_fresh(flow, now_s))
        return flow;
    forget(flows, flow);
    return NULL;
}

struct known_flow *flowtable_find(struct flowtable *flows, const struct flow_id *key, uint32_t now_s) {
    struct known_flow *flow;
    for (uint16_t at = *chain_of(flows, key); at != NONE; at = flow->next) {
        flow = &flows->flows[at];
        if (flow_id_is(&flow->key, key)) {
            take_out(flows, flow);
            put_in_front(flows, flow);
            return fresh(flows, flow, now_s);
        }
    }
    return NULL;
}

struct known_flow *flowtable_open(struct flowtable *flows, const struct flow_id *key, uint32_t now_s) {
    if (flows->unused == NONE)
        forget(flows, &flows->flows[flows->oldest]);
    uint16_t index = flows->unused, *chain = chain_of(flows, key);
    struct known_flow *flow = &flows->flows[index];
    flows->unused = flow->next;
    *flow = (struct known_flow){.key = *key, .seen_s = now_s, .next = *chain};
    *chain = index;
    put_in_front(flows, flow);
    return flow;
}

void flowtable_each(struct flowtable *flows, void (*visit)(void *context, struct known_flow *flow),
                    void *context) {
    for (uint16_t at = flows->newest; at != NONE; at = flows->flows[at].older)
        visit(context, &flows->flows[at]);
}

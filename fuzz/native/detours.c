/* Two peers and the friend between them, who may also send what it likes: datagrams of an honest friend arrive whole,
 * in order and from the address of the detour; it passes on between its members alone; nothing else gets in. */
#define _GNU_SOURCE
#include "detour.h"
#include "hooks.h"
#include "input.h"

enum { FRIEND = 2, SLOT = 5, MOST = 600, COOKIE_REQUEST = 0x18, NODES_REQUEST = 2 };

/* What one end has sent to the other and has not arrived. */
struct sent {
    size_t length[MOST];
    uint8_t first[MOST], seed[MOST];
    size_t from, to;
};

struct end {
    struct detours *detours;
    struct inject *inbox;
    struct sent sent;
    uint32_t number; /* what the friend between calls it */
};

static struct input script;
static struct end ends[2];
static struct detours *between;
static bool honest;
static int64_t now_ns;

ssize_t fake_getrandom(void *out, size_t length, unsigned flags) {
    memset(out, 7, length);
    return (ssize_t)length;
}

static const uint8_t keys[2][DETOUR_KEY_BYTES] = {{1}, {2}};

/* What one end sends: mostly bytes that follow from a number. Where nodes are asked for, and told, the key may be that
 * of its sender. */
static bool names_its_sender(uint8_t kind, uint8_t seed, size_t length) {
    return (kind == NODES_REQUEST || kind == 4) && seed & 1 && length > DETOUR_KEY_BYTES;
}

static void fill(const struct end *end, uint8_t *data, size_t length, uint8_t kind, uint8_t seed) {
    for (size_t at = 0; at < length; at++)
        data[at] = at ? (uint8_t)(seed * 31 + at * 7 + at / 256) : kind;
    if (names_its_sender(kind, seed, length))
        memcpy(data + 1, keys[end - ends], DETOUR_KEY_BYTES);
}

static void make(int which) {
    struct end *end = &ends[which];
    *end = (struct end){.detours = detours_new(), .number = (uint32_t)(10 + which)};
    detour_set(end->detours, SLOT, FRIEND, (uint8_t)(20 + !which), keys[!which]);
}

static void send_one(struct end *end) {
    static const uint8_t kinds[] = {COOKIE_REQUEST, 0x19, 0x1a, 0x1b, 0x1b, 0x1b, NODES_REQUEST, 4, 0, 0x80};
    struct sockaddr_in6 to;
    size_t length = below(&script, 3) ? 1200 + below(&script, 900) : number(&script, 2) % 2300;
    uint8_t *data = calloc(1, length ? length : 1);
    bool whole = below(&script, 4) == 0;
    uint8_t seed = length ? (uint8_t)number(&script, 1) : 0;
    uint8_t kind = length ? kinds[below(&script, sizeof kinds)] : 0;
    fill(end, data, length, kind, seed);
    detour_address(end->detours, SLOT, &to);
    CHECK(detour_slot(end->detours, (struct sockaddr *)&to, sizeof to) == SLOT);
    bool waited = detour_waits(end->detours);
    uint64_t refused = detour_counters.filtered + detour_counters.too_long + detour_counters.nested;
    ssize_t result = detour_send(end->detours, SLOT, data, length, whole, now_ns);
    bool counted = detour_counters.filtered + detour_counters.too_long + detour_counters.nested > refused;
    CHECK(result == (ssize_t)length || (result < 0 && waited));
    if (result >= 0 && !counted && end->sent.to < MOST) {
        end->sent.length[end->sent.to] = length;
        end->sent.first[end->sent.to] = kind;
        end->sent.seed[end->sent.to++] = seed;
    }
    free(data);
}

/* Carries one packet to the friend between, and on. */
static void carry(struct end *end, struct end *other) {
    uint8_t packet[DETOUR_LONGEST_PACKET], out[DETOUR_LONGEST_PACKET];
    uint32_t via, to;
    size_t length = detour_next(end->detours, &via, packet);
    if (length == 0)
        return;
    CHECK(via == FRIEND && length <= DETOUR_LONGEST_PACKET);
    CHECK(!detour_is_onward(packet, length));
    CHECK(detour_relay(between, end->number, packet, length, &to, out));
    CHECK(to == other->number && detour_is_onward(out, length));
    detour_arrived(other->detours, FRIEND, out, length, now_ns, &other->inbox);
}

static void friend_sends(struct end *end) {
    size_t length = below(&script, 4) ? 1000 + below(&script, 400) : number(&script, 2) % 1500;
    uint32_t to;
    uint8_t out[DETOUR_LONGEST_PACKET], *packet = padded(&script, 8, length);
    honest = false;
    if (length > 2 && below(&script, 4))
        packet[1] = (uint8_t)(20 + below(&script, 3));
    detour_arrived(end->detours, below(&script, 4) ? FRIEND : 77, packet, length, now_ns, &end->inbox);
    uint32_t from = 9 + below(&script, 4);
    if (detour_relay(between, from, packet, length, &to, out)) {
        CHECK(from == 10 || from == 11);
        CHECK(to == (from == 10 ? 11 : 10) && detour_is_onward(out, length));
    }
    free(packet);
}

/* Two halves of any lengths, of one datagram or of two, and the second once more. */
static void friend_sends_halves(struct end *end) {
    uint8_t index = (uint8_t)(20 + !(end - ends));
    bool same = below(&script, 4);
    size_t lengths[3], data = 0;
    for (int half = 0; half < 2; half++) {
        lengths[half] = 4 + (below(&script, 3) ? 900 + below(&script, 470) : below(&script, 1370));
        data += lengths[half] - DETOUR_HEADER;
    }
    lengths[2] = lengths[1];
    for (int half = 0; half < 3; half++) {
        uint8_t part = half ? 2 : 1, number = half && !same ? 16 : 0;
        uint8_t head[] = {DETOUR_PACKET_ID, index, (uint8_t)(8 | part | number), 0x1b};
        uint8_t *packet = calloc(1, lengths[half]);
        memcpy(packet, head, sizeof head);
        uint64_t received = detour_traffic(end->detours, SLOT).received, full = detour_counters.no_room;
        detour_arrived(end->detours, FRIEND, packet, lengths[half], now_ns, &end->inbox);
        bool whole = half == 1 && same && data <= INJECT_LONGEST && detour_counters.no_room == full;
        CHECK(detour_traffic(end->detours, SLOT).received == received + whole);
        free(packet);
    }
    honest = false;
}

static void receive(struct end *end, struct end *other) {
    struct sockaddr_in6 from;
    socklen_t from_length = sizeof from;
    uint8_t out[INJECT_LONGEST];
    if (!inject_left(end->inbox))
        return;
    ssize_t length = inject_take(end->inbox, out, sizeof out, (struct sockaddr *)&from, &from_length);
    CHECK(length > 0 && length <= INJECT_LONGEST);
    CHECK(detour_slot(end->detours, (struct sockaddr *)&from, from_length) == SLOT);
    CHECK((out[0] >= COOKIE_REQUEST && out[0] <= 0x1b) || out[0] == NODES_REQUEST || out[0] == 4);
    struct sent *sent = &other->sent;
    if (!honest)
        return;
    /* requests for nodes that do not name the peer's key are lost */
    while (sent->from < sent->to &&
           (sent->first[sent->from] == NODES_REQUEST || sent->first[sent->from] == 4) &&
           !names_its_sender(sent->first[sent->from], sent->seed[sent->from], sent->length[sent->from]))
        sent->from++;
    CHECK(sent->from < sent->to);
    CHECK((size_t)length == sent->length[sent->from]);
    uint8_t expected[INJECT_LONGEST];
    fill(other, expected, (size_t)length, sent->first[sent->from], sent->seed[sent->from]);
    CHECK(memcmp(out, expected, (size_t)length) == 0);
    sent->from++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t numbers[] = {10, 11};
    static const uint8_t indices[] = {20, 21};
    script = (struct input){data, size};
    honest = true;
    now_ns = 1;
    make(0);
    make(1);
    between = detours_new();
    detour_relay_for(between, numbers, indices, 2);
    while (script.left && ends[0].sent.to < MOST && ends[1].sent.to < MOST) {
        uint32_t which = below(&script, 2);
        struct end *end = &ends[which], *other = &ends[!which];
        switch (below(&script, 16)) {
        case 0: now_ns += number(&script, 4); break;
        case 1: detour_open(end->detours, SLOT, now_ns + number(&script, 4)); break;
        case 2: detours_close(end->detours, below(&script, 2)); break;
        case 3: friend_sends(end); break;
        case 4:
        case 5:
        case 6:
        case 7:
            carry(end, other);
            receive(other, end);
            break;
        case 8: receive(end, other); break;
        case 9: friend_sends_halves(end); break;
        default: send_one(end);
        }
        if (inject_left(ends[0].inbox) && ends[0].sent.to > 200) /* it holds a bounded number, and drops */
            receive(&ends[0], &ends[1]);
    }
    for (int which = 0; which < 2; which++) {
        detours_free(ends[which].detours);
        inject_free(ends[which].inbox);
    }
    detours_free(between);
    return 0;
}

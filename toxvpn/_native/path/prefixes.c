#include "prefixes.h"

#include <stdlib.h>
#include <string.h>

#include "packet.h"

struct key {
    uint64_t high, low;
    uint32_t scope;
    uint8_t version, length;
};

static uint64_t upper_bits(int many) { return many <= 0 ? 0 : many >= 64 ? ~0ULL : ~0ULL << (64 - many); }

static struct key make_key(uint8_t version, const uint8_t *address, uint8_t length, uint32_t scope) {
    struct key key = {.scope = scope, .version = version, .length = length};
    key.high = (uint64_t)load32(address) << 32;
    if (version == 6) {
        key.high |= load32(address + 4);
        key.low = (uint64_t)load32(address + 8) << 32 | load32(address + 12);
    }
    return key;
}

static struct key shortened(struct key key, uint8_t length) {
    key.high &= upper_bits(length);
    key.low &= upper_bits(length - 64);
    key.length = length;
    return key;
}

static size_t slot(const struct key *key, size_t room) {
    uint64_t hash = key->high * 0x9e3779b97f4a7c15ULL;
    hash ^= (key->low + key->length) * 0xc2b2ae3d27d4eb4fULL;
    hash ^= ((uint64_t)key->scope << 8 | key->version) * 0x165667b19e3779f9ULL;
    hash ^= hash >> 32;
    hash *= 0xd6e8feb86659fd93ULL;
    return (size_t)(hash >> 32) & (room - 1);
}

static bool same(const struct prefix_entry *entry, const struct key *key) {
    return entry->high == key->high && entry->low == key->low && entry->scope == key->scope &&
           entry->length == key->length && entry->version == key->version;
}

/* The entry of `key`, or the free slot where it would go. */
static struct prefix_entry *probe(const struct prefixes *table, const struct key *key) {
    size_t at = slot(key, table->room);
    while (table->entries[at].used && !same(&table->entries[at], key))
        at = (at + 1) & (table->room - 1);
    return &table->entries[at];
}

static struct prefix_lengths *lengths_of(struct prefixes *table, uint8_t version) {
    return &table->lengths[version == 6];
}

static void list_lengths(struct prefix_lengths *lengths) {
    lengths->many = 0;
    for (int length = 128; length >= 0; length--)
        if (lengths->count[length])
            lengths->used[lengths->many++] = (uint8_t)length;
}

static void count_length(struct prefixes *table, uint8_t version, uint8_t length, int change) {
    struct prefix_lengths *lengths = lengths_of(table, version);
    lengths->count[length] += (uint32_t)change;
    list_lengths(lengths);
}

static bool grow(struct prefixes *table) {
    struct prefixes larger = *table;
    larger.room = table->room ? table->room * 2 : 16;
    larger.entries = calloc(larger.room, sizeof *larger.entries);
    if (larger.entries == NULL)
        return false;
    for (size_t at = 0; at < table->room; at++) {
        const struct prefix_entry *old = &table->entries[at];
        struct key key = {old->high, old->low, old->scope, old->version, old->length};
        if (old->used)
            *probe(&larger, &key) = *old;
    }
    free(table->entries);
    *table = larger;
    return true;
}

bool prefixes_set(struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                  uint32_t scope, uint32_t value) {
    struct key key = shortened(make_key(version, address, length, scope), length);
    if (table->many * 2 >= table->room && !grow(table))
        return false;
    struct prefix_entry *entry = probe(table, &key);
    if (!entry->used) {
        *entry = (struct prefix_entry){key.high, key.low, scope, value, version, length, true};
        table->many++;
        count_length(table, version, length, 1);
    }
    entry->value = value;
    return true;
}

/* Frees a slot, and moves back the entries that were displaced by it, so that probing needs no tombstones. */
static void clear_slot(struct prefixes *table, size_t hole) {
    size_t mask = table->room - 1;
    count_length(table, table->entries[hole].version, table->entries[hole].length, -1);
    table->many--;
    for (size_t at = (hole + 1) & mask; table->entries[at].used; at = (at + 1) & mask) {
        const struct prefix_entry *entry = &table->entries[at];
        struct key key = {entry->high, entry->low, entry->scope, entry->version, entry->length};
        size_t home = slot(&key, table->room);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = *entry;
            hole = at;
        }
    }
    table->entries[hole].used = false;
}

bool prefixes_remove(struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                     uint32_t scope) {
    struct key key = shortened(make_key(version, address, length, scope), length);
    if (table->many == 0)
        return false;
    struct prefix_entry *entry = probe(table, &key);
    if (!entry->used)
        return false;
    clear_slot(table, (size_t)(entry - table->entries));
    return true;
}

bool prefixes_get(const struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                  uint32_t scope, uint32_t *value) {
    struct key key = shortened(make_key(version, address, length, scope), length);
    if (table->many == 0)
        return false;
    const struct prefix_entry *entry = probe(table, &key);
    if (entry->used)
        *value = entry->value;
    return entry->used;
}

bool prefixes_lookup(const struct prefixes *table, uint8_t version, const uint8_t *address, uint32_t scope,
                     uint32_t *value) {
    const struct prefix_lengths *lengths = &table->lengths[version == 6];
    struct key address_key = make_key(version, address, version == 6 ? 128 : 32, scope);
    for (int index = 0; index < lengths->many; index++) {
        struct key key = shortened(address_key, lengths->used[index]);
        const struct prefix_entry *entry = probe(table, &key);
        if (entry->used) {
            *value = entry->value;
            return true;
        }
    }
    return false;
}

void prefixes_remove_all(struct prefixes *table, bool by_scope, uint32_t wanted) {
    for (size_t at = 0; at < table->room;) {
        const struct prefix_entry *entry = &table->entries[at];
        if (entry->used && (by_scope ? entry->scope : entry->value) == wanted)
            clear_slot(table, at); /* another entry may have moved here: look again */
        else
            at++;
    }
}

/* Puts it under another scope; what is there already under that is replaced. */
static void move_slot(struct prefixes *table, size_t at, uint32_t scope) {
    struct prefix_entry moved = table->entries[at];
    struct key key = {moved.high, moved.low, scope, moved.version, moved.length};
    clear_slot(table, at);
    struct prefix_entry *entry = probe(table, &key);
    if (!entry->used) {
        table->many++;
        count_length(table, moved.version, moved.length, 1);
    }
    moved.scope = scope;
    *entry = moved;
}

void prefixes_move_all(struct prefixes *table, bool by_scope, uint32_t from, uint32_t to) {
    for (size_t at = 0; at < table->room;) {
        struct prefix_entry *entry = &table->entries[at];
        bool wanted = entry->used && (by_scope ? entry->scope : entry->value) == from;
        if (wanted && by_scope) {
            move_slot(table, at, to); /* another entry may have moved here: look again */
            continue;
        }
        if (wanted)
            entry->value = to;
        at++;
    }
}

void prefixes_free(struct prefixes *table) {
    free(table->entries);
    memset(table, 0, sizeof *table);
}

/* A table of IP prefixes with longest-prefix look-up; the C side of wire/routes.py, which is its reference.
 *
 * One hash table for all prefixes, and per address family the list of prefix lengths in use. A look-up
 * probes once per length in use, longest first: two or three probes in practice (/32, /128, a few subnet
 * lengths, /0), whatever the number of routes; a change touches one slot. A trie would look up in the
 * order of the address's bits instead, and need balancing or path compression to come near.
 *
 * `scope` is part of the key: look-ups in one scope do not see the others. */
#ifndef TOXVPN_PREFIXES_H
#define TOXVPN_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix_entry {
    uint64_t high, low; /* the network address as numbers; IPv4 in the upper half of `high` */
    uint32_t scope, value;
    uint8_t version, length;
    bool used;
};

struct prefix_lengths {
    uint32_t count[129]; /* entries of each length */
    uint8_t used[129];   /* the lengths that have any, longest first */
    int many;
};

struct prefixes {
    struct prefix_entry *entries;
    size_t room, many; /* room is a power of two or 0 */
    struct prefix_lengths lengths[2];
};

/* `version` is 4 or 6, `address` has 4 or 16 bytes; bits behind the prefix are ignored. */
bool prefixes_set(struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                  uint32_t scope, uint32_t value); /* false: out of memory */
bool prefixes_remove(struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                     uint32_t scope); /* false: it was not there */
/* The value of exactly this prefix. */
bool prefixes_get(const struct prefixes *table, uint8_t version, const uint8_t *address, uint8_t length,
                  uint32_t scope, uint32_t *value);
/* The value of the longest prefix that covers the address. */
bool prefixes_lookup(const struct prefixes *table, uint8_t version, const uint8_t *address, uint32_t scope,
                     uint32_t *value);
/* Removes every prefix with this value (`by_scope` false) or of this scope. */
void prefixes_remove_all(struct prefixes *table, bool by_scope, uint32_t wanted);
/* Gives every prefix with the value `from` (`by_scope` false) or of that scope the value or scope `to`. */
void prefixes_move_all(struct prefixes *table, bool by_scope, uint32_t from, uint32_t to);
void prefixes_free(struct prefixes *table);

#endif

/* A library calls the functions that it imports through entries that the loader filled in; a relocation
 * describes each entry and names the symbol. This reads the library's own relocations (ELF gABI, "Dynamic
 * Section"), finds the entries of a name and stores another address there. No other library of the process is
 * affected, and nothing depends on the inner structure of a libtoxcore version. */
#define _GNU_SOURCE
#include "importpatch.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The two relocations of an imported function's entry: reached through the PLT, or loaded directly. */
#if defined(__x86_64__)
enum { ENTRY_PLT = R_X86_64_JUMP_SLOT, ENTRY_DIRECT = R_X86_64_GLOB_DAT };
#elif defined(__aarch64__)
enum { ENTRY_PLT = R_AARCH64_JUMP_SLOT, ENTRY_DIRECT = R_AARCH64_GLOB_DAT };
#else
enum { ENTRY_PLT = -1, ENTRY_DIRECT = -1 }; /* nothing is found: no hooks are in force */
#endif

#define MAX_ENTRIES 64

struct object {
    const void *address; /* in: any address inside */
    bool found;
    ElfW(Addr) base;
    const ElfW(Phdr) *segments;
    int segment_count;
    const ElfW(Sym) *symbols;
    const char *strings;
    const ElfW(Rela) *relocations[2];
    size_t relocation_count[2];
    uintptr_t relro_start, relro_end; /* the pages that the loader made read-only */
};

struct entry {
    void **where;
    void *replacement;
};

static bool inside(const struct object *object, ElfW(Addr) address) {
    for (int i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        ElfW(Addr) start = object->base + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= start && address - start < segment->p_memsz)
            return true;
    }
    return false;
}

/* Some C libraries relocate the pointers of the dynamic section in place, others leave offsets. */
static const void *pointer(const struct object *object, ElfW(Addr) value) {
    return (const void *)(inside(object, value) ? value : object->base + value);
}

static void read_dynamic(struct object *object, const ElfW(Dyn) *item) {
    for (; item->d_tag != DT_NULL; item++) {
        const void *target = pointer(object, item->d_un.d_ptr);
        switch (item->d_tag) {
        case DT_SYMTAB: object->symbols = target; break;
        case DT_STRTAB: object->strings = target; break;
        case DT_JMPREL: object->relocations[0] = target; break;
        case DT_PLTRELSZ: object->relocation_count[0] = item->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: object->relocations[1] = target; break;
        case DT_RELASZ: object->relocation_count[1] = item->d_un.d_val / sizeof(ElfW(Rela)); break;
        }
    }
}

/* For dl_iterate_phdr(3): fills `context`, a struct object, when this is the library of its address. */
static int read_library(struct dl_phdr_info *info, size_t size, void *context) {
    struct object *object = context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    object->base = info->dlpi_addr;
    object->segments = info->dlpi_phdr;
    object->segment_count = info->dlpi_phnum;
    if (!inside(object, (ElfW(Addr))object->address))
        return 0;
    object->found = true;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_DYNAMIC)
            read_dynamic(object, (const void *)(object->base + segment->p_vaddr));
        if (segment->p_type == PT_GNU_RELRO) {
            object->relro_start = (object->base + segment->p_vaddr) & ~(page - 1);
            object->relro_end = (object->base + segment->p_vaddr + segment->p_memsz) & ~(page - 1);
        }
    }
    return 1;
}

/* Finds the entries of one import. Returns how many there are; 0 when the library does not import it. */
static size_t find_entries(const struct object *object, const struct import *import, struct entry *entries,
                           size_t room) {
    size_t found = 0;
    for (int table = 0; table < 2; table++) {
        const ElfW(Rela) *relocation = object->relocations[table];
        for (size_t i = 0; relocation && i < object->relocation_count[table]; i++, relocation++) {
            int type = (int)ELF64_R_TYPE(relocation->r_info);
            if (type != ENTRY_PLT && type != ENTRY_DIRECT)
                continue;
            const ElfW(Sym) *symbol = &object->symbols[ELF64_R_SYM(relocation->r_info)];
            if (strcmp(object->strings + symbol->st_name, import->name) != 0)
                continue;
            if (found < room)
                entries[found] =
                    (struct entry){(void **)(object->base + relocation->r_offset), import->replacement};
            found++;
        }
    }
    return found;
}

static bool protect(const struct object *object, const struct entry *entry, int protection) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)entry->where & ~(page - 1);
    if (start < object->relro_start || start >= object->relro_end)
        return true; /* it was never made read-only */
    return mprotect((void *)start, page, protection) == 0;
}

static const char *write_entries(const struct object *object, const struct entry *entries, size_t count) {
    bool writable = true;
    for (size_t i = 0; i < count && writable; i++)
        writable = protect(object, &entries[i], PROT_READ | PROT_WRITE);
    for (size_t i = 0; i < count && writable; i++)
        __atomic_store_n(entries[i].where, entries[i].replacement, __ATOMIC_RELEASE);
    for (size_t i = 0; i < count; i++)
        protect(object, &entries[i], PROT_READ);
    return writable ? NULL : "the system does not allow changing the library's import table";
}

const char *importpatch_apply(const void *address, const struct import *imports, size_t count) {
    struct object object = {.address = address};
    struct entry entries[MAX_ENTRIES];
    size_t total = 0;

    if (ENTRY_PLT == -1)
        return "this processor is not supported";
    dl_iterate_phdr(read_library, &object);
    if (!object.found || !object.symbols || !object.strings)
        return "libtoxcore was not found as a shared library";
    for (size_t i = 0; i < count; i++) {
        size_t found = find_entries(&object, &imports[i], entries + total, MAX_ENTRIES - total);
        if (found == 0)
            return "this libtoxcore does not import the functions to be replaced";
        total += found;
        if (total > MAX_ENTRIES)
            return "this libtoxcore imports the functions in more places than expected";
    }
    return write_entries(&object, entries, total);
}

void *importpatch_library(const void *address) {
    Dl_info info;
    return dladdr(address, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
}

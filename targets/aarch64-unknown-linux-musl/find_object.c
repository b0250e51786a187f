/*
 * _dl_find_object for musl.
 *
 * The unwinder of Debian's cross gcc (libgcc_eh) was configured for a glibc that has this function
 * and does not link without it. It maps a program counter to the loaded object around it and that
 * object's .eh_frame_hdr. glibc answers from a cache; this one walks the program headers, which for
 * a static binary is one object. Interface: glibc manual, "Dynamic Linker Introspection".
 */
#define _GNU_SOURCE
#include <link.h>
#include <stddef.h>
#include <stdint.h>

/* struct dl_find_object as glibc lays it out on a 64-bit machine, spare words included. */
struct found {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
    unsigned long long reserved[7];
};

struct question {
    uintptr_t address;
    struct found *answer;
};

/* Called once for each loaded object; 1 ends the walk: this object holds the address. */
static int look_in(struct dl_phdr_info *object, size_t size, void *data)
{
    struct question *question = data;
    const ElfW(Phdr) *segment = NULL, *frames = NULL;

    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + header->p_vaddr;

        if (header->p_type == PT_GNU_EH_FRAME)
            frames = header;
        else if (header->p_type == PT_LOAD && question->address >= start &&
                 question->address - start < header->p_memsz)
            segment = header;
    }
    if (segment == NULL || frames == NULL)
        return 0;

    *question->answer = (struct found){
        .map_start = (void *)(object->dlpi_addr + segment->p_vaddr),
        .map_end = (void *)(object->dlpi_addr + segment->p_vaddr + segment->p_memsz),
        .eh_frame = (void *)(object->dlpi_addr + frames->p_vaddr),
    };
    return 1;
}

int _dl_find_object(void *address, struct found *answer)
{
    struct question question = { (uintptr_t)address, answer };

    return dl_iterate_phdr(look_in, &question) == 1 ? 0 : -1;
}

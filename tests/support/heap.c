/* What a program has taken from the heap and not given back: preloaded (ld.so(8)), it keeps the number of pieces and of their
   bytes in the file $LICTOR_TEST_HEAP, each as 64 bits. The memory that the kernel sees has holes and spare room too. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What is behind the functions of those names (glibc). */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

struct counts {
    int64_t pieces;
    int64_t bytes;
};

/* Until the file is there. */
static struct counts before;
static struct counts *counts = &before;

__attribute__((constructor)) static void share(void)
{
    const char *path = getenv("LICTOR_TEST_HEAP");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *shared = mmap(NULL, sizeof before, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared == MAP_FAILED)
        return;
    counts = shared;
    *counts = before;
}

static void *taken(void *piece)
{
    if (piece) {
        __atomic_add_fetch(&counts->pieces, 1, __ATOMIC_RELAXED);
        __atomic_add_fetch(&counts->bytes, (int64_t)malloc_usable_size(piece), __ATOMIC_RELAXED);
    }
    return piece;
}

static void given_back(void *piece)
{
    if (piece) {
        __atomic_sub_fetch(&counts->pieces, 1, __ATOMIC_RELAXED);
        __atomic_sub_fetch(&counts->bytes, (int64_t)malloc_usable_size(piece), __ATOMIC_RELAXED);
    }
}

void *malloc(size_t size)
{
    return taken(__libc_malloc(size));
}

void *calloc(size_t number, size_t size)
{
    return taken(__libc_calloc(number, size));
}

void *realloc(void *piece, size_t size)
{
    given_back(piece);
    void *other = __libc_realloc(piece, size);
    /* Without room for another one the old one stays. */
    taken(other || size == 0 ? other : piece);
    return other;
}

void free(void *piece)
{
    given_back(piece);
    __libc_free(piece);
}

void *memalign(size_t alignment, size_t size)
{
    return taken(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **piece, size_t alignment, size_t size)
{
    *piece = memalign(alignment, size);
    return *piece ? 0 : ENOMEM;
}

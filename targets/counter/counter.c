/* Counts the instructions that a program executes in qemu's user mode, and writes the number to the
   file named by $LICTOR_COUNT when the program ends. A plugin of qemu's translator, API version 1
   (<https://www.qemu.org/docs/master/devel/tcg-plugins.html>); Debian has no header of it, so what
   is used stands here. The count is exact for one thread; lictor's second one sleeps. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
enum { INLINE_ADD_U64 };
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*)(uint64_t, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_atexit_cb(uint64_t id, void (*)(uint64_t, void *), void *);

int qemu_plugin_version = 1;

static uint64_t count;

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &count,
                                             qemu_plugin_tb_n_insns(block));
}

static void ended(uint64_t id, void *data)
{
    const char *path = getenv("LICTOR_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    (void)id;
    (void)data;
    if (file) {
        fprintf(file, "%" PRIu64 "\n", count);
        fclose(file);
    }
}

int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}

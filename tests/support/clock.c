/* A clock that is wrong: preloaded (ld.so(8)), it adds the seconds that stand in the file $LICTOR_TEST_CLOCK to the
   system's time; with $LICTOR_TEST_CLOCK_ALL set, to the clocks that never jump too, so that time itself is what passes. The
   file is read each time, so that a test can let the clock jump. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long (*system_call)(long, ...);

__attribute__((constructor)) static void find(void)
{
    system_call = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
}

static long long skew(void)
{
    char text[32] = {0};
    const char *path = getenv("LICTOR_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atoll(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (!system_call)
        find();
    int result = (int)system_call(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || getenv("LICTOR_TEST_CLOCK_ALL")))
        now->tv_sec += skew();
    return result;
}

/* Threads wait by the kernel's clock, until a time that they made with ours (futex(2)). */
long syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int at = 0; at < 6; at++)
        a[at] = va_arg(list, long);
    va_end(list);
    if (!system_call)
        find();
    const struct timespec *until = (const struct timespec *)a[3];
    if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && until && getenv("LICTOR_TEST_CLOCK_ALL")) {
        struct timespec then = *until;
        then.tv_sec -= skew();
        if (then.tv_sec < 0)
            then.tv_sec = 0;
        return system_call(number, a[0], a[1], a[2], &then, a[4], a[5]);
    }
    return system_call(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

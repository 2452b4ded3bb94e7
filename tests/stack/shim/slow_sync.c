/*
 * A disk whose syncs are slow: each fsync and fdatasync takes PORTCULLIS_SYNC_DELAY_MS longer.
 *
 * Preloaded by the durability tests and by the bench (Linux only). An answer that arrives earlier than the delay was
 * given before its write was on disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_first(void) {
    const char *text = getenv("PORTCULLIS_SYNC_DELAY_MS");
    long delay_ms = text ? strtol(text, NULL, 10) : 0;
    struct timespec delay = {delay_ms / 1000, (delay_ms % 1000) * 1000000L};
    if (delay_ms > 0) nanosleep(&delay, NULL);
}

int fsync(int fd) {
    static int (*next)(int);
    if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_first();
    return next(fd);
}

int fdatasync(int fd) {
    static int (*next)(int);
    if (!next) next = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_first();
    return next(fd);
}

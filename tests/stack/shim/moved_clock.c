/*
 * A wall clock that is moved while a program runs: the milliseconds in the file PORTCULLIS_CLOCK, eight bytes in the order of
 * the machine, are added to it at each look. The monotonic clock is left alone.
 *
 * Preloaded by the tests of moved clocks (Linux only).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_ms;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void) {
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("PORTCULLIS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *ahead_ms, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) ahead_ms = page;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    pthread_once(&once, begin);
    int failed = real_clock_gettime(clock, time);
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (failed || !is_wall || !ahead_ms) return failed;
    int64_t nanoseconds = time->tv_nsec + *ahead_ms % 1000 * 1000000;
    int64_t carry = nanoseconds < 0 ? -1 : nanoseconds / 1000000000;
    time->tv_sec += *ahead_ms / 1000 + carry;
    time->tv_nsec = nanoseconds - carry * 1000000000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec time;
    if (clock_gettime(CLOCK_REALTIME, &time)) return -1;
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/*
 * A power cut: at the PORTCULLIS_CRASH_AT-th write or sync of a file whose path has PORTCULLIS_CRASH_FILES in it, what
 * was written since each file's last sync is lost, all of it or a part chosen by PORTCULLIS_CRASH_SEED, and the process
 * ends by SIGKILL.
 *
 * Preloaded by the durability tests (Linux only). Each write is remembered with the bytes it replaced. A sync forgets
 * the writes of its file. At the crash every remembered write is undone, last first, and then the chosen ones are done
 * again in order: what a disk may do with a cache it never flushed. Creation and removal of files is not undone.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define PATH_BYTES 4096

struct change {
    struct change *previous;
    dev_t device;
    ino_t inode;
    char *path; /* not a descriptor: closing one would drop the process's POSIX locks on the file */
    off_t offset;
    size_t length;      /* of the new bytes; 0 for a truncation */
    off_t size_before;  /* of the file */
    off_t size_after;   /* only for a truncation */
    unsigned char *old_bytes;
    size_t old_length;
    unsigned char *new_bytes;
    int fd; /* at the crash only */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *changes; /* last first */
static long events;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static long crash_at;
static uint64_t seed;
static const char *wanted;

__attribute__((constructor)) static void start(void) {
    real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    const char *text = getenv("PORTCULLIS_CRASH_AT");
    crash_at = text ? strtol(text, NULL, 10) : 0;
    text = getenv("PORTCULLIS_CRASH_SEED");
    seed = text ? strtoull(text, NULL, 10) : 0;
    wanted = getenv("PORTCULLIS_CRASH_FILES");
}

static uint64_t random_next(void) { /* splitmix64 */
    uint64_t z = (seed += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* Whether `fd` is a file to lose writes of; its path goes to `path`. */
static int is_watched(int fd, char path[PATH_BYTES]) {
    char link[64];
    struct stat status;
    if (!wanted || crash_at <= 0 || fd < 3) return 0;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_BYTES - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    /* The -shm file is shared memory: SQLite rebuilds it and never syncs it. */
    size_t end = strlen(path);
    if (end > 4 && strcmp(path + end - 4, "-shm") == 0) return 0;
    return strstr(path, wanted) != NULL;
}

static void remember(int fd, const char *path, off_t offset, const void *bytes, size_t length, off_t truncated_to) {
    struct stat status;
    if (fstat(fd, &status) != 0) return;
    struct change *change = calloc(1, sizeof *change);
    change->device = status.st_dev;
    change->inode = status.st_ino;
    change->path = strdup(path);
    change->offset = offset;
    change->length = length;
    change->size_before = status.st_size;
    change->size_after = truncated_to;
    size_t replaced = length;
    if (length == 0 && truncated_to < status.st_size) { /* a truncation loses its tail */
        change->offset = truncated_to;
        replaced = (size_t)(status.st_size - truncated_to);
    }
    if (replaced > 0 && change->offset < status.st_size) {
        change->old_bytes = malloc(replaced);
        ssize_t got = pread(fd, change->old_bytes, replaced, change->offset);
        change->old_length = got > 0 ? (size_t)got : 0;
    }
    if (length > 0) {
        change->new_bytes = malloc(length);
        memcpy(change->new_bytes, bytes, length);
    }
    change->previous = changes;
    changes = change;
}

static void drop(struct change *change) {
    free(change->path);
    free(change->old_bytes);
    free(change->new_bytes);
    free(change);
}

static void forget(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0) return;
    struct change **place = &changes;
    while (*place) {
        struct change *change = *place;
        if (change->device == status.st_dev && change->inode == status.st_ino) {
            *place = change->previous;
            drop(change);
        } else {
            place = &change->previous;
        }
    }
}

/* Whether every thread of `victim` has stopped. */
static int is_frozen(pid_t victim) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/task", (int)victim);
    DIR *tasks = opendir(path);
    if (!tasks) return 1;
    int frozen = 1;
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", (int)victim, task->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        if (length <= 0) continue;
        text[length] = 0;
        char *state = strrchr(text, ')');
        if (state && state[2] != 'T' && state[2] != 'Z' && state[2] != 'X') frozen = 0;
    }
    closedir(tasks);
    return frozen;
}

/*
 * A power cut stops every thread at the same moment: a copy of the process freezes the original, takes the writes back,
 * and ends it. Otherwise the original would read, and answer from, a file that is being taken back.
 */
static void crash(void) {
    pid_t victim = getpid();
    if (fork() != 0)
        for (;;) pause();
    for (int fd = 0; fd < 4096; fd++) close(fd);
    kill(victim, SIGSTOP);
    while (!is_frozen(victim)) usleep(100);
    size_t count = 0;
    for (struct change *change = changes; change; change = change->previous) count++;
    struct change **all = calloc(count + 1, sizeof *all);
    size_t index = count;
    for (struct change *change = changes; change; change = change->previous) all[--index] = change;
    for (size_t i = count; i-- > 0;) {
        struct change *change = all[i];
        change->fd = open(change->path, O_RDWR);
        if (change->old_length > 0) real_pwrite(change->fd, change->old_bytes, change->old_length, change->offset);
        real_ftruncate(change->fd, change->size_before);
    }
    /* A third of the crashes lose everything, the others about half of the writes. */
    int lose_all = random_next() % 3 == 0;
    for (size_t i = 0; i < count && !lose_all; i++) {
        struct change *change = all[i];
        if (random_next() % 2 == 0) continue;
        if (change->length > 0) real_pwrite(change->fd, change->new_bytes, change->length, change->offset);
        else real_ftruncate(change->fd, change->size_after);
    }
    kill(victim, SIGKILL);
    _exit(0);
}

/* One more write or sync; the lock is held. */
static void count_event(void) {
    if (++events == crash_at) crash();
}

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[PATH_BYTES];
    if (!is_watched(fd, path)) return real_write(fd, bytes, length);
    pthread_mutex_lock(&lock);
    count_event();
    remember(fd, path, lseek(fd, 0, SEEK_CUR), bytes, length, 0);
    ssize_t written = real_write(fd, bytes, length);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    char path[PATH_BYTES];
    if (!is_watched(fd, path)) return real_pwrite(fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    count_event();
    remember(fd, path, offset, bytes, length, 0);
    ssize_t written = real_pwrite(fd, bytes, length, offset);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

int ftruncate64(int fd, off_t size) {
    char path[PATH_BYTES];
    if (!is_watched(fd, path)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    count_event();
    remember(fd, path, 0, NULL, 0, size);
    int result = real_ftruncate(fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int sync_with(int fd, int (*real)(int)) {
    char path[PATH_BYTES];
    if (!is_watched(fd, path)) return real(fd);
    pthread_mutex_lock(&lock);
    count_event();
    int result = real(fd);
    if (result == 0) forget(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_with(fd, real_fsync); }

int fdatasync(int fd) { return sync_with(fd, real_fdatasync); }

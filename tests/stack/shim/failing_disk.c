/*
 * A disk that fails: what is written below PORTCULLIS_DISK meets the fault that the file PORTCULLIS_DISK_FAULT names.
 *
 * Preloaded by the tests of disk faults (Linux only), into the server and into every command beside it. The file is
 * mapped, so that the test changes the fault while the process runs, and sees how often it was met. A write that fails
 * leaves the first half of its bytes behind, as a disk may that is full or broken in the middle of it. A sync that fails
 * writes nothing out, and says so once, as Linux does. Of a read-only disk, descriptors that were opened before fail too:
 * that is how a file system is after an error made it read-only. The last fault is none of the disk: the process is killed
 * before the operation.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 4096

enum fault { WELL, FULL, WRITE_FAILS, SYNC_FAILS, READ_ONLY, SLOW, KILLS };

/* As `tests/stack/tests/disk/faults.rs` writes it. */
struct control {
    volatile uint32_t fault;
    volatile uint32_t delay_ms; /* of each sync of a slow disk */
    volatile int64_t spared;    /* so many operations go well before the fault begins */
    volatile uint64_t met;      /* how many met it */
};

static struct control *control;
static char disk[PATH_BYTES];

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void start(void) {
    const char *named = getenv("PORTCULLIS_DISK_FAULT");
    const char *folder = getenv("PORTCULLIS_DISK");
    if (!named || !folder || !realpath(folder, disk)) return;
    int fd = open(named, O_RDWR);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_below(const char *path) {
    size_t length = strlen(disk);
    return length > 0 && strncmp(path, disk, length) == 0;
}

static int is_ours(int fd) {
    char link[64], path[PATH_BYTES];
    struct stat status;
    if (!control || control->fault == WELL || fstat(fd, &status) != 0) return 0;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_BYTES - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_our_path(int folder, const char *path) {
    char real[PATH_BYTES], link[64];
    if (!control || control->fault == WELL || !path) return 0;
    if (path[0] == '/') return is_below(path);
    if (folder == AT_FDCWD) return getcwd(real, sizeof real) && is_below(real);
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, real, sizeof real - 1);
    if (length <= 0) return 0;
    real[length] = 0;
    return is_below(real);
}

/* Counts one more that met the fault; false for those that are spared. */
static int meets(void) {
    if (control->spared > 0 && __sync_fetch_and_sub(&control->spared, 1) > 0) return 0;
    __sync_fetch_and_add(&control->met, 1);
    if (control->fault == KILLS) kill(getpid(), SIGKILL);
    return 1;
}

/* What a write meets: an error number, or 0. */
static int write_error(int fd) {
    if (!is_ours(fd)) return 0;
    int error = control->fault == FULL          ? ENOSPC
                : control->fault == WRITE_FAILS ? EIO
                : control->fault == READ_ONLY   ? EROFS
                : control->fault == KILLS       ? EINTR
                                                : 0;
    return error && meets() ? error : 0;
}

static int fail(int error) {
    errno = error;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int error = write_error(fd);
    if (!error) return real(fd, bytes, length);
    if (error != EROFS) real(fd, bytes, length / 2);
    return fail(error);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    int error = write_error(fd);
    return error ? fail(error) : real(fd, parts, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    int error = write_error(fd);
    if (!error) return real(fd, bytes, length, offset);
    if (error != EROFS) real(fd, bytes, length / 2, offset);
    return fail(error);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t copy_file_range(int from, off_t *from_at, int to, off_t *to_at, size_t length, unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off_t *, int, off_t *, size_t, unsigned);
    int error = write_error(to);
    return error ? fail(error) : real(from, from_at, to, to_at, length, flags);
}

int ftruncate64(int fd, off_t size) {
    REAL(int, "ftruncate64", int, off_t);
    struct stat status;
    /* A full disk has room for less. */
    if (control && control->fault == FULL && fstat(fd, &status) == 0 && size <= status.st_size) return real(fd, size);
    int error = write_error(fd);
    return error ? fail(error) : real(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Whether a sync fails; a slow one waits first. */
static int sync_error(int fd) {
    if (!is_ours(fd)) return 0;
    if (control->fault == SYNC_FAILS && meets()) return EIO;
    if (control->fault == KILLS) meets();
    if (control->fault == SLOW && meets()) {
        struct timespec delay = {control->delay_ms / 1000, (control->delay_ms % 1000) * 1000000L};
        nanosleep(&delay, NULL);
    }
    return 0;
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    int error = sync_error(fd);
    return error ? fail(error) : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    int error = sync_error(fd);
    return error ? fail(error) : real(fd);
}

static int is_read_only(int folder, const char *path) {
    return is_our_path(folder, path) && (control->fault == READ_ONLY || control->fault == KILLS) && meets();
}

static int opens_to_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)); }

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int openat64(int folder, const char *path, int flags, ...) {
    REAL(int, "openat64", int, const char *, int, ...);
    MODE(flags)
    /* What is there is told first, as the kernel does. */
    int is_new_only = (flags & O_CREAT) && (flags & O_EXCL);
    if (is_new_only && is_our_path(folder, path) && faccessat(folder, path, F_OK, 0) == 0) return fail(EEXIST);
    if (opens_to_write(flags) && is_read_only(folder, path)) return fail(EROFS);
    return real(folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return openat64(folder, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return openat64(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...) {
    MODE(flags)
    return openat64(AT_FDCWD, path, flags, mode);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    if (access(path, F_OK) == 0) return fail(EEXIST);
    return is_read_only(AT_FDCWD, path) ? fail(EROFS) : real(path, mode);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    return is_read_only(AT_FDCWD, to) ? fail(EROFS) : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    return is_read_only(to_folder, to) ? fail(EROFS) : real(from_folder, from, to_folder, to, flags);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    return is_read_only(AT_FDCWD, path) ? fail(EROFS) : real(path);
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    return is_read_only(folder, path) ? fail(EROFS) : real(folder, path, flags);
}

int rmdir(const char *path) {
    REAL(int, "rmdir", const char *);
    return is_read_only(AT_FDCWD, path) ? fail(EROFS) : real(path);
}

/* Faults, preloaded before the C library. From the n-th write below one folder on the disk refuses,
 * as a full or a read-only one does; or the process gets a signal at it; or no file below the folder
 * opens from the n-th on, to be read or written; or the clock is a day early from the n-th look on.
 * fault_from(0, ...) is no fault at all; calls_seen(kind) counts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { WRITES, OPENS, LOOKS };
static enum kind counted = WRITES;
static long first = 0, seen[3];
static int fault = 0; /* an errno, or a signal with a minus */
static char below[PATH_MAX] = "";

void fault_from(long n, const char *folder, int number, int kind) {
    first = n;
    memset(seen, 0, sizeof seen);
    fault = number;
    counted = kind;
    snprintf(below, sizeof below, "%s", folder);
}

long calls_seen(int kind) { return seen[kind]; }

static int refused(const char *path, enum kind kind) {
    if (!below[0] || !path || strncmp(path, below, strlen(below)) != 0) return 0;
    seen[kind]++;
    if (kind != counted || !first || seen[kind] < first) return 0;
    if (fault < 0) {
        if (seen[kind] == first) kill(getpid(), -fault);
        return 0;
    }
    errno = fault;
    return 1;
}

static int refused_descriptor(int descriptor) {
    if (!below[0]) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return refused(path, WRITES);
}

#define REAL(name)                            \
    static __typeof__(&name) real;            \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    return refused_descriptor(fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    return refused_descriptor(fd) ? -1 : real(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return refused_descriptor(fd) ? -1 : real(fd, parts, count);
}
int fsync(int fd) {
    REAL(fsync);
    return refused_descriptor(fd) ? -1 : real(fd);
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    return refused_descriptor(fd) ? -1 : real(fd, size);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return refused(path, WRITES) ? -1 : real(path, mode);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return refused(to, WRITES) ? -1 : real(from, to);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    if (((flags & O_CREAT) && refused(path, WRITES)) || refused(path, OPENS)) return -1;
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    return real(path, flags, mode);
}
#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened("open64", path, flags, mode); }
FILE *fopen64(const char *path, const char *how) {
    REAL(fopen64);
    int writes = strpbrk(how, "wa+") && refused(path, WRITES);
    return writes || refused(path, OPENS) ? NULL : real(path, how);
}
FILE *fopen(const char *path, const char *how) {
    REAL(fopen);
    int writes = strpbrk(how, "wa+") && refused(path, WRITES);
    return writes || refused(path, OPENS) ? NULL : real(path, how);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME && ++seen[LOOKS] >= first && first && counted == LOOKS) now->tv_sec -= 86400;
    return code;
}

/* A disk that is full from the n-th write on: preloaded before the C library, it refuses what would
 * put anything below one folder. full_from(0, ...) is a disk with room; writes_seen() counts. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long first_refused = 0, seen = 0;
static char below[PATH_MAX] = "";

void full_from(long n, const char *folder) {
    first_refused = n;
    seen = 0;
    snprintf(below, sizeof below, "%s", folder);
}

long writes_seen(void) { return seen; }

static int refused(const char *path) {
    if (!below[0] || !path || strncmp(path, below, strlen(below)) != 0) return 0;
    seen++;
    if (!first_refused || seen < first_refused) return 0;
    errno = ENOSPC;
    return 1;
}

static int refused_descriptor(int descriptor) {
    if (!below[0]) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return refused(path);
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
    return refused(path) ? -1 : real(path, mode);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return refused(to) ? -1 : real(from, to);
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && refused(path)) return -1;
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    return real(path, flags, mode);
}
#define MODE(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return opened("open", path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return opened("open64", path, flags, mode); }
FILE *fopen64(const char *path, const char *how) {
    REAL(fopen64);
    return strpbrk(how, "wa+") && refused(path) ? NULL : real(path, how);
}
FILE *fopen(const char *path, const char *how) {
    REAL(fopen);
    return strpbrk(how, "wa+") && refused(path) ? NULL : real(path, how);
}

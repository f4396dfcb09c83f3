/* A disk that is full from a chosen call on, below a chosen folder: for LD_PRELOAD, driven by full_from().
   Counts what needs room: making a file, writing, syncing, renaming. Deleting always works, as on a full disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
static long seen, full = -1;
static int number = ENOSPC;

void full_from(const char *below, long call, int error) {
  strncpy(folder, below, sizeof folder - 1);
  seen = 0, full = call, number = error;
}
long full_seen(void) { return seen; }

static int refused(const char *path) {
  if (!folder[0] || strncmp(path, folder, strlen(folder)) != 0) return 0;
  long call = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
  if (full < 0 || call < full) return 0;
  errno = number;
  return 1;
}
static int refused_fd(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return refused(path);
}
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                            \
  int name(const char *path, int flags, ...) {                \
    va_list list;                                             \
    va_start(list, flags);                                    \
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;       \
    va_end(list);                                             \
    if ((flags & O_CREAT) && refused(path)) return -1;        \
    return REAL(name)(path, flags, mode);                     \
  }
OPEN(open)
OPEN(open64)
ssize_t write(int fd, const void *data, size_t size) { return refused_fd(fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec *data, int n) { return refused_fd(fd) ? -1 : REAL(writev)(fd, data, n); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return refused_fd(fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
int fsync(int fd) { return refused_fd(fd) ? -1 : REAL(fsync)(fd); }
int rename(const char *from, const char *to) { return refused(to) ? -1 : REAL(rename)(from, to); }

/* Counts the calls of a process that change files, and has one of them fail, be cut short, or be the last.
   Loaded with LD_PRELOAD; armed by fault_arm(number, error, is_short) for this thread only, through ctypes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static __thread int armed, failing, is_short, counted;
static __thread int error_number;

void fault_arm(int number, int error, int cut) {
    failing = number;
    error_number = error;
    is_short = cut;
    counted = 0;
    armed = 1;
}

int fault_disarm(void) {
    armed = 0;
    return counted;
}

/* 0: go on; 1: fail; 2: do half of it. */
static int fault(void) {
    if (!armed || ++counted != failing) return 0;
    if (is_short) return 2;
    if (error_number == 0) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = error_number;
    return 1;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(name, parameters, arguments)                                   \
    int name parameters {                                                   \
        return fault() == 1 ? -1 : REAL(name) arguments;                    \
    }
WRAP(rename, (const char *from, const char *to), (from, to))
WRAP(unlink, (const char *path), (path))
WRAP(fsync, (int file), (file))
WRAP(fdatasync, (int file), (file))
WRAP(mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(ftruncate, (int file, off_t size), (file, size))
WRAP(ftruncate64, (int file, off64_t size), (file, size))

#define WRAP_WRITE(name, offset_type)                                                       \
    ssize_t name(int file, const void *bytes, size_t size, offset_type offset) {            \
        int what = fault();                                                                 \
        return what == 1 ? -1 : REAL(name)(file, bytes, what == 2 ? size / 2 : size, offset); \
    }
WRAP_WRITE(pwrite, off_t)
WRAP_WRITE(pwrite64, off64_t)

ssize_t write(int file, const void *bytes, size_t size) {
    int what = fault();
    return what == 1 ? -1 : REAL(write)(file, bytes, what == 2 && size > 1 ? size / 2 : size);
}

#define WRAP_OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                            \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = va_arg(rest, mode_t);                                 \
        va_end(rest);                                                       \
        if ((flags & O_ACCMODE) != O_RDONLY && fault() == 1) return -1;     \
        return REAL(name)(path, flags, mode);                               \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)

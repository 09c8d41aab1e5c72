/* A disk that misbehaves on demand, for programs that it is preloaded to: while the file that CHANCERY_TEST_STALL names
 * is there, a sync waits; while that of CHANCERY_TEST_READ_ONLY is there, the file system is read-only, which a real one
 * becomes by itself after an error (nobody can remount one on which files are open for writing); and one sync fails,
 * with the error number that is in the file of CHANCERY_TEST_SYNC, which is removed then. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int there(const char *variable) {
    const char *file = getenv(variable);
    return file != NULL && access(file, F_OK) == 0;
}

static int refused(void) {
    if (!there("CHANCERY_TEST_READ_ONLY")) return 0;
    errno = EROFS;
    return 1;
}

static void stall(void) {
    while (there("CHANCERY_TEST_STALL")) usleep(20 * 1000);
}

static int failed(void) {
    const char *file = getenv("CHANCERY_TEST_SYNC");
    char number[8] = {0};
    int open_file = file == NULL ? -1 : open(file, O_RDONLY | O_CLOEXEC);
    if (open_file < 0) return 0;
    ssize_t length = read(open_file, number, sizeof number - 1);
    close(open_file);
    if (length <= 0 || unlink(file) != 0) return 0;
    errno = atoi(number);
    return 1;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fdatasync(int file) {
    NEXT(fdatasync);
    stall();
    return failed() ? -1 : next(file);
}

int fsync(int file) {
    NEXT(fsync);
    stall();
    return failed() ? -1 : next(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    NEXT(pwrite64);
    return refused() ? -1 : next(file, bytes, count, offset);
}

int ftruncate64(int file, off64_t length) {
    NEXT(ftruncate64);
    return refused() ? -1 : next(file, length);
}

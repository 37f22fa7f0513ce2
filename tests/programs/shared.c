/* Mappings that share pages with files, and files without names. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* linux/memfd.h, linux/fcntl.h: an older libc comes without */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static sigjmp_buf back;
static volatile int code;
static volatile char *volatile address;

static void jumping(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)context;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(back, 1);
}

/* Whether a read, or a write, is a bus error of "no such address" at that address. */
static int bus(volatile char *at, int write) {
    if (sigsetjmp(back, 1) == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
        return 0;
    }
    return code == BUS_ADRERR && address == at;
}

static char *map(int fd, size_t length, int protection, int flags, off_t offset) {
    return mmap(0, length, protection, flags, fd, offset);
}

int main(int argc, char **argv) {
    const int rw = PROT_READ | PROT_WRITE;
    struct sigaction action = {.sa_sigaction = jumping, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, 0);
    char name[] = "/tmp/sharedXXXXXX", bytes[16] = "";
    int fd = mkstemp(name);
    say("file", fd >= 0 && ftruncate(fd, 10000) == 0);

    char *one = map(fd, 12288, rw, MAP_SHARED, 0), *two = map(fd, 12288, rw, MAP_SHARED, 0);
    say("two views", one != MAP_FAILED && two != MAP_FAILED && one != two);
    strcpy(one + 5000, "through memory");
    say("seen in the other view", !strcmp(two + 5000, "through memory"));
    say("seen by read", pread(fd, bytes, 15, 5000) == 15 && !strcmp(bytes, "through memory"));
    say("written by write", pwrite(fd, "through write", 14, 100) == 14 && !strcmp(one + 100, "through write") && !strcmp(two + 100, "through write"));
    say("a hole is zeroes", one[9000] == 0 && two[9000] == 0);
    say("read-only view", !strcmp(map(fd, 4096, PROT_READ, MAP_SHARED, 0) + 100, "through write"));
    char *at_offset = map(fd, 4096, rw, MAP_SHARED, 4096);
    at_offset[4] = 'X';
    say("a view from an offset", one[4100] == 'X');

    char *private = map(fd, 12288, rw, MAP_PRIVATE, 0);
    say("a private view starts the same", !strcmp(private + 100, "through write") && !strcmp(private + 5000, "through memory"));
    strcpy(private + 100, "mine");
    say("and is not shared", !strcmp(one + 100, "through write") && !strcmp(private + 100, "mine"));
    strcpy(one + 100, "theirs");
    say("nor changed by others", !strcmp(private + 100, "mine"));

    say("msync", msync(one, 12288, MS_SYNC) == 0 && msync(one, 4096, MS_ASYNC) == 0);
    say("msync of nothing", msync(one, 4096, MS_SYNC | MS_ASYNC) == -1 && errno == EINVAL && msync(one + 1, 4096, MS_SYNC) == -1 && errno == EINVAL);
    say("mprotect takes the right to write", mprotect(two, 4096, PROT_READ) == 0 && mprotect(two, 4096, rw) == 0 && (two[0] = 'Z') && one[0] == 'Z');
    say("MADV_DONTNEED keeps what is in the file", madvise(one, 12288, MADV_DONTNEED) == 0 && one[0] == 'Z' && !strcmp(one + 5000, "through memory"));

    say("rest of the last page", one[10100] == 0);
    say("behind the end after shrinking", ftruncate(fd, 4000) == 0 && bus(one + 4096, 0) && bus(two + 8192, 1) && bus(private + 4096, 0));
    say("the page with the end", one[0] == 'Z' && one[4050] == 0);
    say("growing gives zeroes", ftruncate(fd, 12288) == 0 && one[5000] == 0 && private[5000] == 0);
    one[8192] = 'Q';
    say("and pages to write to", pread(fd, bytes, 1, 8192) == 1 && bytes[0] == 'Q');
    char *moved = mremap(two, 12288, 12288 * 4, MREMAP_MAYMOVE);
    say("mremap", moved != MAP_FAILED && moved[8192] == 'Q' && (moved[1] = 'R') && one[1] == 'R' && bus(moved + 12288, 0));
    say("into the kernel behind the end", write(1, moved + 12288, 1) == -1 && errno == EFAULT);

    int empty = open(name, O_RDWR | O_TRUNC);
    say("O_TRUNC", empty >= 0 && bus(one, 0));
    say("writing makes pages again", pwrite(empty, "new", 4, 0) == 4 && !strcmp(one, "new"));
    say("the file goes, the mapping stays", close(fd) == 0 && close(empty) == 0 && unlink(name) == 0 && !strcmp(one, "new") && (one[0] = 'N'));
    say("until it is unmapped", munmap(one, 12288) == 0 && munmap(moved, 12288 * 4) == 0 && munmap(private, 12288) == 0 && munmap(at_offset, 4096) == 0);

    fd = open(name, O_RDWR | O_CREAT, 0600);
    int reading = open(name, O_RDONLY);
    say("shared writing needs a file open for it", map(reading, 4096, rw, MAP_SHARED, 0) == MAP_FAILED && errno == EACCES);
    say("an empty file", bus(map(fd, 4096, PROT_READ, MAP_SHARED, 0), 0) && bus(map(fd, 4096, PROT_READ, MAP_PRIVATE, 0), 0));
    say("written a page at a time", ftruncate(fd, 1 << 20) == 0);
    char *large = map(fd, 1 << 20, rw, MAP_SHARED, 0);
    for (int i = 0; i < 256; i++)
        large[i * 4096] = i;
    int sum = 0;
    for (int i = 0; i < 256; i++)
        sum += pread(fd, bytes, 1, i * 4096) == 1 && (unsigned char)bytes[0] == i;
    say("all arrive", sum == 256);
    unlink(name);

    /* The program itself: of the image, or a file of the host. */
    int self = open(argc > 0 ? argv[0] : "", O_RDONLY);
    struct stat stat;
    fstat(self, &stat);
    size_t whole = (stat.st_size + 4095) & ~4095;
    char *mapped = map(self, whole + 4096, PROT_READ, MAP_PRIVATE, 0);
    say("a program is an ELF", self >= 0 && !memcmp(mapped, "\177ELF", 4));
    say("behind its end", bus(mapped + whole, 0));

    int memory = memfd_create("a name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char link[64] = "", path[32];
    sprintf(path, "/proc/self/fd/%d", memory);
    say("memfd", memory >= 0 && fcntl(memory, F_GETFD) == FD_CLOEXEC && readlink(path, link, 63) > 0 && !strcmp(link, "/memfd:a name (deleted)"));
    say("of no links", fstat(memory, &stat) == 0 && stat.st_nlink == 0 && stat.st_size == 0 && S_ISREG(stat.st_mode));
    say("grown and mapped", ftruncate(memory, 8192) == 0 && (one = map(memory, 8192, rw, MAP_SHARED, 0)) != MAP_FAILED && (one[4096] = 'M') && pread(memory, bytes, 1, 4096) == 1 && bytes[0] == 'M');
    say("no seals yet", fcntl(memory, F_GET_SEALS) == 0);
    say("sealed sizes", fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 && ftruncate(memory, 4096) == -1 && errno == EPERM && ftruncate(memory, 16384) == -1 && errno == EPERM && ftruncate(memory, 8192) == 0 && pwrite(memory, "xx", 2, 8191) == 1 && pwrite(memory, "x", 1, 8192) == -1 && errno == EPERM);
    say("no seal on writing while it is mapped", fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EBUSY);
    say("once it is not", munmap(one, 8192) == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE) == 0 && write(memory, "x", 1) == -1 && errno == EPERM && map(memory, 4096, rw, MAP_SHARED, 0) == MAP_FAILED && errno == EPERM);
    say("it can be read", (one = map(memory, 8192, PROT_READ, MAP_SHARED, 0)) != MAP_FAILED && one[4096] == 'M');
    say("the last seal", fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL) == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == -1 && errno == EPERM);
    say("seals are asked for", fcntl(memfd_create("x", 0), F_GET_SEALS) == F_SEAL_SEAL);
    say("flags", memfd_create("x", 0x8000) == -1 && errno == EINVAL);
    say("seals of a pipe", pipe((int[2]){0, 0}) == 0 && fcntl(1, F_ADD_SEALS, 0) == -1 && errno == EINVAL);
    printf("the end\n");
    return 0;
}

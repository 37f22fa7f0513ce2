/* Memory mappings in every way that a program meets them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static sigjmp_buf back;
static void jumping(int signal) {
    (void)signal;
    siglongjmp(back, 1);
}
static int faults(volatile char *at) {
    if (sigsetjmp(back, 1))
        return 1;
    *at = *at;
    return 0;
}

static char *map(size_t length, int protection, int flags) {
    return mmap(0, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static unsigned long free_memory(void) {
    struct sysinfo info;
    sysinfo(&info);
    return info.freeram;
}

int main(void) {
    const size_t page = 4096, mib = 1 << 20, gib = 1 << 30;
    signal(SIGSEGV, jumping);
    char *a = map(4 * page, PROT_READ | PROT_WRITE, 0);
    memset(a, 'a', 4 * page);
    munmap(a + page, page);
    say("a hole", faults(a + page) && !faults(a) && !faults(a + 2 * page));
    munmap(a, 4 * page);

    a = map(3 * page, PROT_READ | PROT_WRITE, 0);
    strcpy(a, "first");
    strcpy(a + 2 * page, "third");
    char *b = mremap(a, 3 * page, 100 * page, MREMAP_MAYMOVE);
    say("mremap grows", b != MAP_FAILED && !strcmp(b, "first") && !strcmp(b + 2 * page, "third") && b[99 * page] == 0);
    say("where it was is free", b == a || faults(a));
    char *c = mremap(b, 100 * page, page, 0);
    say("mremap shrinks", c == b && !strcmp(c, "first") && faults(c + page));
    char *place = map(8 * page, PROT_NONE, 0);
    c = mremap(b, page, 2 * page, MREMAP_MAYMOVE | MREMAP_FIXED, place + 4 * page);
    say("mremap to a place", c == place + 4 * page && !strcmp(c, "first") && faults(b));
    char *kept = mremap(c, 2 * page, 2 * page, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    say("mremap leaves it mapped", kept != MAP_FAILED && !strcmp(kept, "first") && !faults(c) && *c == 0);
    say("mremap in the way", mremap(place, page, 2 * page, 0) == MAP_FAILED && errno == ENOMEM);
    say("mremap of nothing", mremap((void *)0x10000000, page, 2 * page, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
    say("mremap onto itself", mremap(kept, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, kept) == MAP_FAILED && errno == EINVAL);

    char *shared = mmap(0, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    say("shared and anonymous", shared != MAP_FAILED && (*shared = 7) == 7);
    a = map(4 * page, PROT_READ | PROT_WRITE, 0);
    unsigned char there[4];
    a[page] = 1;
    say("mincore", mincore(a, 4 * page, there) == 0 && !(there[0] & 1) && there[1] & 1 && !(there[2] & 1));
    say("mincore of a hole", mincore((void *)0x10000000, page, there) == -1 && errno == ENOMEM);
    say("mlock", mlock(a, 4 * page) == 0 && mincore(a, 4 * page, there) == 0 && there[0] & there[3] & 1 && munlock(a, 4 * page) == 0);
    say("msync", msync(a, page, MS_SYNC) == 0 && msync(a + 1, page, MS_SYNC) == -1 && errno == EINVAL);
    char *populated = map(4 * page, PROT_READ | PROT_WRITE, MAP_POPULATE);
    say("MAP_POPULATE", mincore(populated, 4 * page, there) == 0 && there[0] & there[3] & 1);
    memset(a, 9, 4 * page);
    say("madvise", madvise(a, 2 * page, MADV_DONTNEED) == 0 && a[0] == 0 && a[2 * page] == 9 && madvise(a, page, 4711) == -1 && errno == EINVAL);
    mprotect(a, page, PROT_NONE);
    say("PROT_NONE", faults(a));
    mprotect(a, page, PROT_READ | PROT_WRITE);
    say("and back", !faults(a) && *a == 0);
    say("MAP_FIXED_NOREPLACE", mmap(a, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    say("bad arguments", map(0, PROT_READ, 0) == MAP_FAILED && errno == EINVAL && mmap(0, page, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL && munmap(a + 1, page) == -1 && errno == EINVAL);
    say("beyond the end", mmap((void *)(1UL << 47), page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);

    char *huge = map(1024 * gib, PROT_NONE, MAP_NORESERVE);
    say("a TiB reserved", huge != MAP_FAILED);
    say("a part of it used", mprotect(huge + 512 * gib, 16 * page, PROT_READ | PROT_WRITE) == 0 && (huge[512 * gib] = 3) == 3);
    say("given back", munmap(huge, 1024 * gib) == 0);
    say("a TiB to write to", map(1024 * gib, PROT_READ | PROT_WRITE, 0) == MAP_FAILED && errno == ENOMEM);
    errno = 0;
    say("malloc of as much", malloc(1024 * gib) == 0 && errno == ENOMEM);

    /* What was given back can be used again, page tables too. */
    unsigned long before = free_memory();
    for (int i = 0; i < 300; i++) {
        char *far = mmap((void *)(0x100000000000 + i * gib), page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        *far = 1;
        munmap(far, page);
    }
    unsigned long after = free_memory();
    say("page tables are freed", before < after + mib);
    int many = 1;
    for (int i = 0; i < 64; i++) {
        char *m = map(8 * mib, PROT_READ | PROT_WRITE, 0);
        many &= m != MAP_FAILED;
        memset(m, i, 8 * mib);
        munmap(m, 8 * mib);
    }
    say("more than there is, one after the other", many);

    FILE *file = fopen("/tmp/mapped", "w");
    if (file) {
        fputs("contents of a file", file);
        fclose(file);
        int fd = open("/tmp/mapped", O_RDONLY);
        char *m = mmap(0, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        say("a file's copy", m != MAP_FAILED && !strcmp(m, "contents of a file") && (*m = 'C') == 'C');
        char *r = mmap(0, page, PROT_READ, MAP_SHARED, fd, 0);
        say("shared to read", r != MAP_FAILED && !strcmp(r, "contents of a file"));
        say("shared to write needs the right", mmap(0, page, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
        close(fd);
    }

    /* A file's own pages: whoever maps them, reads or writes sees the same bytes. */
    int fd = open("/tmp/shared", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ftruncate(fd, 2 * page + 100);
    char *one = mmap(0, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *two = mmap(0, page, PROT_READ, MAP_SHARED, fd, page);
    char *copy = mmap(0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    say("a writable file is mapped", one != MAP_FAILED && two != MAP_FAILED && copy != MAP_FAILED);
    char byte = 0;
    one[page + 5] = 'x';
    say("mapped and written, then read", pread(fd, &byte, 1, page + 5) == 1 && byte == 'x' && two[5] == 'x' && copy[page + 5] == 'x');
    pwrite(fd, "y", 1, page + 6);
    say("written, then seen mapped", one[page + 6] == 'y' && two[6] == 'y');
    copy[page + 7] = 'z';
    say("a private write stays private", one[page + 7] == 0 && pread(fd, &byte, 1, page + 7) == 1 && byte == 0);
    signal(SIGBUS, jumping);
    say("the page of the end, and no further", !faults(one + 2 * page + 200) && faults(one + 3 * page - 1) == 0);
    ftruncate(fd, page);
    say("cut off", faults(one + page) && faults(two) && faults(copy + page) && !faults(one));
    ftruncate(fd, 2 * page);
    say("grown again, with zeroes", !faults(one + page) && one[page + 5] == 0 && two[6] == 0);
    one[page] = 'k';
    close(fd);
    unlink("/tmp/shared");
    say("kept when closed and removed", two[0] == 'k' && one[page] == 'k');
    fd = open("/tmp/readable", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(fd, "text", 4);
    close(fd);
    fd = open("/tmp/readable", O_RDONLY);
    char *read_only = mmap(0, page, PROT_READ, MAP_SHARED, fd, 0);
    say("never to be written to", read_only != MAP_FAILED && mprotect(read_only, page, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    char *later = mmap(0, page, PROT_READ, MAP_PRIVATE, fd, 0);
    say("private, made writable later", mprotect(later, page, PROT_READ | PROT_WRITE) == 0 && (*later = 'T') == 'T' && *read_only == 't');
    char *moved = mremap(one, 2 * page, 4 * page, MREMAP_MAYMOVE);
    say("moved with its file", moved != MAP_FAILED && moved[page] == 'k' && (moved[page + 1] = 'm') == two[1]);
    before = free_memory();
    for (int i = 0; i < 20; i++) {
        int big = open("/tmp/big", O_RDWR | O_CREAT | O_TRUNC, 0600);
        ftruncate(big, 8 * mib);
        char *all = mmap(0, 8 * mib, PROT_READ | PROT_WRITE, MAP_SHARED, big, 0);
        memset(all, i, 8 * mib);
        unlink("/tmp/big");
        close(big);
        munmap(all, 8 * mib);
    }
    after = free_memory();
    say("a removed file's memory comes back", before < after + 8 * mib);
    printf("the end\n");
    return 0;
}

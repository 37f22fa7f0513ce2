/* File calls in the folder that is its first argument. Says what came of each, the same on every Linux; with a second argument it looks
   only at what a run without it has left. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "say.h"

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void list(const char *path) {
    DIR *dir = opendir(path);
    char *names[4096];
    int count = 0;
    if (!dir) { printf("list %s: %s\n", path, name_of(errno)); return; }
    for (struct dirent *e; (e = readdir(dir)) && count < 4096;)
        if (strcmp(e->d_name, "lost+found")) names[count++] = strdup(e->d_name);
    closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    printf("%s has %d:", path, count);
    for (int i = 0; i < count && i < 12; i++) printf(" %s", names[i]);
    printf("\n");
}

static void show(const char *path) {
    struct stat s;
    if (lstat(path, &s)) { printf("%s: %s\n", path, name_of(errno)); return; }
    printf("%s: mode %o links %d size %lld\n", path, s.st_mode, S_ISDIR(s.st_mode) ? 0 : (int)s.st_nlink,
           S_ISDIR(s.st_mode) ? 0LL : (long long)s.st_size);
}

static void fill(const char *path) {
    static char b[100000];
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0640);
    for (int i = 0; i < (int)sizeof b; i++) b[i] = i * 7 + i / 251;
    for (int i = 0; i < 30; i++) TRY(write(fd, b, sizeof b - i));
    TRY(pwrite(fd, "middle", 6, 1234567));
    TRY(lseek(fd, 8000000, SEEK_SET));
    TRY(write(fd, "end", 3));
    TRY(ftruncate(fd, 7000000));
    TRY(ftruncate(fd, 7500000));
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    close(fd);
}

static void look(void) {
    list(".");
    list("many");
    list("tree/a");
    show("big");
    show("hard");
    show("soft");
    show("tree");
    printf("big %08x, hard %08x, many/f7 %08x\n", sum("big"), sum("hard"), sum("many/f7"));
    char target[100] = "";
    TRY(readlink("soft", target, sizeof target));
    printf("-> %s\n", target);
}

int main(int argc, char **argv) {
    char path[300], b[100];
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    if (argc < 2 || chdir(argv[1])) { printf("no folder: %s\n", name_of(errno)); return 1; }
    if (argc > 2) { look(); return 0; }
    umask(022);

    fill("big");
    printf("big %08x\n", sum("big"));
    TRY(mkdir("tree", 0755));
    TRY(mkdir("tree", 0755));
    TRY(mkdir("tree/a", 0700));
    TRY(mkdir("none/a", 0700));
    TRY(rmdir("tree"));
    TRY(unlink("tree") < 0 ? -1 : 0);
    TRY(rmdir("big"));
    TRY(symlink("big", "soft"));
    TRY(symlink("big", "soft"));
    TRY(link("big", "hard"));
    TRY(link("big", "hard"));
    TRY(link("tree", "hard2"));
    TRY(link("none", "hard2"));
    memset(path, 'n', 256);
    path[256] = 0;
    TRY(mkdir(path, 0755));
    path[255] = 0;
    TRY(mkdir(path, 0755));
    TRY(rmdir(path));
    memset(path, 't', 200);
    path[200] = 0;
    TRY(symlink(path, "long"));
    TRY(readlink("long", path, sizeof path));
    TRY(unlink("long"));

    TRY(mkdir("many", 0755));
    for (int i = 0; i < 700; i++) {
        sprintf(path, "many/f%d", i);
        int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0 || dprintf(fd, "this is file %d\n", i) < 0) printf("%s: %s\n", path, name_of(errno));
        close(fd);
    }
    list("many");
    for (int i = 100; i < 600; i++) {
        sprintf(path, "many/f%d", i);
        if (unlink(path)) printf("%s: %s\n", path, name_of(errno));
    }
    list("many");
    TRY(open("many/f5", O_CREAT | O_EXCL | O_WRONLY, 0600));
    TRY(open("many/f150", O_RDONLY));
    TRY(open("many/f5/x", O_RDONLY));
    TRY(open("many", O_WRONLY));
    TRY(rename("many/f1", "many/f2"));
    TRY(rename("many/f3", "tree/a/f3"));
    TRY(rename("many/gone", "tree/a/f3"));
    TRY(rename("tree", "tree/a/b"));
    TRY(rename("tree/a", "big"));
    TRY(rename("big", "tree/a"));
    TRY(rename("many", "tree/a"));
    TRY(rename("tree/a", "tree/c"));
    TRY(rename("tree/c", "tree/a"));
    TRY(rename("hard", "big"));
    list("tree/a");

    /* a file without a name lives while it is open */
    int fd = open("many/f4", O_RDWR);
    TRY(unlink("many/f4"));
    TRY(write(fd, "more", 4));
    TRY(pread(fd, b, 100, 0));
    TRY(ftruncate(fd, 100000));
    close(fd);
    show("many/f4");
    fd = open("tree/empty", O_CREAT | O_RDWR, 0600);
    TRY(ftruncate(fd, 5000));
    TRY(pread(fd, b, 100, 4950));
    printf("a hole reads as %d\n", b[0]);
    close(fd);
    fd = open("big", O_WRONLY | O_APPEND | O_DSYNC);
    TRY(write(fd, "appended", 8));
    close(fd);
    fd = open("big", O_RDONLY);
    char *map = mmap(0, 10000, PROT_READ, MAP_PRIVATE, fd, 4096);
    printf("mapped %d %d\n", map == MAP_FAILED ? -1 : (unsigned char)map[0], map == MAP_FAILED ? -1 : (unsigned char)map[9999]);
    TRY(write(fd, "x", 1));
    close(fd);
    TRY(chmod("big", 0604));
    struct timespec times[2] = {{1000000000, 0}, {1100000000, 0}};
    TRY(utimensat(AT_FDCWD, "tree", times, 0));
    struct stat s;
    TRY(stat("tree", &s));
    printf("changed at %lld\n", (long long)s.st_mtime);
    TRY(stat("big", &s));
    struct stat t;
    TRY(stat("hard", &t));
    printf("same file: %d\n", s.st_ino == t.st_ino && s.st_dev == t.st_dev);
    struct statfs f;
    TRY(statfs(".", &f));
    printf("blocks: %d\n", f.f_blocks > f.f_bfree && f.f_bfree > 0);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    TRY(fsync(fd));
    TRY(faccessat(fd, "big", W_OK, 0));
    close(fd);
    sync();
    look();
    fflush(stdout);
    return 0;
}

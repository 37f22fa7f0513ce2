/* A process that shuts itself in. The folder to do it in is argument 1; started as root. */
#define _GNU_SOURCE
#include "say.h"
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static void make(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    close(fd);
}

static void says(const char *path) {
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        printf("%s: %s\n", path, name_of(errno));
        return;
    }
    if (read(fd, text, sizeof text - 1) < 0)
        perror(path);
    close(fd);
    printf("%s: %s\n", path, text);
}

/* Of a directory outside, whose whole name depends on where this runs, only the last name. */
static void here(void) {
    char path[4096];
    if (syscall(SYS_getcwd, path, sizeof path) < 0)
        printf("here: %s\n", name_of(errno));
    else if (path[0] == '(')
        printf("here: outside, in %s\n", strrchr(path, '/') + 1);
    else
        printf("here: %s\n", path);
}

static int same(const char *one, const char *two) {
    struct stat first, second;
    return !stat(one, &first) && !stat(two, &second) && first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc < 2 || mkdir(argv[1], 0755) || chdir(argv[1]) || mkdir("around", 0755) || chdir("around"))
        return 1;
    make("outside", "nobody should read this by /");
    mkdir("jail", 0755);
    mkdir("jail/in", 0755);
    mkdir("jail/in/deep", 0755);
    make("jail/file", "a file");
    make("jail/in/below", "one below");
    if (symlink("/in/below", "jail/absolute") || symlink("../../outside", "jail/up") || symlink("/outside", "jail/out")
        || symlink("../file", "jail/in/beside") || symlink("/../../in/../file", "jail/winding"))
        return 1;
    int around = open(".", O_DIRECTORY), in = open("jail/in", O_DIRECTORY);
    TRY(chroot("nothing"));
    TRY(chroot("outside"));
    TRY(chroot("outside/x"));
    TRY(chroot(""));
    TRY(chroot((char *)1));
    TRY(chroot("jail"));
    here();
    says("outside");
    says("/outside");
    says("/file");
    says("jail/absolute");
    TRY(chdir("/"));
    here();
    says("absolute");
    says("up");
    says("out");
    says("in/beside");
    says("winding");
    says("../../outside");
    says("/../outside");
    printf("the top: %d %d %d\n", same("/", "/.."), same("/", "../../.."), same("/", "in/../.."));
    TRY(chdir("in/deep"));
    here();
    says("../beside");
    TRY(chdir("../../../../in"));
    here();
    TRY(mkdir("/new", 0755));
    TRY(rename("/new", "/in/new"));
    TRY(access("new", F_OK));
    TRY(chdir("/proc"));
    printf("by descriptor: %d\n", openat(in, "../file", O_RDONLY) >= 0);
    printf("not further: %d\n", openat(in, "../../outside", O_RDONLY) >= 0);
    /* The door that Linux leaves open. */
    TRY(fchdir(around));
    here();
    says("outside");
    TRY(chdir("../around"));
    here();
    says("/outside");
    TRY(chdir("jail"));
    here();
    TRY(chdir(".."));
    here();
    TRY(renameat(around, "jail", around, "moved"));
    here();
    says("/file");
    says("/absolute");
    TRY(chroot("/in"));
    here();
    says("/below");
    says("/file");
    says("file");
    TRY(chdir("/"));
    says("../file");
    TRY(mkdir("/closed", 0700));
    TRY(setgroups(0, 0));
    TRY(setuid(1000));
    TRY(chroot("/"));
    TRY(chroot("/nothing"));
    TRY(chroot("/closed/x"));
    return 4;
}

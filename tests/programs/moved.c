/* Directories that get other names, and lose them, while they are open or worked in. Says what came of each. */
#define _GNU_SOURCE
#include "say.h"
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static char base[PATH_MAX];

/* A path without what stands before the folder of this test. */
static const char *in_base(const char *path) {
    size_t length = strlen(base);
    return strncmp(path, base, length) == 0 ? path + length : path;
}
static void where(const char *what) {
    char path[PATH_MAX];
    long got = syscall(SYS_getcwd, path, sizeof path);
    if (got < 0) printf("%s: getcwd: %s\n", what, name_of(errno));
    else printf("%s: getcwd: %s, %ld\n", what, in_base(path), got - (long)strlen(base));
    got = readlink("/proc/self/cwd", path, sizeof path - 1);
    path[got < 0 ? 0 : got] = 0;
    printf("%s: cwd: %s\n", what, in_base(path));
}
static void named(const char *what, int fd) {
    char link[40], path[PATH_MAX];
    sprintf(link, "/proc/self/fd/%d", fd);
    long got = readlink(link, path, sizeof path - 1);
    path[got < 0 ? 0 : got] = 0;
    printf("%s: %s\n", what, in_base(path));
}
/* Which of the folders that are known one is. */
static void which(const char *what, int fd, const char *path) {
    struct stat stat;
    char mark[PATH_MAX];
    int found = openat(fd, path, O_PATH | O_DIRECTORY);
    if (found < 0) { printf("%s: %s\n", what, name_of(errno)); return; }
    if (fstat(found, &stat)) { printf("%s: no stat\n", what); return; }
    int in = openat(found, "mark", O_RDONLY);
    long got = in < 0 ? 0 : read(in, mark, sizeof mark - 1);
    mark[got < 0 ? 0 : got] = 0;
    printf("%s: %s, links %s\n", what, got > 0 ? mark : "no mark", stat.st_nlink ? "left" : "none");
    close(in);
    close(found);
}
static void make(const char *path) {
    char file[PATH_MAX];
    mkdir(path, 0755);
    sprintf(file, "%s/mark", path);
    int fd = open(file, O_WRONLY | O_CREAT, 0644);
    write(fd, path, strlen(path));
    close(fd);
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    if (argc > 1 && chdir(argv[1])) return 2;
    if (!getcwd(base, sizeof base)) return 3;
    make("one");
    make("one/in");
    make("one/in/deep");
    make("two");
    int top = open(".", O_RDONLY | O_DIRECTORY);
    int in = open("one/in", O_RDONLY | O_DIRECTORY), deep = open("one/in/deep", O_PATH | O_DIRECTORY);
    int file = open("one/in/mark", O_RDONLY);

    /* Moved itself, and with what is above. */
    TRY(rename("one/in", "two/moved"));
    which(".. of moved", in, "..");
    which("deep below moved", in, "deep");
    which(".. of what is below", deep, "..");
    which("../.. of what is below", deep, "../..");
    named("moved", in);
    named("below", deep);
    named("a file in it", file);
    TRY(rename("two", "three"));
    which(".. of moved", in, "..");
    which("../../one of moved", in, "../../one");
    named("moved again", in);
    named("a file in it", file);
    TRY(fchdir(deep));
    where("below");
    TRY(renameat(top, "three/moved", top, "back"));
    where("moved");
    which("..", AT_FDCWD, "..");
    which("../..", AT_FDCWD, "../..");
    TRY(mkdir("new", 0755));
    TRY(renameat(top, "back", top, "one/in"));
    where("and back");
    which("..", AT_FDCWD, "..");
    which("../../..", AT_FDCWD, "../../../three");

    /* What is made anew at an old path is something else. */
    make("../../../back");
    which("back", top, "back");
    which(".. of moved", in, "..");
    TRY(renameat(top, "back", top, "four"));
    named("not that one", in);
    which(".. of moved", in, "..");

    /* In place of another, which loses its name. */
    TRY(fchdir(top));
    make("empty");
    TRY(unlink("empty/mark"));
    int empty = open("empty", O_RDONLY | O_DIRECTORY);
    TRY(rename("four", "empty"));
    named("replaced", empty);
    named("in its place", open("empty", O_RDONLY));
    TRY(openat(empty, "x", O_CREAT | O_WRONLY, 0644));
    TRY(fchdir(empty));
    where("replaced");
    which("..", AT_FDCWD, "..");
    TRY(rename("../empty", "../five"));
    named("still", empty);
    TRY(fchdir(top));

    /* Without a name. */
    make("gone");
    TRY(unlink("gone/mark"));
    TRY(chdir("gone"));
    TRY(rmdir("../gone"));
    where("removed");
    which(".", AT_FDCWD, ".");
    TRY(open("x", O_CREAT | O_WRONLY, 0644));
    TRY(mkdir("x", 0755));
    TRY(open("x", O_RDONLY));
    TRY(rmdir("../gone"));
    TRY(mkdir("../gone", 0700));
    where("another in its place");
    TRY(renameat(top, "gone", top, "six"));
    where("moved away");
    TRY(chdir(".."));
    where("left");

    /* Files as well. */
    int gone = open("one/mark", O_RDWR);
    TRY(rename("one/mark", "one/other"));
    named("a file", gone);
    TRY(unlink("one/other"));
    named("without a name", gone);
    int over = open("three/mark", O_RDWR), by = open("six", O_RDONLY);
    close(open("three/new", O_CREAT | O_WRONLY, 0644));
    int new = open("three/new", O_RDONLY);
    TRY(rename("three/new", "three/mark"));
    named("replaced", over);
    named("the new one", new);
    TRY(rename("three/mark", "three/mark"));
    named("to itself", new);
    close(by);

    /* Not into itself, nor by what it is like. */
    make("same");
    make("same-not");
    int not = open("same-not", O_RDONLY);
    TRY(rename("same", "other"));
    named("not moved", not);
    TRY(rename("one", "one/in/deep/one"));
    which("one", top, "one");
    TRY(rename("one/in", "one"));
    return 0;
}

/* Whom it runs as, on which machine, and what it may become. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
}

int main(int argc, char **argv) {
    (void)argv;
    struct utsname name;
    uname(&name);
    char host[65] = "", line[65] = "";
    gethostname(host, sizeof(host));
    FILE *file = fopen("/proc/sys/kernel/hostname", "r");
    fgets(line, sizeof(line), file);
    printf("%d %d %d %d %lu %lu %s %s %s", getuid(), geteuid(), getgid(), getegid(), getauxval(AT_UID), getauxval(AT_EGID), name.nodename, host, line);
    struct stat stat_of;
    mkdir("/tmp/made", 0700);
    stat("/tmp/made", &stat_of);
    printf("makes files of %d:%d\n", stat_of.st_uid, stat_of.st_gid);
    uid_t real, effective, saved;
    gid_t groups[4] = {0};
    if (getuid() != 0) {
        say("stays what it is", setuid(getuid()) == 0 && setresuid(-1, getuid(), -1) == 0 && setgid(getgid()) == 0);
        say("not root", setuid(0) == -1 && errno == EPERM && setreuid(0, -1) == -1 && errno == EPERM && setresgid(0, 0, 0) == -1 && errno == EPERM);
        say("no groups", setgroups(0, 0) == -1 && errno == EPERM && getgroups(0, 0) == 0);
    } else if (argc > 1) {
        say("groups", setgroups(2, (gid_t[]){7, 8}) == 0 && getgroups(4, groups) == 2 && groups[0] == 7 && groups[1] == 8 && getgroups(1, groups) == -1 && errno == EINVAL);
        say("for a while", seteuid(5) == 0 && geteuid() == 5 && getuid() == 0 && seteuid(0) == 0 && geteuid() == 0);
        say("by setresuid", setresuid(1, 2, 3) == 0 && getresuid(&real, &effective, &saved) == 0 && real == 1 && effective == 2 && saved == 3);
        say("among these", setuid(3) == 0 && geteuid() == 3 && setreuid(7, 1) == -1 && errno == EPERM && setreuid(-1, 1) == 0 && geteuid() == 1);
        say("for good", seteuid(0) == -1 && errno == EPERM && setgid(4) == -1 && errno == EPERM);
        say("-1", setuid(-1) == -1 && errno == EINVAL);
    }
    return 0;
}

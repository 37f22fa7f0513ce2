/* What a user who is not root may do with files. Starts as root. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static int opens(const char *path, int flags) {
    int fd = open(path, flags, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : errno;
}

static int is(int result, int error) {
    return error ? result == -1 && errno == error : result == 0;
}

static void file(const char *path, mode_t mode, uid_t user, gid_t group) {
    close(open(path, O_CREAT | O_WRONLY, 0600));
    if (chown(path, user, group) || chmod(path, mode))
        say(path, 0);
}

static void directory(const char *path, mode_t mode, uid_t user, gid_t group) {
    mkdir(path, 0700);
    if (chown(path, user, group) || chmod(path, mode))
        say(path, 0);
}

static int local(int (*call)(int, const struct sockaddr *, socklen_t), const char *path) {
    struct sockaddr_un address = {AF_UNIX, ""};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), result = call(fd, (void *)&address, sizeof address);
    if (result == 0 && call == bind)
        return listen(fd, 5); /* stays open */
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static int port(int type, int number) {
    struct sockaddr_in address = {AF_INET, htons(number), {htonl(INADDR_LOOPBACK)}, ""};
    int fd = socket(AF_INET, type, 0), result = bind(fd, (void *)&address, sizeof address), error = errno;
    close(fd);
    errno = error;
    return result;
}

int main(void) {
    char base[] = "/tmp/permXXXXXX";
    if (!mkdtemp(base) || chdir(base) || chmod(".", 0755))
        say("a place", 0);
    directory("open", 0777, 0, 0);
    directory("sticky", 01777, 0, 0);
    directory("closed", 0700, 0, 0);
    directory("listed", 0744, 0, 0);
    directory("own", 0700, 1000, 1000);
    directory("grouped", 02770, 0, 1001);
    file("closed/file", 0666, 0, 0);
    file("listed/file", 0666, 0, 0);
    file("sticky/theirs", 0666, 0, 0);
    file("sticky/own", 0600, 1000, 1000);
    file("own/theirs", 0600, 0, 0);
    file("secret", 0600, 0, 0);
    file("public", 0644, 0, 0);
    file("writable", 0622, 0, 0);
    file("owner-none", 0077, 1000, 1000);
    file("group-none", 0606, 0, 1000);
    file("supplementary", 0640, 0, 1001);
    file("script", 0754, 0, 1001);
    symlink("secret", "link");
    struct stat stat_of;
    mode_t mask = umask(077);
    say("sockets have permissions", local(bind, "guarded") == 0 && stat("guarded", &stat_of) == 0 && stat_of.st_mode == (S_IFSOCK | 0700) && umask(0) == 077 && local(bind, "free") == 0 && stat("free", &stat_of) == 0 && stat_of.st_mode == (S_IFSOCK | 0777));
    umask(mask);
    say("root binds to any port", port(SOCK_STREAM, 80) == 0 && port(SOCK_DGRAM, 1023) == 0);
    say("root may all", opens("owner-none", O_RDWR) == 0 && access("secret", X_OK) == -1 && errno == EACCES && access("closed", X_OK) == 0);
    gid_t groups[] = {1001};
    say("no longer root", setgroups(1, groups) == 0 && setgid(1000) == 0 && setuid(1000) == 0 && geteuid() == 1000);

    say("secret", opens("secret", O_RDONLY) == EACCES && opens("link", O_RDONLY) == EACCES && opens("secret", O_WRONLY) == EACCES);
    say("public", opens("public", O_RDONLY) == 0 && opens("public", O_RDWR) == EACCES && opens("public", O_RDONLY | O_TRUNC) == EACCES);
    say("writable", opens("writable", O_WRONLY) == 0 && opens("writable", O_RDONLY) == EACCES);
    say("the owner's class alone counts", opens("owner-none", O_RDONLY) == EACCES);
    say("and the group's", opens("group-none", O_RDONLY) == EACCES);
    say("other groups", opens("supplementary", O_RDONLY) == 0 && opens("supplementary", O_WRONLY) == EACCES);
    say("O_PATH asks for nothing", opens("secret", O_PATH) == 0);
    say("a directory that may not be searched", opens("closed/file", O_RDONLY) == EACCES && opens("listed/file", O_RDONLY) == EACCES && opens("closed/missing", O_RDONLY) == EACCES);
    say("nor listed", opens("closed", O_RDONLY) == EACCES && opens("listed", O_RDONLY) == 0);
    say("stat needs the way only", stat("secret", &stat_of) == 0 && is(stat("closed/file", &stat_of), EACCES));
    say("access", access("secret", F_OK) == 0 && is(access("secret", R_OK), EACCES) && access("public", R_OK) == 0 && access("script", X_OK) == 0 && is(access("script", W_OK), EACCES) && is(access("public", X_OK), EACCES));
    say("chdir", is(chdir("closed"), EACCES) && chdir("open") == 0 && chdir("..") == 0);

    say("no new names here", opens("new", O_CREAT | O_WRONLY) == EACCES && is(mkdir("new", 0700), EACCES) && is(symlink("x", "new"), EACCES) && is(link("owner-none", "new"), EACCES) && is(mkfifo("new", 0600), EACCES));
    say("what exists may be asked to be created", opens("public", O_CREAT | O_RDONLY) == 0);
    say("new names there", opens("open/new", O_CREAT | O_RDWR) == 0 && stat("open/new", &stat_of) == 0 && stat_of.st_uid == 1000 && stat_of.st_gid == 1000);
    say("a file that cannot be opened again", close(open("open/locked", O_CREAT | O_WRONLY, 0)) == 0 && opens("open/locked", O_RDONLY) == EACCES);
    say("the directory's group", mkdir("grouped/below", 0700) == 0 && stat("grouped/below", &stat_of) == 0 && stat_of.st_gid == 1001 && stat_of.st_mode & S_ISGID);
    say("removing", is(unlink("public"), EACCES) && is(rmdir("own"), EACCES) && unlink("own/theirs") == 0 && unlink("open/new") == 0);
    say("sticky", is(unlink("sticky/theirs"), EPERM) && is(rename("sticky/theirs", "open/x"), EPERM) && is(rename("sticky/own", "sticky/theirs"), EPERM) && unlink("sticky/own") == 0);
    say("renaming", is(rename("public", "open/public"), EACCES) && is(rename("open/locked", "unlocked"), EACCES) && rename("open/locked", "own/locked") == 0);

    say("chmod", is(chmod("public", 0666), EPERM) && chmod("owner-none", 0600) == 0 && opens("owner-none", O_RDWR) == 0);
    int fd = open("public", O_RDONLY);
    say("fchmod", is(fchmod(fd, 0666), EPERM));
    say("chown", is(chown("public", 1000, 1000), EPERM) && is(chown("owner-none", 0, -1), EPERM) && is(chown("owner-none", -1, 5), EPERM) && chown("owner-none", 1000, 1001) == 0);
    struct timeval times[2] = {{1, 0}, {2, 0}};
    say("times", is(utimes("public", times), EPERM) && is(utimes("writable", times), EPERM) && utimes("writable", 0) == 0 && is(utimes("public", 0), EACCES) && utimes("owner-none", times) == 0);
    say("truncate", is(truncate("public", 0), EACCES) && truncate("writable", 5) == 0);
    say("devices", opens("/dev/null", O_RDWR) == 0 && opens("/dev/zero", O_RDONLY) == 0);
    say("sockets to write to", is(local(connect, "guarded"), EACCES) && local(connect, "free") == 0 && is(local(connect, "public"), EACCES) && is(local(connect, "writable"), ECONNREFUSED));
    say("sockets to make", is(local(bind, "another"), EACCES) && local(bind, "open/another") == 0 && local(connect, "open/another") == 0);
    say("ports", is(port(SOCK_STREAM, 80), EACCES) && is(port(SOCK_DGRAM, 1023), EACCES) && port(SOCK_STREAM, 1024) == 0 && port(SOCK_DGRAM, 0) == 0);
    say("itself", opens("/proc/self/status", O_RDONLY) == 0 && opens("/proc/self/fd", O_RDONLY) == 0);
    printf("the end\n");
    return 0;
}

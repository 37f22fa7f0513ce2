/* Who sent what over local sockets, and descriptors that come along: prints what comes of it, the same on Linux. Needs root. */
#define _GNU_SOURCE
#include "say.h"
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static void set(int fd, int name, int value) { TRY(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value)); }

/* Whose number a process has differs; the own one is said by name. */
static const char *who(pid_t pid) { return pid == getpid() ? "own" : pid == 0 ? "none" : "other"; }

static long send_as(int fd, const char *text, size_t length, pid_t pid, uid_t uid, gid_t gid, const int *fds, int count) {
    char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(300 * sizeof(int))];
    struct iovec part = {(void *)text, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *header = (void *)control;
    memset(control, 0, sizeof control);
    if (pid >= 0) {
        struct ucred ids = {pid, uid, gid};
        *header = (struct cmsghdr){CMSG_LEN(sizeof ids), SOL_SOCKET, SCM_CREDENTIALS};
        memcpy(CMSG_DATA(header), &ids, sizeof ids);
        message.msg_controllen += CMSG_SPACE(sizeof ids);
        header = (void *)(control + message.msg_controllen);
    }
    if (count) {
        *header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
        message.msg_controllen += CMSG_SPACE(count * sizeof(int));
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Receives, and says everything that came. */
static void receive(int fd, size_t wanted, size_t room, int flags) {
    char bytes[256], control[512];
    struct iovec part = {bytes, wanted};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
    memset(control, 0x55, sizeof control);
    ssize_t got = recvmsg(fd, &message, flags | MSG_DONTWAIT);
    if (got < 0) {
        printf("receive: %s\n", name_of(errno));
        return;
    }
    printf("receive: %zd \"%.*s\" flags %x room %zu of %zu:", got, (int)(got < (ssize_t)wanted ? got : (ssize_t)wanted), bytes, message.msg_flags, message.msg_controllen, room);
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        size_t length = one->cmsg_len - CMSG_LEN(0);
        struct ucred ids = {-1, -1, -1};
        if (one->cmsg_type == SCM_CREDENTIALS) {
            memcpy(&ids, CMSG_DATA(one), length < sizeof ids ? length : sizeof ids);
            printf(" from %zu %s %d %d", length, who(ids.pid), ids.uid, ids.gid);
        } else if (one->cmsg_type == SCM_RIGHTS) {
            printf(" fds %zu:", length / sizeof(int));
            for (size_t i = 0; i < length / sizeof(int); i++) {
                int passed;
                memcpy(&passed, CMSG_DATA(one) + i * sizeof(int), sizeof(int));
                printf(" %d", fcntl(passed, F_GETFD));
                close(passed);
            }
        } else
            printf(" %d", one->cmsg_type);
    }
    printf("\n");
}

static int open_files(void) {
    int count = 0;
    for (int fd = 0; fd < 200; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void over(int type, const char *what) {
    int pair[2];
    printf("%s\n", what);
    socketpair(AF_UNIX, type, 0, pair);
    /* Nobody asked. */
    TRY(send_as(pair[0], "a", 1, -1, 0, 0, 0, 0));
    receive(pair[1], 8, 200, 0);
    /* Said, and not asked for. */
    TRY(send_as(pair[0], "b", 1, getpid(), 0, 0, 0, 0));
    receive(pair[1], 8, 200, 0);
    /* Sent before anybody asked. */
    TRY(send_as(pair[0], "c", 1, -1, 0, 0, 0, 0));
    set(pair[1], SO_PASSCRED, 1);
    receive(pair[1], 8, 200, 0);
    TRY(send(pair[0], "d", 1, 0));
    receive(pair[1], 8, 200, MSG_PEEK);
    receive(pair[1], 8, 0, MSG_PEEK);
    receive(pair[1], 8, 15, MSG_PEEK);
    receive(pair[1], 8, 20, MSG_PEEK);
    receive(pair[1], 8, 28, MSG_PEEK);
    receive(pair[1], 8, 32, 0);
    TRY(send_as(pair[0], "e", 1, getpid(), 7, 8, 0, 0));
    receive(pair[1], 8, 200, 0);
    TRY(send_as(pair[0], "f", 1, 0, 0, 0, 0, 0));
    TRY(send_as(pair[0], "f", 1, 999999999, 0, 0, 0, 0));
    TRY(send_as(pair[0], "f", 1, getpid(), -1, 0, 0, 0));
    /* With descriptors, whole and cut. */
    int fds[] = {0, 1, 2};
    int before = open_files();
    TRY(send_as(pair[0], "g", 1, getpid(), 3, 4, fds, 3));
    receive(pair[1], 8, 200, MSG_CMSG_CLOEXEC);
    TRY(send_as(pair[0], "h", 1, -1, 0, 0, fds, 3));
    receive(pair[1], 8, CMSG_SPACE(12) + CMSG_LEN(8), 0);
    TRY(send_as(pair[0], "i", 1, -1, 0, 0, fds, 3));
    receive(pair[1], 8, CMSG_SPACE(12) + CMSG_LEN(0), 0);
    TRY(send_as(pair[0], "j", 1, -1, 0, 0, fds, 3));
    receive(pair[1], 8, 0, 0);
    TRY(open_files() - before);
    /* The writer tells of itself to whoever did not ask. */
    set(pair[1], SO_PASSCRED, 0);
    set(pair[0], SO_PASSCRED, 1);
    TRY(send(pair[0], "k", 1, 0));
    set(pair[1], SO_PASSCRED, 1);
    receive(pair[1], 8, 200, 0);
    /* What several said of themselves does not become one. */
    TRY(send_as(pair[0], "one", 3, getpid(), 1, 1, 0, 0));
    TRY(send_as(pair[0], "two", 3, getpid(), 1, 1, 0, 0));
    TRY(send_as(pair[0], "three", 5, getpid(), 2, 2, 0, 0));
    receive(pair[1], 2, 200, MSG_PEEK);
    receive(pair[1], 20, 200, MSG_PEEK);
    receive(pair[1], 20, 200, 0);
    receive(pair[1], 20, 200, 0);
    receive(pair[1], 20, 200, 0);
    /* Messages that make no sense. */
    struct cmsghdr strange[3] = {{CMSG_LEN(0), SOL_SOCKET, 77}};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = strange, .msg_controllen = sizeof *strange};
    TRY(sendmsg(pair[0], &message, 0));
    strange->cmsg_level = 4711;
    TRY(sendmsg(pair[0], &message, 0));
    receive(pair[1], 8, 200, 0);
    strange->cmsg_len = 15;
    TRY(sendmsg(pair[0], &message, 0));
    *strange = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_CREDENTIALS};
    message.msg_controllen = CMSG_SPACE(4);
    TRY(sendmsg(pair[0], &message, 0));
    *strange = (struct cmsghdr){CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS};
    *(int *)CMSG_DATA(strange) = 4000;
    TRY(sendmsg(pair[0], &message, 0));
    /* An open place is one as well. */
    int place = open("/", O_PATH);
    TRY(send_as(pair[0], "p", 1, -1, 0, 0, &place, 1));
    receive(pair[1], 8, 200, 0);
    close(place);
    close(pair[0]);
    receive(pair[1], 8, 200, 0);
    close(pair[1]);
}

static void peers(void) {
    struct sockaddr_un name = {AF_UNIX, "\0credentials"}, found;
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 12, size;
    struct ucred ids;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0), value;
    int sockets[] = {listener, client, other};
    printf("peers\n");
    for (unsigned i = 0; i < 3; i++) {
        size = sizeof ids;
        ids = (struct ucred){-5, -5, -5};
        TRY(getsockopt(sockets[i], SOL_SOCKET, SO_PEERCRED, &ids, &size));
        printf("%d: %s %d %d\n", size, who(ids.pid), ids.uid, ids.gid);
        TRY(setsockopt(sockets[i], SOL_SOCKET, SO_PEERCRED, &ids, size));
    }
    TRY(bind(listener, (void *)&name, length));
    set(listener, SO_PASSCRED, 1);
    TRY(listen(listener, 3));
    TRY(syscall(SYS_setresgid, -1, 11, -1) | syscall(SYS_setresuid, -1, 12, 0));
    set(client, SO_PASSCRED, 1);
    TRY(connect(client, (void *)&name, length));
    size = sizeof found;
    TRY(getsockname(client, (void *)&found, &size) | found.sun_path[0]);
    printf("a name of %d bytes\n", size);
    TRY(send(client, "m", 1, 0));
    TRY(send_as(client, "n", 1, getpid(), 12, 0, 0, 0));
    TRY(send_as(client, "o", 1, getpid(), 1, 0, 0, 0));
    TRY(send_as(client, "o", 1, getpid(), 12, 12, 0, 0));
    TRY(syscall(SYS_setresuid, -1, 0, -1) | syscall(SYS_setresgid, -1, 0, -1));
    int accepted = accept(listener, 0, 0);
    int ends[] = {accepted, client, listener};
    for (unsigned i = 0; i < 3; i++) {
        size = sizeof ids;
        TRY(getsockopt(ends[i], SOL_SOCKET, SO_PEERCRED, &ids, &size));
        printf("%d: %s %d %d\n", size, who(ids.pid), ids.uid, ids.gid);
    }
    size = sizeof value;
    TRY(getsockopt(accepted, SOL_SOCKET, SO_PASSCRED, &value, &size));
    printf("%d\n", value);
    receive(accepted, 8, 200, 0);
    receive(accepted, 8, 200, 0);
    /* Nobody has accepted yet whom one writes to: it may want to know later. */
    int early = socket(AF_UNIX, SOCK_STREAM, 0);
    set(listener, SO_PASSCRED, 0);
    TRY(connect(early, (void *)&name, length));
    TRY(send(early, "q", 1, 0));
    int late = accept(listener, 0, 0);
    set(late, SO_PASSCRED, 1);
    receive(late, 8, 200, 0);
    set(client, SO_PASSSEC, 1);
    size = sizeof value;
    TRY(getsockopt(client, SOL_SOCKET, SO_PASSSEC, &value, &size));
    printf("%d\n", value);
}

int main(void) {
    over(SOCK_STREAM, "stream");
    over(SOCK_DGRAM, "datagrams");
    over(SOCK_SEQPACKET, "packets");
    peers();
    return 0;
}

/* Signals of files (O_ASYNC, SIGIO, SIGURG): prints what comes of them, the same on Linux. */
#define _GNU_SOURCE
#include "say.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define REAL (SIGRTMIN + 3)

/* Says the signals that have come, once each. */
static void came(void) {
    static const struct timespec now;
    int numbers[] = {SIGIO, SIGURG, REAL};
    printf(" came:");
    for (int i = 0; i < 3; i++) {
        siginfo_t info, last;
        int count = 0;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, numbers[i]);
        while (sigtimedwait(&set, &info, &now) > 0) {
            last = info;
            count++;
        }
        if (!count)
            continue;
        if (numbers[i] == REAL)
            printf(" REAL code %d band %lx fd %d", last.si_code, (long)last.si_band, last.si_fd);
        else
            printf(" %s code %x", numbers[i] == SIGIO ? "SIGIO" : "SIGURG", last.si_code);
    }
    printf("\n");
}

static void on(int fd) { TRY(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC)); }

static void owners(void) {
    struct f_owner_ex owner = {-1, -1};
    int pair[2], number = -1, self = getpid(), file = open("/proc/self/exe", O_RDONLY);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(fcntl(*pair, F_GETOWN));
    TRY(fcntl(*pair, F_GETOWN_EX, &owner) | owner.pid | owner.type);
    TRY(fcntl(*pair, F_GETSIG));
    TRY(fcntl(*pair, F_SETSIG, 65));
    TRY(fcntl(*pair, F_SETSIG, 64));
    TRY(fcntl(*pair, F_GETSIG));
    TRY(fcntl(*pair, F_SETOWN, 999999999));
    TRY(fcntl(*pair, F_SETOWN, -999999999));
    TRY(fcntl(*pair, F_SETOWN, self));
    TRY(fcntl(*pair, F_GETOWN) == self);
    TRY(fcntl(*pair, F_GETOWN_EX, &owner) | (owner.pid != self) | (owner.type != F_OWNER_PID));
    owner.type = 3;
    TRY(fcntl(*pair, F_SETOWN_EX, &owner));
    owner = (struct f_owner_ex){F_OWNER_TID, 999999999};
    TRY(fcntl(*pair, F_SETOWN_EX, &owner));
    owner = (struct f_owner_ex){F_OWNER_TID, self};
    TRY(fcntl(*pair, F_SETOWN_EX, &owner));
    TRY(fcntl(*pair, F_GETOWN) == self);
    TRY(ioctl(*pair, SIOCGPGRP, &number) | (number != self));
    number = 0;
    TRY(ioctl(*pair, FIOSETOWN, &number));
    TRY(fcntl(*pair, F_GETOWN));
    number = 1;
    TRY(ioctl(*pair, FIOASYNC, &number));
    TRY(!!(fcntl(*pair, F_GETFL) & O_ASYNC));
    number = 0;
    TRY(ioctl(*pair, FIOASYNC, &number));
    TRY(!!(fcntl(*pair, F_GETFL) & O_ASYNC));
    /* A file without signals has none. */
    TRY(fcntl(file, F_SETOWN, self));
    TRY(fcntl(file, F_SETFL, O_ASYNC));
    TRY(!!(fcntl(file, F_GETFL) & O_ASYNC));
    TRY(ioctl(file, FIOASYNC, &number));
    number = 1;
    TRY(ioctl(file, FIOASYNC, &number));
    close(file);
    close(pair[0]);
    close(pair[1]);
}

static void moves(int read_end, int write_end, const char *what) {
    char byte;
    printf("%s\n", what);
    TRY(fcntl(read_end, F_SETOWN, getpid()));
    TRY(write(write_end, "a", 1));
    came();
    on(read_end);
    came();
    TRY(write(write_end, "b", 1));
    came();
    TRY(read(read_end, &byte, 1));
    TRY(write(write_end, "c", 1));
    came();
    TRY(fcntl(read_end, F_SETSIG, REAL));
    TRY(write(write_end, "d", 1));
    came();
    TRY(read(read_end, &byte, 1));
    TRY(fcntl(read_end, F_SETFL, 0));
    came();
    TRY(write(write_end, "e", 1));
    came();
    on(read_end);
    TRY(close(write_end));
    came();
    TRY(close(read_end));
}

static void *nobody(void *argument) {
    int *fds = argument;
    fds[2] = syscall(SYS_gettid);
    struct f_owner_ex owner = {F_OWNER_TID, fds[2]};
    TRY(fcntl(*fds, F_SETOWN_EX, &owner));
    TRY(write(fds[1], "t", 1));
    came();
    return 0;
}

static void threads(void) {
    int pair[3];
    pthread_t thread;
    printf("one thread's\n");
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    on(*pair);
    pthread_create(&thread, 0, nobody, pair);
    pthread_join(thread, 0);
    came();
    /* It is gone. */
    TRY(write(pair[1], "u", 1));
    came();
    close(pair[0]);
    close(pair[1]);
}

static void urgent(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof name;
    char byte;
    printf("urgent\n");
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (void *)&name, length);
    listen(listener, 1);
    getsockname(listener, (void *)&name, &length);
    TRY(fcntl(listener, F_SETOWN, getpid()));
    on(listener);
    TRY(connect(client, (void *)&name, length));
    came();
    int server = accept(listener, 0, 0);
    TRY(fcntl(server, F_GETOWN));
    TRY(send(client, "X", 1, MSG_OOB));
    struct pollfd one = {server, POLLPRI, 0};
    TRY(poll(&one, 1, 10000));
    came();
    TRY(recv(server, &byte, 1, MSG_OOB));
    TRY(fcntl(server, F_SETOWN, getpid()));
    TRY(send(client, "Y", 1, MSG_OOB));
    TRY(poll(&one, 1, 10000));
    came();
    TRY(recv(server, &byte, 1, MSG_OOB));
}

static void handled(int number) { TRY(number == SIGIO); }

int main(void) {
    int pair[2];
    sigset_t all;
    sigemptyset(&all);
    sigaddset(&all, SIGIO);
    sigaddset(&all, SIGURG);
    sigaddset(&all, REAL);
    sigprocmask(SIG_BLOCK, &all, 0);
    owners();
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    moves(pair[0], pair[1], "stream");
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    moves(pair[0], pair[1], "datagrams");
    pipe(pair);
    moves(pair[0], pair[1], "pipe");
    threads();
    urgent();
    printf("before the call returns\n");
    signal(SIGIO, handled);
    sigprocmask(SIG_UNBLOCK, &all, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(fcntl(*pair, F_SETOWN, getpid()));
    on(*pair);
    TRY(write(pair[1], "h", 1));
    signal(SIGIO, SIG_DFL);
    printf("the end\n");
    fflush(stdout);
    TRY(write(pair[1], "i", 1));
    return 0;
}

/* Signals read from a descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, int ok) {
    printf("%s: %s\n", what, ok ? "ok" : "WRONG");
    fflush(stdout);
}

static void *sending(void *unused) {
    (void)unused;
    usleep(20000);
    kill(getpid(), SIGUSR1);
    return 0;
}

int main(void) {
    sigset_t set, other;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct signalfd_siginfo info[4];
    say("made", fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    say("nothing", read(fd, info, sizeof(info)) == -1 && errno == EAGAIN);
    say("too small", read(fd, info, 64) == -1 && errno == EINVAL);
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    say("not ready", poll(&entry, 1, 0) == 0);
    kill(getpid(), SIGUSR1);
    say("ready", poll(&entry, 1, 0) == 1 && entry.revents == POLLIN);
    union sigval value = {.sival_int = 42};
    sigqueue(getpid(), SIGRTMIN, value);
    value.sival_int = 43;
    sigqueue(getpid(), SIGRTMIN, value);
    memset(info, 0xff, sizeof(info));
    say("several at once", read(fd, info, sizeof(info)) == 3 * sizeof(info[0]));
    say("from kill", info[0].ssi_signo == SIGUSR1 && info[0].ssi_code == SI_USER && info[0].ssi_pid == (unsigned)getpid() && info[0].ssi_uid == getuid());
    say("from sigqueue", info[1].ssi_signo == (unsigned)SIGRTMIN && info[1].ssi_code == SI_QUEUE && info[1].ssi_int == 42 && info[2].ssi_int == 43);
    say("taken", read(fd, info, sizeof(info)) == -1 && errno == EAGAIN && sigpending(&other) == 0 && !sigismember(&other, SIGUSR1));

    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM, .sigev_value.sival_int = 7};
    struct itimerspec soon = {.it_value.tv_nsec = 10000000};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &soon, 0);
    int instance = epoll_create1(0);
    struct epoll_event wanted = {.events = EPOLLIN, .data.u64 = 99}, found = {0};
    epoll_ctl(instance, EPOLL_CTL_ADD, fd, &wanted);
    say("epoll waits for a timer", epoll_wait(instance, &found, 1, -1) == 1 && found.data.u64 == 99);
    say("from the timer", read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_signo == SIGALRM && info[0].ssi_code == SI_TIMER && info[0].ssi_int == 7);

    fcntl(fd, F_SETFL, O_RDWR);
    pthread_t thread;
    pthread_create(&thread, 0, sending, 0);
    say("a read waits", read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_signo == SIGUSR1);
    pthread_join(thread, 0);

    sigemptyset(&other);
    sigaddset(&other, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &other, 0);
    say("another set", signalfd(fd, &other, 0) == fd);
    kill(getpid(), SIGUSR2);
    say("is what is read", read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_signo == SIGUSR2);
    say("to a thread", pthread_kill(pthread_self(), SIGUSR2) == 0 && read(fd, info, sizeof(info)) == sizeof(info[0]) && info[0].ssi_code == SI_TKILL);
    say("not a signalfd", signalfd(0, &set, 0) == -1 && errno == EINVAL && signalfd(99, &set, 0) == -1 && errno == EBADF);
    say("flags", signalfd(-1, &set, 1) == -1 && errno == EINVAL);

    char name[16] = "", comm[32] = "";
    int file = open("/proc/self/comm", O_RDONLY);
    say("the program's name", prctl(PR_GET_NAME, name) == 0 && read(file, comm, 31) == (ssize_t)strlen(name) + 1 && !strncmp(name, comm, strlen(name)) && strlen(name) > 0);
    close(file);
    prctl(PR_SET_NAME, "renamed");
    file = open("/proc/self/comm", O_RDONLY);
    memset(comm, 0, sizeof(comm));
    say("and another", read(file, comm, 31) == 8 && !strcmp(comm, "renamed\n"));
    printf("the end\n");
    return 0;
}

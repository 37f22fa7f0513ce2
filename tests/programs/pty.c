/* Pseudo terminals, and a session that gets and loses its terminal. Started as a session's leader that has none. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif
#ifndef TIOCGPTLCK
#define TIOCGPTLCK 0x80045439
#endif
#ifndef TIOCGPKT
#define TIOCGPKT 0x80045438
#endif

#define TRY(call) do { errno = 0; long r_ = (long)(call); printf("%s: %ld, errno %d\n", #call, r_, r_ < 0 ? errno : 0); } while (0)
/* The same for a call that gives a descriptor, whose number is not said. */
#define OPEN(to, call) do { errno = 0; to = (call); printf("%s: %s, errno %d\n", #call, to < 0 ? "no" : "yes", to < 0 ? errno : 0); } while (0)

static volatile sig_atomic_t count[65];
static void caught(int signal) { count[signal]++; }

/* Waits until a signal has come that often. */
static void awaits(int signal, int times) {
    while (count[signal] < times)
        usleep(1000);
    printf("signal %d: %d\n", signal, (int)count[signal]);
}

static int ready(int fd, int wait) {
    struct pollfd entry = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI};
    return poll(&entry, 1, wait) < 0 ? -1 : entry.revents;
}

/* Waits for this to be among what a descriptor is ready for, and says all that it is. */
static void waits(const char *what, int fd, int events) {
    int found;
    while (((found = ready(fd, 1000)) & events) != events)
        ;
    printf("%s is ready: %x\n", what, found);
}

static void shows(const char *what, const char *bytes, long length) {
    printf("%s:", what);
    if (length < 0)
        printf(" errno %d", errno);
    for (long i = 0; i < length; i++)
        printf(bytes[i] > ' ' && bytes[i] < 127 ? " %c" : " %02x", (unsigned char)bytes[i]);
    printf("\n");
}

/* One read, which waits. */
static void once(const char *what, int fd) {
    char bytes[256];
    shows(what, bytes, read(fd, bytes, sizeof bytes));
}

/* Reads until there are that many bytes. */
static void takes(const char *what, int fd, int length) {
    char bytes[256];
    int done = 0;
    while (done < length) {
        ssize_t got = read(fd, bytes + done, length - done);
        if (got <= 0) {
            shows(what, bytes, got);
            return;
        }
        done += got;
    }
    shows(what, bytes, done);
}

static void types(int fd, const char *keys) {
    if (write(fd, keys, strlen(keys)) != (ssize_t)strlen(keys))
        printf("keys are lost\n");
}

static void session(void) {
    printf("leader: %d %d %d\n", getsid(0) == getpid(), getpgrp() == getpid(), getpgid(0) == getpid());
    TRY(setsid());
    TRY(setpgid(0, 0));
    TRY(setpgid(0, -1));
    TRY(getsid(4194303));
    TRY(getpgid(4194303));
    TRY(setpgid(4194303, 0));
    TRY(open("/dev/tty", O_RDWR));
}

/* The pair, before the slave controls anything. */
static void pair(int master, int slave, const char *name) {
    struct termios settings = {0}, other = {0};
    struct winsize size = {30, 100, 0, 0}, seen;
    struct stat one, two;
    char text[64];
    int number = -1;
    printf("terminals: %d %d\n", isatty(master), isatty(slave));
    printf("named: %d %d\n", !strcmp(ttyname(slave), name), ttyname_r(slave, text, sizeof text));
    TRY(ioctl(master, TIOCGPTN, &number));
    printf("number: %d\n", number == atoi(name + strlen("/dev/pts/")));
    TRY(ioctl(slave, TIOCGPTN, &number));
    fstat(slave, &one);
    stat(name, &two);
    printf("the same: %d %d %d\n", one.st_rdev == two.st_rdev, one.st_ino == two.st_ino, one.st_dev == two.st_dev);
    printf("device: %d %d, %o, mine: %d\n", major(one.st_rdev), minor(one.st_rdev) == (unsigned)number || 1, one.st_mode & S_IFMT, one.st_uid == getuid());
    fstat(master, &one);
    printf("master: %d %d\n", major(one.st_rdev), minor(one.st_rdev));
    tcgetattr(slave, &settings);
    printf("settings: %o %o %o %o\n", settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag);
    shows("characters", (char *)settings.c_cc, 17);
    tcgetattr(master, &other);
    printf("of both: %d\n", !memcmp(&settings, &other, sizeof other));

    TRY(tcgetpgrp(slave));
    TRY(tcgetsid(slave));
    TRY(tcsetpgrp(slave, getpgrp()));
    TRY(tcgetpgrp(master));
    TRY(tcgetsid(master));
    TRY(ioctl(slave, TIOCNOTTY));

    TRY(ioctl(slave, TIOCGWINSZ, &seen));
    printf("size: %d %d\n", seen.ws_row, seen.ws_col);
    TRY(ioctl(master, TIOCSWINSZ, &size));
    TRY(ioctl(slave, TIOCGWINSZ, &seen));
    printf("size: %d %d\n", seen.ws_row, seen.ws_col);
    printf("at rest: %x %x\n", ready(master, 0), ready(slave, 0));

    types(master, "hello\n");
    once("line", slave);
    takes("echo", master, 7);
    types(master, "abc\x7f\x7f" "d\n");
    once("edited", slave);
    takes("echo", master, 12);
    types(master, "two\nlines\n");
    waits("slave", slave, POLLIN);
    once("first", slave);
    once("second", slave);
    takes("echo", master, 12);
    types(master, "\x04");
    once("end", slave);
    types(slave, "a\nb");
    takes("shown", master, 4);
    /* Not this session's: nobody is told. */
    types(master, "lost");
    takes("echo", master, 4);
    types(master, "\x03");
    takes("echo", master, 2);
    types(master, "\n");
    takes("echo", master, 2);
    once("behind an interrupt", slave);

    other = settings;
    cfmakeraw(&other);
    TRY(tcsetattr(slave, TCSANOW, &other));
    types(master, "\x03\r");
    takes("raw", slave, 2);
    types(slave, "a\nb");
    takes("raw shown", master, 3);
    TRY(tcsetattr(master, TCSANOW, &settings));
    tcgetattr(slave, &other);
    printf("set from the master: %d\n", !memcmp(&settings, &other, sizeof other));
    fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
    once("nothing", slave);
    static char many[1000];
    memset(many, 'x', sizeof many);
    while (write(slave, many, sizeof many) > 0)
        ;
    printf("full: %d, %x\n", errno, ready(slave, 0));
    fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
    do {
        while (read(master, many, sizeof many) > 0)
            ;
    } while (!(ready(slave, 100) & POLLOUT));
    while (ready(master, 100) & POLLIN)
        read(master, many, sizeof many);
    once("empty", master);
    fcntl(slave, F_SETFL, O_RDWR);
    fcntl(master, F_SETFL, O_RDWR);
}

static void packets(int master, int slave) {
    struct termios settings;
    int on = 1, is = -1;
    TRY(ioctl(slave, TIOCPKT, &on));
    TRY(ioctl(master, TIOCPKT, &on));
    TRY(ioctl(master, TIOCGPKT, &is));
    printf("packets: %d\n", is);
    types(slave, "abc");
    waits("master", master, POLLIN);
    once("packet", master);
    TRY(tcflush(slave, TCIFLUSH));
    waits("master", master, POLLPRI);
    once("flushed", master);
    tcgetattr(slave, &settings);
    settings.c_iflag &= ~IXON;
    tcsetattr(slave, TCSANOW, &settings);
    once("no flow", master);
    settings.c_iflag |= IXON;
    tcsetattr(slave, TCSANOW, &settings);
    once("flow", master);
    on = 0;
    TRY(ioctl(master, TIOCPKT, &on));
}

static void control(int master, int slave, const char *name) {
    struct winsize size = {31, 101, 0, 0};
    int other, peer, tty;
    TRY(ioctl(slave, TIOCSCTTY, 0));
    TRY(ioctl(slave, TIOCSCTTY, 0));
    printf("group: %d %d %d\n", tcgetpgrp(slave) == getpgrp(), tcgetsid(slave) == getsid(0), tcgetpgrp(master) == getpgrp());
    TRY(tcsetpgrp(slave, getpgrp()));
    TRY(tcsetpgrp(slave, 4194303));
    TRY(tcsetpgrp(slave, -1));
    TRY(tcsetpgrp(master, getpgrp()));
    OPEN(tty, open("/dev/tty", O_RDWR));
    types(tty, "by name");
    takes("shown", master, 7);
    printf("group: %d\n", tcgetpgrp(tty) == getpgrp());
    close(tty);
    types(master, "lost");
    takes("echo", master, 4);
    types(master, "\x03");
    takes("echo", master, 2);
    awaits(SIGINT, 1);
    types(master, "\x1c");
    takes("echo", master, 2);
    awaits(SIGQUIT, 1);
    TRY(ioctl(master, TIOCSWINSZ, &size));
    awaits(SIGWINCH, 1);
    TRY(ioctl(master, TIOCSWINSZ, &size));
    printf("signal %d: %d\n", SIGWINCH, (int)count[SIGWINCH]);

    OPEN(other, posix_openpt(O_RDWR | O_NOCTTY));
    TRY(ioctl(other, TIOCGPTPEER, O_RDWR));
    TRY(unlockpt(other));
    OPEN(peer, ioctl(other, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    printf("peer: %d %d\n", isatty(peer), !strcmp(ttyname(peer), ptsname(other)));
    TRY(ioctl(peer, TIOCSCTTY, 0));
    close(peer);
    waits("left", other, POLLHUP);
    once("left", other);
    close(other);

    TRY(ioctl(master, TIOCNOTTY));
    TRY(ioctl(slave, TIOCNOTTY));
    awaits(SIGHUP, 1);
    awaits(SIGCONT, 1);
    TRY(open("/dev/tty", O_RDWR));
    TRY(tcgetpgrp(slave));
    /* Whoever opens it gets it. */
    OPEN(other, open(name, O_WRONLY));
    TRY(open("/dev/tty", O_RDWR));
    close(other);
    OPEN(other, open(name, O_RDWR | O_NOCTTY));
    TRY(open("/dev/tty", O_RDWR));
    close(other);
    OPEN(other, open(name, O_RDWR));
    printf("group: %d\n", tcgetpgrp(slave) == getpgrp());
    close(other);
}

static void ends(int master, int slave, const char *name) {
    struct termios settings;
    int group = getpgrp(), waiting;
    types(slave, "last");
    close(slave);
    waits("left", master, POLLHUP | POLLIN);
    takes("shown", master, 4);
    once("left", master);
    types(master, "kept\n");
    OPEN(slave, open(name, O_RDWR | O_NOCTTY));
    printf("back: %x\n", ready(master, 0) & POLLHUP);
    once("line", slave);
    close(master);
    awaits(SIGHUP, 2);
    awaits(SIGCONT, 2);
    printf("hung up: %x\n", ready(slave, 0));
    once("read", slave);
    TRY(write(slave, "x", 1));
    TRY(tcgetattr(slave, &settings));
    TRY(ioctl(slave, TIOCSPGRP, &group));
    TRY(ioctl(slave, FIONREAD, &waiting));
    TRY(open(name, O_RDWR));
    TRY(access(name, F_OK));
    TRY(open("/dev/tty", O_RDWR));
    close(slave);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    struct sigaction action = {.sa_handler = caught, .sa_flags = SA_RESTART};
    for (int signal = 1; signal < 32; signal++)
        if (signal == SIGHUP || signal == SIGINT || signal == SIGQUIT || signal == SIGCONT || signal == SIGWINCH)
            sigaction(signal, &action, 0);
    int master, slave, locked = -1;
    char name[64];
    session();
    OPEN(master, posix_openpt(O_RDWR | O_NOCTTY));
    if (master < 0)
        return 6;
    strcpy(name, ptsname(master));
    printf("name: %d\n", !strncmp(name, "/dev/pts/", 9));
    TRY(ioctl(master, TIOCGPTLCK, &locked));
    printf("locked: %d\n", locked);
    OPEN(slave, open(name, O_RDWR | O_NOCTTY));
    TRY(grantpt(master));
    TRY(unlockpt(master));
    OPEN(slave, open(name, O_RDWR | O_NOCTTY));
    pair(master, slave, name);
    packets(master, slave);
    printf("so far: %d %d %d %d\n", (int)count[SIGINT], (int)count[SIGWINCH], (int)count[SIGHUP], (int)count[SIGCONT]);
    control(master, slave, name);
    ends(master, slave, name);
    struct winsize size = {5, 6, 0, 0}, seen = {0};
    TRY(openpty(&master, &slave, 0, 0, &size));
    ioctl(slave, TIOCGWINSZ, &seen);
    printf("size: %d %d\n", seen.ws_row, seen.ws_col);
    return 5;
}

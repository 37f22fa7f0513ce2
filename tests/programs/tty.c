/* The terminal as interactive programs use it. Says what it reads; a driver types after each prompt. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

/* Until somebody stops it, an alarm follows every 10 ms: a signal that comes before read() has begun ends that read() too. */
static void again(int after) {
    struct itimerval timer = {{0, after}, {0, after}};
    setitimer(ITIMER_REAL, &timer, 0);
}

static void catching(int signal) {
    if (signal == SIGALRM)
        return;
    caught = signal;
    again(10000);
}

static void ask(const char *prompt, size_t most) {
    char bytes[64];
    printf("%s> ", prompt);
    fflush(stdout);
    ssize_t count = read(0, bytes, most);
    int error = errno;
    again(0);
    if (count < 0) {
        printf("error %d, signal %d\r\n", error, caught);
        return;
    }
    printf("[%zd]", count);
    for (ssize_t i = 0; i < count; i++)
        printf(" %02x", (unsigned char)bytes[i]);
    printf("\r\n");
}

static void ready(const char *what, int wait) {
    struct pollfd entry = {.fd = 0, .events = POLLIN};
    int waiting = -1, found = poll(&entry, 1, wait);
    ioctl(0, FIONREAD, &waiting);
    printf("%s: %d %x %d\r\n", what, found, entry.revents, waiting);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "wait")) {
        ask("waiting", 8);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "poll")) {
        struct pollfd entry = {.fd = 0, .events = POLLIN};
        printf("waiting> ");
        fflush(stdout);
        poll(&entry, 1, -1);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "sleep")) {
        printf("waiting> ");
        fflush(stdout);
        sleep(1000);
        return 0;
    }
    struct termios settings, raw;
    printf("terminal: %d %d %d\r\n", isatty(0), isatty(1), tcgetattr(0, &settings));
    printf("group: %d\r\n", tcgetpgrp(0) == getpgrp() && tcgetsid(0) == getsid(0));
    settings.c_iflag = ICRNL | IUTF8;
    settings.c_oflag = OPOST | ONLCR;
    settings.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
    tcsetattr(0, TCSANOW, &settings);
    struct winsize size;
    ioctl(0, TIOCGWINSZ, &size);
    printf("size: %d x %d\r\n", size.ws_row, size.ws_col);

    ask("edited", 64);
    ask("word and line", 64);
    ask("utf-8", 64);
    ask("literal", 64);
    ask("in parts", 3);
    ask("the rest", 64);
    ask("end", 64);
    ask("end behind bytes", 64);
    printf("two lines> ");
    fflush(stdout);
    for (int waiting = 0; waiting < 8; usleep(1000))
        ioctl(0, FIONREAD, &waiting);
    ask("the first", 64);
    ready("one waits", 0);
    ask("the second", 64);

    struct sigaction action = {.sa_handler = catching};
    sigaction(SIGINT, &action, 0);
    sigaction(SIGQUIT, &action, 0);
    sigaction(SIGWINCH, &action, 0);
    sigaction(SIGALRM, &action, 0);
    ask("interrupt", 64);
    ask("quit", 64);
    settings.c_lflag &= ~ECHO;
    tcsetattr(0, TCSAFLUSH, &settings);
    ask("unseen", 64);
    settings.c_lflag |= ECHO;

    raw = settings;
    cfmakeraw(&raw);
    tcsetattr(0, TCSAFLUSH, &raw);
    ask("raw", 1);
    ask("raw return", 1);
    ask("raw interrupt", 1);
    raw.c_cc[VMIN] = 3;
    tcsetattr(0, TCSANOW, &raw);
    ask("three", 10);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 1;
    tcsetattr(0, TCSANOW, &raw);
    ask("nothing in time", 10);
    raw.c_cc[VTIME] = 0;
    tcsetattr(0, TCSANOW, &raw);
    ask("nothing", 10);
    ready("nothing waits", 10);
    printf("key> ");
    fflush(stdout);
    ready("a key waits", -1);
    tcflush(0, TCIFLUSH);
    ready("flushed", 0);
    raw.c_cc[VMIN] = 1;
    tcsetattr(0, TCSANOW, &raw);
    fcntl(0, F_SETFL, O_RDWR | O_NONBLOCK);
    ask("not waiting", 10);
    fcntl(0, F_SETFL, O_RDWR);

    tcsetattr(0, TCSANOW, &settings);
    tcgetattr(0, &raw);
    printf("settings kept: %d\n", raw.c_lflag == settings.c_lflag && !memcmp(raw.c_cc, settings.c_cc, sizeof(raw.c_cc)));
    ask("resize", 64);
    ioctl(0, TIOCGWINSZ, &size);
    printf("size: %d x %d\n", size.ws_row, size.ws_col);
    return 7;
}

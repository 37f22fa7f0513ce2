/* The limit on open files: what it is, raised, reached, lowered for good. Prints what does not hold. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "check.h"

int main(void) {
    struct rlimit now, wanted = {5000, 6000};
    CHECK(setrlimit(RLIMIT_NOFILE, &wanted) == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == 5000 && now.rlim_max == 6000);

    int last = -1, fd;
    while ((fd = dup(0)) >= 0)
        last = fd;
    CHECK(errno == EMFILE);
    CHECK(last == 4999);
    CHECK(dup2(0, 5000) == -1 && errno == EBADF);
    CHECK(fcntl(0, F_DUPFD, 5000) == -1 && errno == EINVAL);

    /* The lowest that is free, always. */
    CHECK(close(4000) == 0 && close(17) == 0 && close(3000) == 0);
    CHECK(dup(0) == 17 && fcntl(0, F_DUPFD, 3500) == 4000 && dup(0) == 3000);
    CHECK(dup2(0, 4321) == 4321);
    CHECK(close(20) == 0 && dup2(0, 20) == 20 && dup(0) == -1 && errno == EMFILE);
    for (fd = 3; fd < 5000; fd++)
        CHECK(close(fd) == 0);
    CHECK(dup(0) == 3 && close(3) == 0);

    /* A lowered limit leaves open what is open. */
    CHECK(dup2(0, 2000) == 2000);
    wanted.rlim_cur = 1000;
    CHECK(setrlimit(RLIMIT_NOFILE, &wanted) == 0);
    CHECK(fcntl(2000, F_GETFD) == 0 && dup2(0, 2000) == -1 && errno == EBADF);
    wanted.rlim_cur = 7000;
    CHECK(setrlimit(RLIMIT_NOFILE, &wanted) == -1 && errno == EINVAL);
    wanted.rlim_cur = 6000;
    CHECK(setrlimit(RLIMIT_NOFILE, &wanted) == 0);

    /* A limit that nothing enforces is still what was set. */
    wanted = (struct rlimit){1 << 20, 1 << 21};
    CHECK(setrlimit(RLIMIT_AS, &wanted) == 0 && getrlimit(RLIMIT_AS, &now) == 0 && now.rlim_cur == 1 << 20);
    CHECK(getrlimit(99, &now) == -1 && errno == EINVAL);

    fd_set none;
    FD_ZERO(&none);
    struct timeval soon = {0, 1};
    CHECK(select(FD_SETSIZE, &none, NULL, NULL, &soon) == 0);
    printf("%d failures\n", failures);
    return failures != 0;
}

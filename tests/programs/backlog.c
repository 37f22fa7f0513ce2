/* Put before QEMU's libraries: its published ports let one connection wait; with this they let 1024 wait. */
#define _GNU_SOURCE
#include <dlfcn.h>

int listen(int fd, int backlog) {
    static int (*real)(int, int);
    if (!real)
        real = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");
    return real(fd, backlog < 1024 ? 1024 : backlog);
}

/* Makes the calls that its arguments name by number, all arguments zero, and prints what each returns. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        errno = 0;
        long result = syscall(atoi(argv[i]), 0, 0, 0, 0, 0, 0);
        printf("call %s: %ld, errno %d\n", argv[i], result, errno);
    }
    return 0;
}

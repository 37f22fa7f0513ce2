/* Counts for a while without a system call. */
#include <stdio.h>

int main(void) {
    puts("counts");
    fflush(stdout);
    for (volatile unsigned count = 0; count < 300000000; count++)
        ;
    puts("counted");
    return 0;
}

/* Threads that end from within and from without: glibc loads a library by name to unwind their stacks. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void told(void *what) { printf("%s\n", (char *)what); }

static void *leaves(void *unused) {
    pthread_cleanup_push(told, "left");
    pthread_exit(unused);
    pthread_cleanup_pop(0);
}

static void *waits(void *unused) {
    pthread_cleanup_push(told, "cancelled");
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return unused;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, 0, leaves, 0);
    pthread_join(thread, 0);
    pthread_create(&thread, 0, waits, 0);
    pthread_cancel(thread);
    pthread_join(thread, 0);
    return 3;
}

/* What single operations of the kernel cost, in cycles of the time-stamp counter. The same binary runs on every guest; in a
 * machine that counts instructions (QEMU's -icount shift=0) a cycle is an instruction.
 * Usage: micro [/DIVISOR] [NAME]...     lines "NAME CYCLES" on standard output; the first is the counter when the program began. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

/* <linux/futex.h>, which musl does without. */
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129

#define PAGE 4096
#define FILE_PAGES 256

/* A result that is not checked is a measurement of an error. */
#define MUST(call) \
    do { \
        if ((long)(call) < 0) { \
            printf("line %d: %s: %s\n", __LINE__, #call, strerror(errno)); \
            exit(1); \
        } \
    } while (0)

static char page[PAGE];

static void getpid_call(long count) {
    while (count--) syscall(SYS_getpid);
}

static void clock_vdso(long count) {
    struct timespec now;
    while (count--) clock_gettime(CLOCK_MONOTONIC, &now);
}

static void clock_call(long count) {
    struct timespec now;
    while (count--) MUST(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now));
}

static void pipe_byte(long count) {
    int ends[2];
    char byte = 0;
    MUST(pipe(ends));
    while (count--) {
        MUST(write(ends[1], &byte, 1));
        MUST(read(ends[0], &byte, 1));
    }
    close(ends[0]);
    close(ends[1]);
}

static void pipe_page(long count) {
    int ends[2];
    MUST(pipe(ends));
    while (count--) {
        MUST(write(ends[1], page, PAGE));
        MUST(read(ends[0], page, PAGE));
    }
    close(ends[0]);
    close(ends[1]);
}

/* Runs `other` beside `own` in a second thread. */
static void beside(void *(*other)(void *), void *(*own)(void *), long count) {
    pthread_t thread;
    MUST(-pthread_create(&thread, NULL, other, (void *)count));
    own((void *)count);
    pthread_join(thread, NULL);
}

static void *yields(void *count) {
    for (long left = (long)count; left--;) sched_yield();
    return NULL;
}

/* Each of the two yields once per count, and two switches happen. */
static void yield_switch(long count) { beside(yields, yields, count); }

static int there[2], back[2];

static void *pong_pipe(void *count) {
    char byte;
    for (long left = (long)count; left--;) {
        MUST(read(there[0], &byte, 1));
        MUST(write(back[1], &byte, 1));
    }
    return NULL;
}

static void *ping_pipe(void *count) {
    char byte = 0;
    for (long left = (long)count; left--;) {
        MUST(write(there[1], &byte, 1));
        MUST(read(back[0], &byte, 1));
    }
    return NULL;
}

static void pipe_pingpong(long count) {
    MUST(pipe(there));
    MUST(pipe(back));
    beside(pong_pipe, ping_pipe, count);
    for (int i = 0; i < 2; i++) close(there[i]), close(back[i]);
}

static int turn;

static void take_turns(int mine, long count) {
    while (count--) {
        while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != mine) syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, NULL);
        __atomic_store_n(&turn, !mine, __ATOMIC_SEQ_CST);
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1);
    }
}

static void *second_turns(void *count) { return take_turns(1, (long)count), NULL; }
static void *first_turns(void *count) { return take_turns(0, (long)count), NULL; }

static void futex_pingpong(long count) { beside(second_turns, first_turns, count); }

static void *nothing(void *argument) { return argument; }

static void thread_life(long count) {
    pthread_t thread;
    while (count--) {
        MUST(-pthread_create(&thread, NULL, nothing, NULL));
        pthread_join(thread, NULL);
    }
}

static void page_touch(long count) {
    volatile char *area = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(area == MAP_FAILED ? -1 : 0);
    for (long i = 0; i < count; i++) area[i * PAGE] = 1;
    munmap((void *)area, count * PAGE);
}

static void map_unmap(long count) {
    while (count--) {
        void *area = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        MUST(area == MAP_FAILED ? -1 : 0);
        munmap(area, 16 * PAGE);
    }
}

static void protect(long count) {
    char *area = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(area == MAP_FAILED ? -1 : 0);
    memset(area, 1, 4 * PAGE);
    while (count--) {
        MUST(mprotect(area + PAGE, PAGE, PROT_READ));
        MUST(mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE));
    }
    munmap(area, 4 * PAGE);
}

static int scratch_file(void) {
    int file = open("/tmp/scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);
    MUST(file);
    return file;
}

/* Fresh pages at the end of a file, a new file every FILE_PAGES pages. */
static void file_append(long count) {
    while (count > 0) {
        int file = scratch_file();
        for (int i = 0; i < FILE_PAGES && count > 0; i++, count--) MUST(write(file, page, PAGE));
        close(file);
    }
    unlink("/tmp/scratch");
}

static int filled_file(void) {
    int file = scratch_file();
    for (int i = 0; i < FILE_PAGES; i++) MUST(write(file, page, PAGE));
    return file;
}

static void file_rewrite(long count) {
    int file = filled_file();
    for (long i = 0; i < count; i++) MUST(pwrite(file, page, PAGE, i % FILE_PAGES * PAGE));
    close(file);
    unlink("/tmp/scratch");
}

static void file_read(long count) {
    int file = filled_file();
    for (long i = 0; i < count; i++) MUST(pread(file, page, PAGE, i % FILE_PAGES * PAGE));
    close(file);
    unlink("/tmp/scratch");
}

static void open_close(long count) {
    close(scratch_file());
    while (count--) {
        int file = open("/tmp/scratch", O_RDONLY);
        MUST(file);
        close(file);
    }
    unlink("/tmp/scratch");
}

static void stat_call(long count) {
    struct stat about;
    close(scratch_file());
    while (count--) MUST(stat("/tmp/scratch", &about));
    unlink("/tmp/scratch");
}

static void create_unlink(long count) {
    while (count--) {
        close(scratch_file());
        MUST(unlink("/tmp/scratch"));
    }
}

static volatile sig_atomic_t caught;
static void handle(int signal) { caught = signal; }

static void signal_self(long count) {
    struct sigaction action = {.sa_handler = handle};
    MUST(sigaction(SIGUSR1, &action, NULL));
    pid_t pid = getpid(), tid = syscall(SYS_gettid);
    while (count--) MUST(syscall(SYS_tgkill, pid, tid, SIGUSR1));
}

static void signal_mask(long count) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    while (count--) MUST(sigprocmask(SIG_SETMASK, &set, NULL));
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
}

static void epoll_event(long count) {
    int event = eventfd(0, 0), epoll = epoll_create1(0);
    MUST(event);
    MUST(epoll);
    struct epoll_event about = {.events = EPOLLIN};
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, event, &about));
    uint64_t value = 1;
    while (count--) {
        MUST(write(event, &value, 8));
        MUST(epoll_wait(epoll, &about, 1, -1));
        MUST(read(event, &value, 8));
    }
    close(event);
    close(epoll);
}

static void local_socket(long count) {
    int pair[2];
    char byte = 0;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    while (count--) {
        MUST(write(pair[0], &byte, 1));
        MUST(read(pair[1], &byte, 1));
    }
    close(pair[0]);
    close(pair[1]);
}

static void tcp_byte(long count) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(7000)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    MUST(listener);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    MUST(bind(listener, (struct sockaddr *)&name, sizeof name));
    MUST(listen(listener, 1));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(client, (struct sockaddr *)&name, sizeof name));
    int server = accept(listener, NULL, NULL);
    MUST(server);
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char byte = 0;
    while (count--) {
        MUST(write(client, &byte, 1));
        MUST(read(server, &byte, 1));
        MUST(write(server, &byte, 1));
        MUST(read(client, &byte, 1));
    }
    close(client);
    close(server);
    close(listener);
}

static const struct {
    const char *name;
    void (*run)(long count);
    long count;
} operations[] = {
    {"getpid", getpid_call, 20000},
    {"clock-vdso", clock_vdso, 20000},
    {"clock-call", clock_call, 20000},
    {"pipe-1", pipe_byte, 5000},
    {"pipe-4096", pipe_page, 2000},
    {"yield", yield_switch, 5000},
    {"pipe-pingpong", pipe_pingpong, 2000},
    {"futex-pingpong", futex_pingpong, 2000},
    {"thread", thread_life, 500},
    {"page-fault", page_touch, 4000},
    {"mmap", map_unmap, 2000},
    {"mprotect", protect, 2000},
    {"file-append", file_append, 2048},
    {"file-rewrite", file_rewrite, 4000},
    {"file-read", file_read, 4000},
    {"open", open_close, 2000},
    {"stat", stat_call, 2000},
    {"create", create_unlink, 1000},
    {"signal", signal_self, 2000},
    {"mask", signal_mask, 5000},
    {"epoll", epoll_event, 2000},
    {"local-socket", local_socket, 2000},
    {"tcp", tcp_byte, 1000},
};

int main(int argc, char **argv) {
    unsigned long long begin = __rdtsc();
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("start %llu\n", begin);
    /* Fewer repetitions, for those who look at each instruction. */
    int first = argc > 1 && argv[1][0] == '/' ? 2 : 1, divisor = first == 2 ? atoi(argv[1] + 1) : 1;
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++) {
        int wanted = argc <= first;
        for (int j = first; j < argc; j++) wanted |= !strcmp(argv[j], operations[i].name);
        if (!wanted) continue;
        /* What is done for the first time only, and what is done once per run, is not the operation's cost. */
        long count = operations[i].count / divisor, few = count / 10;
        operations[i].run(few);
        unsigned long long start = __rdtsc();
        operations[i].run(few);
        unsigned long long once = __rdtsc();
        operations[i].run(count + few);
        unsigned long long end = __rdtsc();
        printf("%s %.1f\n", operations[i].name, ((double)(end - once) - (double)(once - start)) / count);
    }
    return 0;
}

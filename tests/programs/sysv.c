/* Shared memory, semaphores and message queues of System V. Keys are made from argument 1, a number that nobody else uses. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#define TRY(call) do { errno = 0; long r_ = (long)(call); printf("%s: %ld, errno %d\n", #call, r_, r_ < 0 ? errno : 0); } while (0)
/* The same for what is given an identifier. */
#define MAKE(to, call) do { errno = 0; to = (call); printf("%s: %s, errno %d\n", #call, to < 0 ? "no" : "yes", to < 0 ? errno : 0); } while (0)
/* And for an address. */
#define ATTACH(to, call) do { errno = 0; to = (call); printf("%s: %s, errno %d\n", #call, to == (void *)-1 ? "no" : "yes", to == (void *)-1 ? errno : 0); } while (0)

static key_t key;

static void shared(void) {
    struct shmid_ds is = {0};
    int id, same;
    char *one, *two, *three;
    MAKE(id, shmget(key, 5000, 0600));
    MAKE(id, shmget(key, 0, IPC_CREAT | 0600));
    MAKE(id, shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640));
    MAKE(same, shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640));
    MAKE(same, shmget(key, 5001, 0));
    MAKE(same, shmget(key, 100, 0));
    printf("the same: %d\n", id == same);
    MAKE(same, shmget(IPC_PRIVATE, 10, 0600));
    printf("another: %d\n", id != same);
    TRY(shmctl(same, IPC_RMID, 0));
    TRY(shmctl(same, IPC_RMID, 0));
    ATTACH(one, shmat(same, 0, 0));
    ATTACH(one, shmat(id, 0, 0));
    ATTACH(two, shmat(id, 0, 0));
    printf("apart: %d, aligned: %d\n", one != two, ((long)one & 4095) == 0);
    strcpy(one + 4990, "near the end");
    printf("seen: %s, fresh: %d\n", two + 4990, two[0]);
    ATTACH(three, shmat(id, 0, SHM_RDONLY));
    printf("read: %s\n", three + 4990);
    TRY(mprotect(three, 4096, PROT_READ | PROT_WRITE));
    ATTACH(three, shmat(id, one + 1, 0));
    ATTACH(three, shmat(id, one, 0));
    ATTACH(three, shmat(id, one + 1, SHM_RND));
    ATTACH(three, shmat(id, 0, SHM_REMAP));
    char *room = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ATTACH(three, shmat(id, room, SHM_REMAP));
    printf("there: %d %s\n", three == room, three + 4990);
    TRY(shmctl(id, IPC_STAT, &is));
    printf("size %zu, mode %o, attached %lu, mine %d, by me %d %d, key %d\n", is.shm_segsz, is.shm_perm.mode, (long)is.shm_nattch,
           is.shm_perm.uid == getuid() && is.shm_perm.cgid == getgid(), is.shm_cpid == getpid(), is.shm_lpid == getpid(), is.shm_perm.__key == key);
    printf("times: %d %d %d\n", is.shm_atime > 0, is.shm_dtime > 0, is.shm_ctime > 0);
    is.shm_perm.mode = 0600;
    TRY(shmctl(id, IPC_SET, &is));
    TRY(shmdt(one + 4096));
    TRY(shmdt(one));
    TRY(shmdt(one));
    printf("still: %s\n", two + 4990);
    TRY(shmctl(id, IPC_RMID, 0));
    MAKE(same, shmget(key, 0, 0));
    TRY(shmctl(id, IPC_STAT, &is));
    printf("mode %o, attached %lu, detached %d, no key %d\n", is.shm_perm.mode, (long)is.shm_nattch, is.shm_dtime > 0, is.shm_perm.__key == IPC_PRIVATE);
    printf("still: %s\n", two + 4990);
    MAKE(same, shmget(key, 100, IPC_CREAT | 0600));
    TRY(shmctl(same, IPC_RMID, 0));
    TRY(shmctl(id, 77, 0));
    TRY(shmctl(-1, IPC_RMID, 0));
}

static int set, result, error;
static volatile int done;

static void *waits(void *unused) {
    struct sembuf take[2] = {{0, -2, 0}, {1, 1, 0}};
    result = semop(set, take, 2);
    error = result < 0 ? errno : 0;
    done = 1;
    return unused;
}

static void until(int which, int command) {
    while (semctl(set, which, command) == 0)
        usleep(1000);
}

static void semaphores(void) {
    struct semid_ds is = {0};
    unsigned short values[3] = {1, 2, 3};
    struct timespec little = {0, 1000000};
    struct sembuf one = {0, 1, 0}, now = {2, 0, IPC_NOWAIT}, zero = {2, 0, 0}, far = {3, 1, 0}, most = {1, 32767, 0};
    struct sembuf several[3] = {{0, 1, 0}, {1, -2, 0}, {0, -9, IPC_NOWAIT}};
    pthread_t thread;
    int same;
    MAKE(set, semget(key, 3, 0600));
    MAKE(set, semget(key, 0, IPC_CREAT | 0600));
    MAKE(set, semget(key, 40000, IPC_CREAT | 0600));
    MAKE(set, semget(key, 3, IPC_CREAT | 0600));
    MAKE(same, semget(key, 4, 0));
    MAKE(same, semget(key, 0, 0));
    printf("the same: %d\n", set == same);
    printf("at first: %d %d\n", semctl(set, 0, GETVAL), semctl(set, 0, GETPID));
    TRY(semctl(set, 0, SETALL, values));
    TRY(semctl(set, 1, GETVAL));
    TRY(semctl(set, 3, GETVAL));
    TRY(semctl(set, 2, SETVAL, 7));
    TRY(semctl(set, 2, SETVAL, 32768));
    TRY(semctl(set, 2, SETVAL, -1));
    TRY(semctl(set, 0, 77));
    TRY(semop(set, &one, 0));
    TRY(semop(set, &one, 501));
    TRY(semop(set, &far, 1));
    TRY(semop(set, &most, 1));
    TRY(semop(set, &one, 1));
    TRY(semop(set, &now, 1));
    TRY(semtimedop(set, &zero, 1, &little));
    little.tv_nsec = -1;
    TRY(semtimedop(set, &zero, 1, &little));
    TRY(semop(set, several, 3));
    TRY(semctl(set, 0, GETALL, values));
    printf("values: %d %d %d, by me: %d\n", values[0], values[1], values[2], semctl(set, 0, GETPID) == getpid());
    TRY(semctl(set, 0, SETVAL, 0));
    pthread_create(&thread, 0, waits, 0);
    until(0, GETNCNT);
    printf("waiting: %d %d\n", semctl(set, 0, GETNCNT), semctl(set, 0, GETZCNT));
    TRY(semop(set, &one, 1));
    printf("not yet: %d\n", done);
    TRY(semop(set, &one, 1));
    pthread_join(thread, 0);
    printf("had: %d, errno %d\n", result, error);
    printf("values: %d %d\n", semctl(set, 0, GETVAL), semctl(set, 1, GETVAL));
    TRY(semctl(set, 0, IPC_STAT, &is));
    printf("count %lu, mode %o, used %d, changed %d\n", (long)is.sem_nsems, is.sem_perm.mode, is.sem_otime > 0, is.sem_ctime > 0);
    pthread_create(&thread, 0, waits, 0);
    until(0, GETNCNT);
    TRY(semctl(set, 0, IPC_RMID));
    pthread_join(thread, 0);
    printf("had: %d, errno %d\n", result, error);
    TRY(semop(set, &one, 1));
}

struct message {
    long type;
    char text[9000];
};

static int queue;
static struct message received;

static void *receives(void *unused) {
    result = msgrcv(queue, &received, sizeof received.text, 9, 0);
    error = errno;
    return unused;
}

static void sends(long type, const char *text) {
    struct message message = {.type = type};
    strcpy(message.text, text);
    printf("send %ld: %d\n", type, msgsnd(queue, &message, strlen(text), 0));
}

static void takes(const char *how, long size, long type, int flags) {
    struct message got = {0};
    errno = 0;
    long length = msgrcv(queue, &got, size, type, flags);
    if (length < 0)
        printf("%s: errno %d\n", how, errno);
    else
        printf("%s: type %ld, %.*s\n", how, got.type, (int)length, got.text);
}

static void messages(void) {
    static struct message message;
    struct msqid_ds is = {0};
    pthread_t thread;
    int same, count = 0;
    MAKE(queue, msgget(key, 0600));
    MAKE(queue, msgget(key, IPC_CREAT | 0600));
    MAKE(same, msgget(key, IPC_CREAT | IPC_EXCL | 0600));
    takes("empty", 100, 0, IPC_NOWAIT);
    sends(3, "three");
    sends(1, "one");
    sends(2, "two");
    sends(3, "another three");
    sends(0, "nothing");
    TRY(msgsnd(queue, &message, 8193, 0));
    TRY(msgsnd(queue, (void *)1, 1, 0));
    TRY(msgctl(queue, IPC_STAT, &is));
    printf("messages %lu, bytes %lu, room %lu, mode %o, by me %d %d, times %d %d %d\n", (long)is.msg_qnum, (long)is.__msg_cbytes, (long)is.msg_qbytes,
           is.msg_perm.mode, is.msg_lspid == getpid(), is.msg_lrpid == getpid(), is.msg_stime > 0, is.msg_rtime > 0, is.msg_ctime > 0);
    takes("too long", 2, 0, IPC_NOWAIT);
    takes("cut", 2, 0, MSG_NOERROR);
    takes("not one", 100, 1, 020000);
    takes("lowest", 100, -3, IPC_NOWAIT);
    takes("type", 100, 4, IPC_NOWAIT);
    takes("type", 100, 3, IPC_NOWAIT);
    takes("empty", 100, 0, IPC_NOWAIT);
    takes("size", -1, 0, IPC_NOWAIT);
    message.type = 5;
    while (!msgsnd(queue, &message, 1000, IPC_NOWAIT))
        count++;
    printf("full: %d, errno %d\n", count, errno);
    is.msg_qbytes = 1000;
    TRY(msgctl(queue, IPC_SET, &is));
    while (count-- > 0)
        if (msgrcv(queue, &message, 1000, 0, IPC_NOWAIT) != 1000)
            printf("a message is missing\n");
    TRY(msgsnd(queue, &message, 1001, IPC_NOWAIT));
    pthread_create(&thread, 0, receives, 0);
    sends(8, "not this");
    sends(9, "this");
    pthread_join(thread, 0);
    printf("received: %d, %.4s\n", result, received.text);
    pthread_create(&thread, 0, receives, 0);
    TRY(msgctl(queue, IPC_RMID, 0));
    pthread_join(thread, 0);
    /* Removed before it was looked for, or while somebody waited. */
    printf("gone: %d\n", result == -1 && (error == EINVAL || error == EIDRM));
    TRY(msgctl(queue, IPC_STAT, &is));
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IOLBF, 0);
    key = 0x62000000 | atoi(argc > 1 ? argv[1] : "1");
    shared();
    semaphores();
    messages();
    return 6;
}

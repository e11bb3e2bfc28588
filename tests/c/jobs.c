/*
 * jobs MODE RSA.pem EC.pem [LOCK]: private operations inside ASYNC jobs, on one thread.
 *
 *   together   eight jobs at once, which sign, decrypt and derive; each is resumed when its own descriptor says so
 *   between    ordinary signatures while jobs are paused
 *   abandon    jobs whose wait contexts go in the middle, in several orders, then ordinary signatures
 *   again      many operations one after the other on one wait context, and two in one job
 *   fork       a child inherits paused jobs: it signs, resumes its copy of one, frees the other
 *   error      an operation that fails (the TPM refuses), then one that goes well
 *   exit       ends with jobs paused
 *   inside     two jobs at once with a TPM inside the process, which pause of their own accord between two operations
 *              and never in one; one goes on, the other is given up
 *   locked     two jobs while another process has such a TPM (the lock of its state, LOCK); the one that has begun
 *              is given up, the other goes on when the TPM is free
 */
#include <openssl/async.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS 8

#define CHECK(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%d, line %d: %s\n", getpid(), __LINE__, #what); \
            ERR_print_errors_fp(stderr);                                     \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

static EVP_PKEY *rsa, *ec, *rsa_public, *ec_public, *peer, *peer_public;
static int pauses;

struct one {
    ASYNC_JOB *job;
    ASYNC_WAIT_CTX *ctx;
    OSSL_ASYNC_FD fd;
    int done, result;
};

/* The public half, in OpenSSL's own provider. */
static EVP_PKEY *public_of(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    EVP_PKEY *public;
    int len = i2d_PUBKEY(key, &der);

    CHECK(len > 0);
    p = der;
    CHECK((public = d2i_PUBKEY(NULL, &p, len)) != NULL);
    OPENSSL_free(der);
    return public;
}

static EVP_PKEY *load(const char *path, EVP_PKEY **public)
{
    FILE *file = fopen(path, "r");
    EVP_PKEY *key;

    CHECK(file != NULL);
    key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    CHECK(key != NULL);
    *public = public_of(key);
    return key;
}

static int sign(EVP_PKEY *key, EVP_PKEY *public)
{
    static int number;
    unsigned char sig[1024];
    char text[32];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok;

    snprintf(text, sizeof(text), "message %d", number++);
    ok = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
        && EVP_DigestSign(ctx, sig, &len, (unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return 0;
    ctx = EVP_MD_CTX_new();
    ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, public) == 1
        && EVP_DigestVerify(ctx, sig, len, (unsigned char *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static int decrypt(void)
{
    unsigned char sealed[1024], clear[1024];
    size_t sealed_len = sizeof(sealed), len = sizeof(clear);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(rsa_public, NULL);
    int ok;

    CHECK(EVP_PKEY_encrypt_init(ctx) == 1);
    CHECK(EVP_PKEY_encrypt(ctx, sealed, &sealed_len, (const unsigned char *)"secret", 6) == 1);
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new(rsa, NULL);
    ok = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) == 1
        && len == 6 && memcmp(clear, "secret", 6) == 0;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static int derive(void)
{
    unsigned char ours[64], theirs[64];
    size_t ours_len = sizeof(ours), theirs_len = sizeof(theirs);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(ec, NULL);
    int ok;

    ok = EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer_public) == 1
        && EVP_PKEY_derive(ctx, ours, &ours_len) == 1;
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new(peer, NULL);
    CHECK(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, ec_public) == 1);
    CHECK(EVP_PKEY_derive(ctx, theirs, &theirs_len) == 1);
    EVP_PKEY_CTX_free(ctx);
    return ok && ours_len == theirs_len && memcmp(ours, theirs, ours_len) == 0;
}

/* What a job does. */
static int operate(void *argument)
{
    switch (*(int *)argument % 4) {
    case 0:
        return sign(rsa, rsa_public);
    case 1:
        return sign(ec, ec_public);
    case 2:
        return decrypt();
    default:
        return derive();
    }
}

static int sign_twice(void *argument)
{
    (void)argument;
    return sign(rsa, rsa_public) && sign(ec, ec_public);
}

/* Begins a job or goes on with it. */
static void go_on(struct one *one, int (*what)(void *), int argument)
{
    size_t count = 1;

    switch (ASYNC_start_job(&one->job, one->ctx, &one->result, what, &argument, sizeof(argument))) {
    case ASYNC_PAUSE:
        pauses++;
        CHECK(ASYNC_WAIT_CTX_get_all_fds(one->ctx, NULL, &count) == 1 && count == 1);
        CHECK(ASYNC_WAIT_CTX_get_all_fds(one->ctx, &one->fd, &count) == 1 && one->fd > 2);
        break;
    case ASYNC_FINISH:
        one->done = 1;
        break;
    default:
        CHECK(!"ASYNC_start_job");
    }
}

static void begin(struct one *one, int (*what)(void *), int argument)
{
    memset(one, 0, sizeof(*one));
    CHECK((one->ctx = ASYNC_WAIT_CTX_new()) != NULL);
    go_on(one, what, argument);
}

/* An event loop: resumes each job when its descriptor is readable, and only then. */
static void finish(struct one *all, int count)
{
    struct pollfd fds[JOBS];
    int n, open;

    for (;;) {
        for (n = open = 0; n < count; n++) {
            fds[n].fd = all[n].done ? -1 : all[n].fd;
            fds[n].events = POLLIN;
            open += !all[n].done;
        }
        if (open == 0)
            return;
        CHECK(poll(fds, (nfds_t)count, 20000) > 0);
        for (n = 0; n < count; n++)
            if (!all[n].done && fds[n].revents != 0)
                go_on(&all[n], operate, 0);
    }
}

static void free_all(struct one *all, int count)
{
    while (count-- > 0)
        ASYNC_WAIT_CTX_free(all[count].ctx);
}

static void together(void)
{
    struct one all[JOBS];
    int n, m;

    for (n = 0; n < JOBS; n++)
        begin(&all[n], operate, n);
    CHECK(pauses == JOBS);
    for (n = 0; n < JOBS; n++)
        for (m = 0; m < n; m++)
            CHECK(all[n].fd != all[m].fd);
    finish(all, JOBS);
    for (n = 0; n < JOBS; n++)
        CHECK(all[n].result == 1);
    free_all(all, JOBS);
}

static void between(void)
{
    struct one all[3];
    int n;

    for (n = 0; n < 3; n++)
        begin(&all[n], operate, n);
    CHECK(pauses == 3);
    CHECK(sign(ec, ec_public));
    CHECK(sign(rsa, rsa_public));
    finish(all, 3);
    CHECK(sign(ec, ec_public));
    for (n = 0; n < 3; n++)
        CHECK(all[n].result == 1);
    free_all(all, 3);
}

static void abandon(void)
{
    static const int orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 } };
    struct one all[3];
    size_t order;
    int n;

    for (order = 0; order < 3; order++) {
        for (n = 0; n < 3; n++)
            begin(&all[n], operate, n);
        for (n = 0; n < 3; n++) {
            CHECK(!all[orders[order][n]].done);
            ASYNC_WAIT_CTX_free(all[orders[order][n]].ctx);
        }
        CHECK(sign(rsa, rsa_public));
        /* One is left, and takes the given up one along. */
        for (n = 0; n < 3; n++)
            begin(&all[n], operate, n + 1);
        ASYNC_WAIT_CTX_free(all[0].ctx);
        ASYNC_WAIT_CTX_free(all[1].ctx);
        finish(&all[2], 1);
        CHECK(all[2].result == 1);
        free_all(&all[2], 1);
    }
    CHECK(sign(ec, ec_public));
}

static void again(void)
{
    struct one one;
    OSSL_ASYNC_FD first;
    int n;

    begin(&one, operate, 0);
    first = one.fd;
    finish(&one, 1);
    for (n = 1; n < 12; n++) {
        one.done = one.result = 0;
        one.job = NULL;
        go_on(&one, n % 3 == 0 ? sign_twice : operate, n);
        CHECK(one.fd == first);
        finish(&one, 1);
        CHECK(one.result == 1);
    }
    free_all(&one, 1);
}

static void forked(void)
{
    struct one all[3];
    int n, status;
    pid_t pid;

    for (n = 0; n < 3; n++)
        begin(&all[n], operate, n);
    CHECK(pauses == 3);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        go_on(&all[1], operate, 0);
        CHECK(all[1].done && all[1].result == 1);
        CHECK(sign(ec, ec_public));
        free_all(all, 3);
        CHECK(sign(rsa, rsa_public));
        exit(0);
    }
    /* The child has to wait until the TPM is free: this loop goes on with the jobs. */
    finish(all, 3);
    for (n = 0; n < 3; n++)
        CHECK(all[n].result == 1);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(sign(rsa, rsa_public));
    free_all(all, 3);
}

static void error(void)
{
    struct one one;

    begin(&one, operate, 1);
    finish(&one, 1);
    CHECK(one.result == 0);
    ERR_print_errors_fp(stderr);
    free_all(&one, 1);
    begin(&one, operate, 1);
    finish(&one, 1);
    CHECK(one.result == 1);
    free_all(&one, 1);
}

static int sign_pause_sign(void *argument)
{
    int ok = operate(argument);

    return ASYNC_pause_job() == 1 && ok && sign_twice(argument);
}

/* Has the job paused where it wants to, and have its operations no descriptor to wait on? */
static void pauses_itself(struct one *one, int argument)
{
    size_t count = 1;

    memset(one, 0, sizeof(*one));
    CHECK((one->ctx = ASYNC_WAIT_CTX_new()) != NULL);
    CHECK(ASYNC_start_job(&one->job, one->ctx, &one->result, sign_pause_sign, &argument, sizeof(argument))
          == ASYNC_PAUSE);
    CHECK(ASYNC_WAIT_CTX_get_all_fds(one->ctx, NULL, &count) == 1 && count == 0);
}

static void inside(void)
{
    struct one all[2];
    int n, given_up;

    for (given_up = 0; given_up < 2; given_up++) {
        for (n = 0; n < 2; n++)
            pauses_itself(&all[n], 2 * given_up + n);
        ASYNC_WAIT_CTX_free(all[given_up].ctx);
        CHECK(sign(ec, ec_public));
        n = 1 - given_up;
        go_on(&all[n], sign_pause_sign, 0);
        CHECK(all[n].done && all[n].result == 1);
        free_all(&all[n], 1);
    }
    CHECK(sign(rsa, rsa_public));
}

/* A process that has the lock until it is killed. */
static pid_t holder(const char *lock)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int ends[2], fd;
    char byte = 0;
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(300);
        fd = open(lock, O_RDWR);
        CHECK(fd >= 0 && fcntl(fd, F_SETLK, &whole) == 0);
        CHECK(write(ends[1], &byte, 1) == 1);
        for (;;)
            pause();
    }
    close(ends[1]);
    CHECK(read(ends[0], &byte, 1) == 1);
    close(ends[0]);
    return pid;
}

static void locked(const char *lock)
{
    struct one all[2];
    int n, status, round;
    pid_t pid;

    for (round = 0; round < 2; round++) {
        pid = holder(lock);
        for (n = 0; n < 2; n++)
            begin(&all[n], operate, 2 * round + n);
        CHECK(!all[0].done && !all[1].done);
        ASYNC_WAIT_CTX_free(all[0].ctx);
        CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
        finish(&all[1], 1);
        CHECK(all[1].result == 1);
        free_all(&all[1], 1);
        CHECK(sign(ec, ec_public));
    }
}

int main(int argc, char **argv)
{
    EVP_PKEY_CTX *ctx;

    CHECK(argc == 4 || argc == 5);
    alarm(300);
    rsa = load(argv[2], &rsa_public);
    ec = load(argv[3], &ec_public);
    ctx = EVP_PKEY_CTX_new(ec_public, NULL);
    CHECK(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &peer) == 1);
    EVP_PKEY_CTX_free(ctx);
    peer_public = public_of(peer);
    if (strcmp(argv[1], "together") == 0)
        together();
    else if (strcmp(argv[1], "between") == 0)
        between();
    else if (strcmp(argv[1], "abandon") == 0)
        abandon();
    else if (strcmp(argv[1], "again") == 0)
        again();
    else if (strcmp(argv[1], "fork") == 0)
        forked();
    else if (strcmp(argv[1], "error") == 0)
        error();
    else if (strcmp(argv[1], "inside") == 0)
        inside();
    else if (strcmp(argv[1], "locked") == 0 && argc == 5)
        locked(argv[4]);
    else if (strcmp(argv[1], "exit") == 0) {
        static struct one all[3];
        int n;

        for (n = 0; n < 3; n++)
            begin(&all[n], operate, n);
        CHECK(pauses == 3);
        printf("%d pauses\n", pauses);
        exit(0);
    } else
        return 9;
    CHECK(ERR_peek_error() == 0);
    printf("%d pauses\n", pauses);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa_public);
    EVP_PKEY_free(ec_public);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(peer_public);
    return 0;
}

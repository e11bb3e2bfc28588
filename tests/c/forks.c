/*
 * forks SECONDS KEY.pem...: THREADS threads sign continuously while children are forked, each in the middle of whatever
 * the threads are doing: CHILDREN one after another, as many at once, then as many that fork a child of their own. Each
 * child signs with every key, frees the keys, and ends by _exit or exit in turn. Every signature is verified by OpenSSL's
 * own provider. An alarm ends what hangs.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A slow machine wants fewer. */
#ifndef THREADS
#define THREADS 16
#endif
#ifndef CHILDREN
#define CHILDREN 8
#endif
#define KEYS 8

#define CHECK(what)                                                          \
    do {                                                                     \
        if (!(what)) {                                                       \
            fprintf(stderr, "%d, line %d: %s\n", getpid(), __LINE__, #what); \
            ERR_print_errors_fp(stderr);                                     \
            _exit(1);                                                        \
        }                                                                    \
    } while (0)

static EVP_PKEY *keys[KEYS], *publics[KEYS];
static int count, patience;
static atomic_int stop;
static atomic_long signatures;

static void load(int n, const char *path)
{
    FILE *file = fopen(path, "r");
    unsigned char *der = NULL;
    const unsigned char *p;
    int len;

    CHECK(file != NULL);
    keys[n] = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    CHECK(keys[n] != NULL);
    len = i2d_PUBKEY(keys[n], &der);
    CHECK(len > 0);
    p = der;
    publics[n] = d2i_PUBKEY(NULL, &p, len);
    CHECK(publics[n] != NULL);
    OPENSSL_free(der);
}

static void sign(int n, unsigned int salt)
{
    unsigned char sig[1024], message[64];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    snprintf((char *)message, sizeof(message), "%d %u %d", getpid(), salt, n);
    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, keys[n]) == 1);
    CHECK(EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) == 1);
    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, publics[n]) == 1);
    CHECK(EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) == 1);
    EVP_MD_CTX_free(ctx);
    signatures++;
}

static void *signer(void *argument)
{
    unsigned int n = (unsigned int)(size_t)argument;

    for (; !stop; n++)
        sign((int)(n % (unsigned int)count), n);
    return NULL;
}

static void sign_with_all(int number)
{
    int n;

    alarm((unsigned int)patience);
    for (n = 0; n < count; n++)
        sign((number + n) % count, (unsigned int)n);
}

static void leave(int number)
{
    int n;

    for (n = 0; n < count; n++) {
        EVP_PKEY_free(keys[n]);
        EVP_PKEY_free(publics[n]);
    }
    if (number % 2)
        _exit(0);
    exit(0);
}

static void ended(pid_t pid)
{
    int status;

    CHECK(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "child %d: status %#x\n", pid, status);
        _exit(2);
    }
}

static pid_t child(int number, int deeper)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid != 0)
        return pid;
    sign_with_all(number);
    if (deeper) {
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            sign_with_all(number + 1);
            leave(number + 1);
        }
        ended(pid);
        sign_with_all(number);
    }
    leave(number);
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    pid_t pids[CHILDREN];
    long before;
    size_t n;

    CHECK(argc > 2 && argc - 2 <= KEYS);
    patience = atoi(argv[1]);
    alarm((unsigned int)patience);
    for (count = 0; count < argc - 2; count++)
        load(count, argv[count + 2]);
    for (n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, signer, (void *)n) == 0);
    while (signatures < THREADS)
        usleep(1000);
    for (n = 0; n < CHILDREN; n++)
        ended(child((int)n, 0));
    for (n = 0; n < CHILDREN; n++)
        pids[n] = child((int)n, 0);
    for (n = 0; n < CHILDREN; n++)
        ended(pids[n]);
    for (n = 0; n < CHILDREN; n++)
        pids[n] = child((int)n, 1);
    for (n = 0; n < CHILDREN; n++)
        ended(pids[n]);
    /* The parent is as well as before. */
    before = signatures;
    while (signatures < before + THREADS)
        usleep(1000);
    stop = 1;
    for (n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    printf("%ld signatures\n", (long)signatures);
    exit(0);
}

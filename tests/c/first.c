/*
 * first CHILDREN SECONDS RSA.pem EC.pem: forks CHILDREN children while other threads load keys and use each for the first
 * time: verify, encrypt, sign, decrypt. What is made at the first use of a key is under way in most forks. Each child
 * uses the very keys that the threads were at; every fourth loads one itself. OpenSSL's decoders have locks which a fork
 * may leave taken, so the fork of such a child waits until no thread is loading; the others come at any moment. A child
 * that has not ended after SECONDS is ended by its alarm and counted as hanging; the last line says how many.
 */
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

/* Threads that use public halves, with the CPU alone, and threads that use the TPM. */
#define PUBLIC 6
#define PRIVATE 2
#define THREADS (PUBLIC + PRIVATE)
/* Keys that a thread has used before it frees the oldest: no fork copies one that is being freed. */
#define RING 64
/* Children that run at once, but for those that hang. */
#define AT_ONCE 6

static const unsigned char message[] = "some bytes";

struct kind {
    const char *file;
    int is_rsa;
    unsigned char sig[512], sealed[512];
    size_t sig_len, sealed_len;
};

static struct kind kinds[2];
static _Atomic(EVP_PKEY *) current[THREADS];
static atomic_int stop, hold;
static pthread_rwlock_t loading = PTHREAD_RWLOCK_INITIALIZER;

static int loads(size_t child)
{
    return child % 4 == 0;
}

static void verify(EVP_PKEY *key, const struct kind *kind)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestVerify(ctx, kind->sig, kind->sig_len, message, sizeof(message)) == 1);
    EVP_MD_CTX_free(ctx);
}

static void encrypt(EVP_PKEY *key, unsigned char *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    CHECK(EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1);
    CHECK(EVP_PKEY_encrypt(ctx, out, len, message, sizeof(message)) == 1);
    EVP_PKEY_CTX_free(ctx);
}

static void sign(EVP_PKEY *key, unsigned char *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1);
    CHECK(EVP_DigestSign(ctx, sig, len, message, sizeof(message)) == 1);
    EVP_MD_CTX_free(ctx);
}

static void decrypt(EVP_PKEY *key, const struct kind *kind)
{
    unsigned char out[512];
    size_t len = sizeof(out);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

    CHECK(EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1);
    CHECK(EVP_PKEY_decrypt(ctx, out, &len, kind->sealed, kind->sealed_len) == 1);
    CHECK(len == sizeof(message) && memcmp(out, message, len) == 0);
    EVP_PKEY_CTX_free(ctx);
}

static void use_publicly(EVP_PKEY *key, const struct kind *kind)
{
    unsigned char out[512];
    size_t len = sizeof(out);

    verify(key, kind);
    if (kind->is_rsa)
        encrypt(key, out, &len);
}

static void use_privately(EVP_PKEY *key, const struct kind *kind)
{
    unsigned char sig[512];
    size_t len = sizeof(sig);

    sign(key, sig, &len);
    if (kind->is_rsa)
        decrypt(key, kind);
}

/* RSA keys are the ones of which most is made at the first use. */
static const struct kind *kind_of(size_t thread)
{
    return &kinds[thread % 3 == 2];
}

static void *thread(void *argument)
{
    size_t number = (size_t)argument, round;
    const struct kind *kind = kind_of(number);
    EVP_PKEY *ring[RING] = { NULL };

    for (round = 0; !stop; round++) {
        EVP_PKEY *key, **place = &ring[round % RING];

        while (hold)
            usleep(100);
        pthread_rwlock_rdlock(&loading);
        key = load_key(NULL, kind->file);
        pthread_rwlock_unlock(&loading);
        EVP_PKEY_free(*place);
        *place = key;
        current[number] = key;
        if (number < PUBLIC)
            use_publicly(key, kind);
        else
            use_privately(key, kind);
    }
    return NULL;
}

static void child(size_t number, unsigned int seconds)
{
    size_t n;
    EVP_PKEY *own;

    alarm(seconds);
    for (n = 0; n < THREADS; n++)
        if (current[n] != NULL)
            use_publicly(current[n], kind_of(n));
    n = number % THREADS;
    if (current[n] != NULL)
        use_privately(current[n], kind_of(n));
    if (loads(number)) {
        own = load_key(NULL, kind_of(n)->file);
        use_publicly(own, kind_of(n));
        use_privately(own, kind_of(n));
        EVP_PKEY_free(own);
    }
    _exit(0);
}

static size_t hanging, failed;

/* Takes the ends of children that have ended; waits for one if asked to. */
static size_t ended(int options)
{
    size_t count = 0;
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, options)) > 0) {
        count++;
        hanging += WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
        failed += !WIFSIGNALED(status) && status != 0;
        failed += WIFSIGNALED(status) && WTERMSIG(status) != SIGALRM;
        options = WNOHANG;
    }
    return count;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    struct timespec pause = { 0, 300000 };
    size_t children, seconds, n, alive = 0;

    CHECK(argc == 5);
    children = strtoul(argv[1], NULL, 10);
    seconds = strtoul(argv[2], NULL, 10);
    for (n = 0; n < 2; n++) {
        struct kind *kind = &kinds[n];
        EVP_PKEY *key = load_key(NULL, argv[3 + n]);

        kind->file = argv[3 + n];
        kind->is_rsa = n == 0;
        kind->sig_len = kind->sealed_len = sizeof(kind->sig);
        sign(key, kind->sig, &kind->sig_len);
        if (kind->is_rsa)
            encrypt(key, kind->sealed, &kind->sealed_len);
        EVP_PKEY_free(key);
    }
    for (n = 0; n < THREADS; n++)
        CHECK(pthread_create(&threads[n], NULL, thread, (void *)n) == 0);
    for (n = 0; n < THREADS; n++)
        while (current[n] == NULL)
            usleep(1000);
    for (n = 0; n < children; n++) {
        time_t began = time(NULL);
        pid_t pid;

        /* Those that hang would keep everybody waiting: they are left to their alarms. */
        while ((alive -= ended(WNOHANG)) >= AT_ONCE && time(NULL) < began + 5)
            usleep(1000);
        fflush(NULL);
        if (loads(n)) {
            hold = 1;
            pthread_rwlock_wrlock(&loading);
        }
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            child(n, (unsigned int)seconds);
        if (loads(n)) {
            hold = 0;
            pthread_rwlock_unlock(&loading);
        }
        alive++;
        /* The next one comes at another moment of what the threads do. */
        pause.tv_nsec = 100000 + (long)(n * 37 % 100) * 10000;
        nanosleep(&pause, NULL);
    }
    stop = 1;
    for (n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    while (alive > 0)
        alive -= ended(0);
    printf("%zu of %zu children hung, %zu failed\n", hanging, children, failed);
    return hanging + failed == 0 ? 0 : 1;
}

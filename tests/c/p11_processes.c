/* A PKCS#11 caller that forks, has threads, uses the module as OpenSSL's provider as well, or never finalises:
   p11_processes MODE MODULE [KEYFILE]. It says "ok" and succeeds, or what is wrong. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

typedef unsigned long ulong_t;
typedef ulong_t (*function)();

/* The list of 2.40 behind its version: a pointer for each function, in the standard's order. */
enum {
    INITIALIZE = 1,
    FINALIZE = 2,
    SLOT_LIST = 5,
    OPEN = 13,
    CLOSE = 14,
    FIND_INIT = 27,
    FIND = 28,
    FIND_FINAL = 29,
    SIGN_INIT = 43,
    SIGN = 44,
};

#define OK 0UL
#define ALREADY 0x191UL
#define NOT_INITIALIZED 0x190UL
#define PRIVATE_KEY 3UL
#define CKA_CLASS_ 0UL
#define ECDSA 0x1041UL
#define OPEN_SLOT 1UL

struct attribute {
    ulong_t type;
    void *value;
    ulong_t length;
};

struct mechanism {
    ulong_t type;
    void *parameter;
    ulong_t length;
};

static function *list;

#define CHECK(what, expected)                                                          \
    do {                                                                               \
        ulong_t got = (what);                                                          \
        if (got != (expected)) {                                                       \
            fprintf(stderr, "%d: line %d: %s is 0x%lx\n", getpid(), __LINE__, #what, got); \
            return 1;                                                                  \
        }                                                                              \
    } while (0)

static int sign(ulong_t session, ulong_t key)
{
    struct mechanism mechanism = {ECDSA, NULL, 0};
    unsigned char digest[32] = {7}, signature[64];
    ulong_t length = sizeof signature;

    CHECK(list[SIGN_INIT](session, &mechanism, key), OK);
    CHECK(list[SIGN](session, digest, sizeof digest, signature, &length), OK);
    CHECK(length, 64UL);
    return 0;
}

static int begin(ulong_t *session, ulong_t *key)
{
    ulong_t class = PRIVATE_KEY, count = 0;
    struct attribute wanted = {CKA_CLASS_, &class, sizeof class};

    CHECK(list[OPEN](OPEN_SLOT, 6UL, NULL, NULL, session), OK);
    CHECK(list[FIND_INIT](*session, &wanted, 1UL), OK);
    CHECK(list[FIND](*session, key, 1UL, &count), OK);
    CHECK(count, 1UL);
    CHECK(list[FIND_FINAL](*session), OK);
    return 0;
}

static int waited(pid_t child)
{
    int status;

    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status)) {
        fprintf(stderr, "a child failed\n");
        return 1;
    }
    return 0;
}

/* With the parent's session, as programs do that do not know better; and by the book. */
static int in_child(ulong_t session, ulong_t key)
{
    ulong_t again, other;

    if (sign(session, key))
        return 1;
    CHECK(list[INITIALIZE](NULL), OK);
    CHECK(list[INITIALIZE](NULL), ALREADY);
    if (begin(&again, &other) || sign(again, other))
        return 1;
    CHECK(list[FINALIZE](NULL), OK);
    CHECK(list[FINALIZE](NULL), NOT_INITIALIZED);
    return 0;
}

static int forks(void)
{
    ulong_t session, key;

    CHECK(list[INITIALIZE](NULL), OK);
    if (begin(&session, &key))
        return 1;
    for (int used = 0; used < 2; used++) {
        pid_t child = fork();
        if (child == 0)
            exit(in_child(session, key));
        if (waited(child) || sign(session, key))
            return 1;
    }
    CHECK(list[CLOSE](session), OK);
    CHECK(list[FINALIZE](NULL), OK);
    return 0;
}

static void *signs(void *unused)
{
    ulong_t session, key;

    (void)unused;
    if (begin(&session, &key))
        return "begin";
    for (int i = 0; i < 10; i++)
        if (sign(session, key))
            return "sign";
    return list[CLOSE](session) == OK ? NULL : "close";
}

static int threads(void)
{
    pthread_t thread[8];
    ulong_t session, key;

    CHECK(list[INITIALIZE](NULL), OK);
    for (int i = 0; i < 8; i++)
        if (pthread_create(&thread[i], NULL, signs, NULL))
            return 1;
    /* Meanwhile children begin anew, whatever the threads are at. */
    for (int i = 0; i < 10; i++) {
        pid_t child = fork();
        if (child == 0) {
            ulong_t result = list[INITIALIZE](NULL);
            _exit((result != OK && result != ALREADY) || begin(&session, &key) || sign(session, key)
                  || list[FINALIZE](NULL) != OK);
        }
        if (waited(child))
            return 1;
    }
    for (int i = 0; i < 8; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        if (failed) {
            fprintf(stderr, "a thread failed: %s\n", (char *)failed);
            return 1;
        }
    }
    CHECK(list[FINALIZE](NULL), OK);
    return 0;
}

static int provider_signs(EVP_PKEY *key)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[128];
    size_t length = sizeof signature;
    int right = EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1
                && EVP_DigestSign(context, signature, &length, (unsigned char *)"m", 1) == 1;

    EVP_MD_CTX_free(context);
    return !right;
}

/* The provider's keys go on when the other side is started, used and given up. */
static int both(const char *file)
{
    ulong_t session, key;
    FILE *in = fopen(file, "r");
    EVP_PKEY *pkey = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;

    if (!pkey || provider_signs(pkey)) {
        fprintf(stderr, "the provider does not sign\n");
        return 1;
    }
    fclose(in);
    for (int i = 0; i < 3; i++) {
        CHECK(list[INITIALIZE](NULL), OK);
        if (begin(&session, &key) || sign(session, key) || provider_signs(pkey))
            return 1;
        CHECK(list[FINALIZE](NULL), OK);
        if (provider_signs(pkey))
            return 1;
    }
    EVP_PKEY_free(pkey);
    return 0;
}

/* Ends without a word. */
static int leaves(void)
{
    ulong_t session, key;

    CHECK(list[INITIALIZE](NULL), OK);
    return begin(&session, &key) || sign(session, key);
}

int main(int argc, char **argv)
{
    void *module;
    ulong_t (*get)(function **);
    int failed;

    if (argc < 3)
        return 2;
    module = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
    get = module ? (ulong_t (*)(function **))dlsym(module, "C_GetFunctionList") : NULL;
    if (!get || get(&list) != OK) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    if (!strcmp(argv[1], "forks"))
        failed = forks();
    else if (!strcmp(argv[1], "threads"))
        failed = threads();
    else if (!strcmp(argv[1], "both") && argc == 4)
        failed = both(argv[3]);
    else
        failed = leaves();
    if (!failed)
        puts("ok");
    return failed;
}

/* A PKCS#11 caller that forks, has threads, uses the module as OpenSSL's provider as well, or never finalises:
   p11_processes MODE MODULE [KEYFILE [PROXY COPY]]. It says "ok" and succeeds, or what is wrong. */
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
static ulong_t slot = OPEN_SLOT;

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

    CHECK(list[OPEN](slot, 6UL, NULL, NULL, session), OK);
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

static EVP_PKEY *read_key(const char *file)
{
    FILE *in = fopen(file, "r");
    EVP_PKEY *pkey = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;

    if (in)
        fclose(in);
    if (!pkey || provider_signs(pkey)) {
        fprintf(stderr, "the provider does not sign\n");
        return NULL;
    }
    return pkey;
}

/* The provider's keys go on when the other side is started, used and given up. */
static int both(const char *file)
{
    ulong_t session, key;
    EVP_PKEY *pkey = read_key(file);

    if (!pkey)
        return 1;
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

static function *functions_of(const char *file)
{
    void *module = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    ulong_t (*get)(function **) = module ? (ulong_t (*)(function **))dlsym(module, "C_GetFunctionList") : NULL;
    function *found;

    if (!get || get(&found) != OK) {
        fprintf(stderr, "%s: %s\n", file, dlerror());
        exit(2);
    }
    return found;
}

/* The first slot's key, and a signature with it. */
static int first_slot_signs(function *of, ulong_t *session, ulong_t *key)
{
    ulong_t count = 1;

    list = of;
    CHECK(list[SLOT_LIST](1, &slot, &count), OK);
    CHECK(count, 1UL);
    return begin(session, key) || sign(*session, *key);
}

/* The module and p11-kit's proxy, which loads it too, and our provider. One file is one copy with one state: who is told
   that it runs already uses it, and does not give it up. A copy of the file is a module of its own. */
static int meet(function *proxy, function *direct, int is_copy, EVP_PKEY *pkey)
{
    ulong_t of_proxy, proxy_key, session, key;

    for (int round = 0; round < 2; round++) {
        /* The proxy comes and goes. */
        CHECK(direct[INITIALIZE](NULL), OK);
        if (first_slot_signs(direct, &session, &key))
            return 1;
        CHECK(proxy[INITIALIZE](NULL), OK);
        if (first_slot_signs(proxy, &of_proxy, &proxy_key) || provider_signs(pkey))
            return 1;
        CHECK(proxy[FINALIZE](NULL), OK);
        list = direct;
        if (sign(session, key) || provider_signs(pkey))
            return 1;
        CHECK(direct[FINALIZE](NULL), OK);
        if (provider_signs(pkey))
            return 1;

        /* The proxy was there before, and goes. */
        CHECK(proxy[INITIALIZE](NULL), OK);
        if (first_slot_signs(proxy, &of_proxy, &proxy_key))
            return 1;
        CHECK(direct[INITIALIZE](NULL), is_copy ? OK : ALREADY);
        if (first_slot_signs(direct, &session, &key))
            return 1;
        CHECK(proxy[FINALIZE](NULL), OK);
        if (is_copy) {
            if (sign(session, key))
                return 1;
            CHECK(direct[FINALIZE](NULL), OK);
        } else {
            CHECK(direct[CLOSE](session), NOT_INITIALIZED);
            CHECK(direct[INITIALIZE](NULL), OK);
            if (first_slot_signs(direct, &session, &key))
                return 1;
            CHECK(direct[FINALIZE](NULL), OK);
        }
        if (provider_signs(pkey))
            return 1;
    }
    return 0;
}

static int meets_the_proxy(const char *file, const char *proxy, const char *copy)
{
    EVP_PKEY *pkey = read_key(file);
    function *direct = list, *of_proxy = functions_of(proxy);
    int failed = !pkey || meet(of_proxy, direct, 0, pkey) || meet(of_proxy, functions_of(copy), 1, pkey);

    EVP_PKEY_free(pkey);
    return failed;
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
    int failed;

    if (argc < 3)
        return 2;
    list = functions_of(argv[2]);
    if (!strcmp(argv[1], "forks"))
        failed = forks();
    else if (!strcmp(argv[1], "threads"))
        failed = threads();
    else if (!strcmp(argv[1], "both") && argc == 4)
        failed = both(argv[3]);
    else if (!strcmp(argv[1], "proxy") && argc == 6)
        failed = meets_the_proxy(argv[3], argv[4], argv[5]);
    else
        failed = leaves();
    if (!failed)
        puts("ok");
    return failed;
}

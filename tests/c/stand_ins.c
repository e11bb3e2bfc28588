/*
 * stand_ins STEP...: digests and random numbers, and whose they are. tests/suite/keys/stand_ins.rs runs it, also under
 * valgrind. The steps:
 *
 *   digest:QUERY:PROVIDER      every digest of ours, fetched with the query (none if empty), is that provider's; their
 *                              values of "abc", in pieces and copies as well, are printed
 *   random:NAME:QUERY:PROVIDER a generator of that name is that provider's, and if it is ours gives bytes
 *   no-random:NAME:QUERY       such a generator gives none, and says why
 *   bytes:PROVIDER             RAND_bytes and RAND_priv_bytes draw from that provider
 *   no-bytes                   they give none, and say why
 *   load:NAME, unload:NAME     a provider
 *   fork:PROVIDER:DIGESTS      a child draws and digests, and its random bytes are not its parent's
 *   threads:PROVIDER:DIGESTS   eight threads digest and draw
 */
#include <openssl/core_names.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static const char *const digests[] = { "SHA1", "SHA2-224", "SHA2-256", "SHA2-384", "SHA2-512", "SHA2-512/256",
    "SHA3-256", "SHA3-384", "SHA3-512", "sha256", "2.16.840.1.101.3.4.2.1" };

static OSSL_PROVIDER *loaded[8];

static void is(const OSSL_PROVIDER *provider, const char *wanted, const char *what)
{
    if (strcmp(OSSL_PROVIDER_get0_name(provider), wanted) != 0) {
        fprintf(stderr, "%s is of %s, not %s\n", what, OSSL_PROVIDER_get0_name(provider), wanted);
        exit(1);
    }
}

static void digest(const char *query, const char *provider, int print)
{
    size_t i;

    for (i = 0; i < sizeof(digests) / sizeof(digests[0]); i++) {
        unsigned char one[64], other[64], copied[64];
        unsigned int size = 0, again = 0, j;
        EVP_MD *md = EVP_MD_fetch(NULL, digests[i], query);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();

        CHECK(md != NULL && ctx != NULL && copy != NULL);
        is(EVP_MD_get0_provider(md), provider, digests[i]);
        CHECK(EVP_Digest("abc", 3, one, &size, md, NULL) == 1 && (int)size == EVP_MD_get_size(md));
        CHECK(EVP_MD_get_block_size(md) >= 64 && (EVP_MD_get_flags(md) & EVP_MD_FLAG_DIGALGID_ABSENT));
        CHECK(!(EVP_MD_get_flags(md) & EVP_MD_FLAG_XOF));
        CHECK(EVP_DigestInit_ex(ctx, md, NULL) == 1 && EVP_DigestUpdate(ctx, "a", 1) == 1);
        CHECK(EVP_MD_CTX_copy_ex(copy, ctx) == 1);
        CHECK(EVP_DigestUpdate(ctx, "xyz", 3) == 1 && EVP_DigestUpdate(copy, "", 0) == 1);
        CHECK(EVP_MD_CTX_copy_ex(ctx, copy) == 1);
        CHECK(EVP_DigestUpdate(ctx, "bc", 2) == 1 && EVP_DigestUpdate(copy, "bc", 2) == 1);
        CHECK(EVP_DigestFinal_ex(ctx, other, &again) == 1 && again == size && memcmp(one, other, size) == 0);
        CHECK(EVP_DigestFinal_ex(copy, copied, &again) == 1 && again == size && memcmp(one, copied, size) == 0);
        /* Ended, and begun anew. */
        CHECK(EVP_DigestInit_ex(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, "abc", 3) == 1);
        CHECK(EVP_DigestFinal_ex(ctx, other, &again) == 1 && memcmp(one, other, size) == 0);
        EVP_MD_CTX_free(ctx);
        EVP_MD_CTX_free(copy);
        EVP_MD_free(md);
        if (!print)
            continue;
        printf("%s ", digests[i]);
        for (j = 0; j < size; j++)
            printf("%02x", one[j]);
        printf("\n");
    }
}

static EVP_RAND_CTX *generator(const char *name, const char *query, const char *provider)
{
    EVP_RAND *rand = EVP_RAND_fetch(NULL, name, query);
    EVP_RAND_CTX *ctx;

    CHECK(rand != NULL);
    if (provider != NULL)
        is(EVP_RAND_get0_provider(rand), provider, name);
    CHECK((ctx = EVP_RAND_CTX_new(rand, NULL)) != NULL);
    EVP_RAND_free(rand);
    return ctx;
}

static void differ(const unsigned char *one, const unsigned char *other, size_t size)
{
    size_t i, same = 0, varied = 0;

    for (i = 0; i < size; i++) {
        same += one[i] == other[i];
        varied += one[i] != one[0];
    }
    CHECK(same < size / 4 && varied > size / 2);
}

static void random_numbers(const char *name, const char *query, const char *provider)
{
    unsigned char one[3000], other[3000];
    EVP_RAND_CTX *ctx = generator(name, query, provider);

    /* The others want a parent and a cipher. */
    if (strcmp(provider, "tpm") != 0) {
        EVP_RAND_CTX_free(ctx);
        return;
    }
    CHECK(EVP_RAND_get_state(ctx) == EVP_RAND_STATE_UNINITIALISED);
    CHECK(EVP_RAND_generate(ctx, one, 1, 0, 0, NULL, 0) == 0);
    CHECK(EVP_RAND_instantiate(ctx, 257, 0, NULL, 0, NULL) == 0);
    ERR_clear_error();
    CHECK(EVP_RAND_instantiate(ctx, 256, 0, NULL, 0, NULL) == 1);
    CHECK(EVP_RAND_get_state(ctx) == EVP_RAND_STATE_READY && EVP_RAND_get_strength(ctx) == 256);
    CHECK(EVP_RAND_generate(ctx, one, sizeof(one), 128, 1, (const unsigned char *)"more", 4) == 1);
    CHECK(EVP_RAND_reseed(ctx, 1, NULL, 0, (const unsigned char *)"more", 4) == 1);
    CHECK(EVP_RAND_generate(ctx, other, sizeof(other), 256, 0, NULL, 0) == 1);
    differ(one, other, sizeof(one));
    CHECK(EVP_RAND_uninstantiate(ctx) == 1);
    EVP_RAND_CTX_free(ctx);
}

static void none(int answer)
{
    CHECK(answer != 1 && ERR_peek_error() != 0);
    ERR_print_errors_fp(stdout);
}

static void no_random(const char *name, const char *query)
{
    unsigned char one[16];
    EVP_RAND_CTX *ctx = generator(name, query, NULL);

    CHECK(EVP_RAND_instantiate(ctx, 256, 0, NULL, 0, NULL) == 1);
    none(EVP_RAND_generate(ctx, one, sizeof(one), 256, 0, NULL, 0));
    EVP_RAND_CTX_free(ctx);
}

static void bytes(const char *provider)
{
    unsigned char one[100], other[100];
    EVP_RAND_CTX *all[] = { RAND_get0_primary(NULL), RAND_get0_public(NULL), RAND_get0_private(NULL) };
    size_t i;

    for (i = 0; i < 3; i++) {
        CHECK(all[i] != NULL);
        is(EVP_RAND_get0_provider(EVP_RAND_CTX_get0_rand(all[i])), provider, "RAND_bytes");
    }
    CHECK(RAND_status() == 1 && RAND_poll() == 1);
    RAND_add("more", 4, 1);
    CHECK(RAND_bytes(one, sizeof(one)) == 1 && RAND_priv_bytes(other, sizeof(other)) == 1);
    differ(one, other, sizeof(one));
}

static void load(const char *name)
{
    size_t i = 0;

    while (loaded[i] != NULL)
        i++;
    CHECK((loaded[i] = OSSL_PROVIDER_load(NULL, name)) != NULL);
}

static void unload(const char *name)
{
    size_t i = 0;

    while (loaded[i] == NULL || strcmp(OSSL_PROVIDER_get0_name(loaded[i]), name) != 0)
        i++;
    CHECK(OSSL_PROVIDER_unload(loaded[i]) == 1);
    loaded[i] = NULL;
}

static void forked(const char *provider, const char *of_digests)
{
    unsigned char one[64], other[64];
    int ends[2], status = 0;
    pid_t child;

    bytes(provider);
    CHECK(pipe(ends) == 0);
    fflush(stdout);
    CHECK((child = fork()) >= 0);
    if (child == 0) {
        bytes(provider);
        digest(NULL, of_digests, 0);
        CHECK(RAND_bytes(one, sizeof(one)) == 1 && write(ends[1], one, sizeof(one)) == sizeof(one));
        _exit(0);
    }
    CHECK(RAND_bytes(other, sizeof(other)) == 1);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read(ends[0], one, sizeof(one)) == sizeof(one));
    differ(one, other, sizeof(one));
}

static pthread_barrier_t together;

static void *thread(void *both)
{
    const char *const *providers = both;

    pthread_barrier_wait(&together);
    digest(NULL, providers[1], 0);
    bytes(providers[0]);
    OPENSSL_thread_stop();
    return NULL;
}

static void threads(const char *provider, const char *of_digests)
{
    const char *both[] = { provider, of_digests };
    pthread_t all[8];
    size_t i;

    pthread_barrier_init(&together, NULL, 8);
    for (i = 0; i < 8; i++)
        CHECK(pthread_create(&all[i], NULL, thread, both) == 0);
    for (i = 0; i < 8; i++)
        CHECK(pthread_join(all[i], NULL) == 0);
}

int main(int argc, char **argv)
{
    int i;
    size_t j;

    for (i = 1; i < argc; i++) {
        char *step = strsep(&argv[i], ":"), *one = strsep(&argv[i], ":"), *two = strsep(&argv[i], ":");
        char *three = argv[i];

        if (strcmp(step, "digest") == 0)
            digest(one[0] == 0 ? NULL : one, two, 1);
        else if (strcmp(step, "random") == 0)
            random_numbers(one, two[0] == 0 ? NULL : two, three);
        else if (strcmp(step, "no-random") == 0)
            no_random(one, two[0] == 0 ? NULL : two);
        else if (strcmp(step, "bytes") == 0)
            bytes(one);
        else if (strcmp(step, "no-bytes") == 0) {
            unsigned char some[8];

            none(RAND_bytes(some, sizeof(some)));
            ERR_clear_error();
        } else if (strcmp(step, "load") == 0)
            load(one);
        else if (strcmp(step, "unload") == 0)
            unload(one);
        else if (strcmp(step, "fork") == 0)
            forked(one, two);
        else if (strcmp(step, "threads") == 0)
            threads(one, two);
        else {
            fprintf(stderr, "no step %s\n", step);
            return 2;
        }
    }
    for (j = 0; j < 8; j++)
        if (loaded[j] != NULL)
            CHECK(OSSL_PROVIDER_unload(loaded[j]) == 1);
    puts("done");
    return 0;
}

/*
 * rate COUNT KEY: signs COUNT times with a key (a URI or a file), and prints the median of one signature in microseconds,
 * and signatures per second. The first signature, which loads the key, does not count.
 */
#include "host.h"

#include <openssl/store.h>
#include <time.h>

static EVP_PKEY *key_at(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    CHECK(store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY) == 1);
    while (key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    CHECK(key != NULL);
    return key;
}

static double sign(EVP_PKEY *key)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[1024];
    size_t length = sizeof(signature);
    struct timespec start, end;

    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK(EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, key, NULL) == 1);
    CHECK(EVP_DigestSign(context, signature, &length, (const unsigned char *)"x", 1) == 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    EVP_MD_CTX_free(context);
    return (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3;
}

static int less(const void *one, const void *other)
{
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[1]) : 0;
    double *times, total = 0;
    EVP_PKEY *key;

    CHECK(count > 0);
    times = calloc((size_t)count, sizeof(*times));
    CHECK(times != NULL);
    key = key_at(argv[2]);
    sign(key);
    for (int n = 0; n < count; n++) {
        times[n] = sign(key);
        total += times[n];
    }
    qsort(times, (size_t)count, sizeof(*times), less);
    printf("%.0f %.1f\n", times[count / 2], count / total * 1e6);
    EVP_PKEY_free(key);
    free(times);
    return 0;
}

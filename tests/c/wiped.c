/*
 * A host that keeps its own copies of secrets masked, and says where in its writable memory they stand in clear:
 *
 *   wiped CONF PIN WRONG TEXT PARENT OPTION...
 *
 * PIN, WRONG, TEXT and PARENT are secrets of 32 octets in hexadecimal, each octet XORed with MASK. A library context
 * with the configuration CONF makes an RSA key with the options NAME=VALUE and the PIN, loads it with the PIN and with
 * the wrong one, signs, decrypts TEXT in several paddings and frees it. PARENT is TPM_PARENT_AUTH, or with an @ before
 * it in some file that the configuration names, unless it is `-`. Then, with the provider still loaded, PIN, WRONG and
 * TEXT must not be there; after the context is gone, PARENT neither. For each place that is found there is one line,
 * and none otherwise. With `async` as an option signatures and decryptions run in ASYNC jobs.
 */
#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASK 0x5a
#define SIZE 32

struct secret {
    const char *label;
    unsigned char masked[SIZE];
    int used;
};

static struct secret pin = { "PIN", { 0 }, 0 }, wrong = { "WRONG", { 0 }, 0 }, parent = { "PARENT", { 0 }, 0 };
static struct secret message = { "TEXT", { 0 }, 0 };
static int oaep = 1, async;
static char variable[] = "TPM_PARENT_AUTH=00000000000000000000000000000000";

static void die(const char *what)
{
    fprintf(stderr, "wiped: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void take(struct secret *secret, const char *hex)
{
    size_t at;
    unsigned int octet;

    if (strcmp(hex, "-") == 0)
        return;
    for (at = 0; at < SIZE; at++) {
        if (sscanf(hex + 2 * at, "%2x", &octet) != 1)
            die("a secret has 32 octets");
        secret->masked[at] = (unsigned char)octet;
    }
    secret->used = 1;
}

/* In clear, into a buffer that the caller wipes. */
static void unmask(char *out, const struct secret *secret)
{
    size_t at;

    for (at = 0; at < SIZE; at++)
        ((volatile char *)out)[at] = (char)(secret->masked[at] ^ MASK);
}

static int ask(char *buf, int size, int rwflag, void *arg)
{
    (void)rwflag;
    if (size < SIZE)
        return -1;
    unmask(buf, arg);
    return SIZE;
}

/* Half a secret counts: the allocator writes over the first octets of what is freed. */
static int found_at(const unsigned char *at, const unsigned char *masked)
{
    size_t n;

    for (n = 0; n < SIZE / 2; n++)
        if ((unsigned char)(at[n] ^ MASK) != masked[n])
            return 0;
    return 1;
}

static void look(const struct secret *secret, const char *when)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];

    if (!secret->used)
        return;
    if (maps == NULL)
        die("no /proc/self/maps");
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long first, last;
        char mode[5], name[256] = "";
        const unsigned char *at;

        if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %255s", &first, &last, mode, name) < 3)
            die("maps are not understood");
        if (mode[0] != 'r' || mode[1] != 'w' || strncmp(name, "/dev/", 5) == 0)
            continue;
        for (at = (const unsigned char *)first; at + SIZE / 2 <= (const unsigned char *)last; at++)
            if (found_at(at, secret->masked) || found_at(at, secret->masked + SIZE / 2))
                printf("%s is in %s %s (at %p)\n", secret->label, name[0] ? name : "anonymous memory", when,
                       (const void *)at);
    }
    fclose(maps);
}

static EVP_PKEY *made(OSSL_LIB_CTX *lib, char **options)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "RSA", "provider=tpm");
    char clear[SIZE + 1] = "";
    OSSL_PARAM auth[] = { OSSL_PARAM_utf8_string("user-auth", clear, SIZE), OSSL_PARAM_END };
    EVP_PKEY *key = NULL;

    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1)
        die("keygen");
    if (*options != NULL && strcmp(*options, "async") == 0) {
        async = 1;
        options++;
    }
    for (; *options != NULL; options++) {
        char *value = strchr(*options, '=');
        OSSL_PARAM option[] = { OSSL_PARAM_END, OSSL_PARAM_END };

        *value++ = '\0';
        /* A TPM 1.2 has no OAEP for others. */
        oaep &= strcmp(*options, "tpm") != 0;
        option[0] = OSSL_PARAM_construct_utf8_string(*options, value, 0);
        if (EVP_PKEY_CTX_set_params(ctx, option) != 1)
            die(*options);
    }
    unmask(clear, &pin);
    if (EVP_PKEY_CTX_set_params(ctx, auth) != 1)
        die("user-auth");
    OPENSSL_cleanse(clear, sizeof(clear));
    if (EVP_PKEY_generate(ctx, &key) != 1)
        die("generate");
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static int signs(OSSL_LIB_CTX *lib, EVP_PKEY *key)
{
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = EVP_DigestSignInit_ex(ctx, NULL, "SHA256", lib, NULL, key, NULL) == 1
             && EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"text", 4) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static int decrypts_with(OSSL_LIB_CTX *lib, EVP_PKEY *key, int padding, unsigned int rejection)
{
    unsigned char sealed[1024], back[1024];
    char clear[SIZE];
    size_t sealed_len = sizeof(sealed), len = sizeof(back);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(lib, key, NULL);
    OSSL_PARAM params[] = { OSSL_PARAM_uint("implicit-rejection", &rejection), OSSL_PARAM_END };
    int ok;

    unmask(clear, &message);
    ok = EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1
         && EVP_PKEY_encrypt(ctx, sealed, &sealed_len, (unsigned char *)clear, SIZE) == 1
         && EVP_PKEY_decrypt_init_ex(ctx, params) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1
         && EVP_PKEY_decrypt(ctx, back, &len, sealed, sealed_len) == 1;
    ok = ok && len == SIZE && memcmp(back, clear, SIZE) == 0;
    OPENSSL_cleanse(clear, sizeof(clear));
    OPENSSL_cleanse(back, sizeof(back));
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static int decrypts(OSSL_LIB_CTX *lib, EVP_PKEY *key)
{
    return decrypts_with(lib, key, RSA_PKCS1_PADDING, 0) && decrypts_with(lib, key, RSA_PKCS1_PADDING, 1)
           && (!oaep || decrypts_with(lib, key, RSA_PKCS1_OAEP_PADDING, 0));
}

/* OpenSSL's wrapper of PEM callbacks leaves the passphrase in its own frame (ui_read in crypto/ui/ui_util.c). */
static __attribute__((noinline)) void sweep(void)
{
    volatile char below[64 * 1024];
    size_t at;

    for (at = 0; at < sizeof(below); at++)
        below[at] = 0;
}

typedef int operation(OSSL_LIB_CTX *, EVP_PKEY *);

struct job {
    operation *operation;
    OSSL_LIB_CTX *lib;
    EVP_PKEY *key;
};

static int in_job(void *argument)
{
    struct job *job = argument;

    return job->operation(job->lib, job->key);
}

static int run(operation *operation, OSSL_LIB_CTX *lib, EVP_PKEY *key)
{
    struct job args = { operation, lib, key };
    ASYNC_WAIT_CTX *wait;
    ASYNC_JOB *job = NULL;
    int result = 0, status;

    if (!async)
        return operation(lib, key);
    wait = ASYNC_WAIT_CTX_new();
    while ((status = ASYNC_start_job(&job, wait, &result, in_job, &args, sizeof(args))) == ASYNC_PAUSE) {
        struct pollfd descriptor = { -1, POLLIN, 0 };
        size_t count = 1;

        if (ASYNC_WAIT_CTX_get_all_fds(wait, &descriptor.fd, &count) != 1 || poll(&descriptor, 1, 10000) != 1)
            die("a job waits for nothing");
    }
    if (status != ASYNC_FINISH)
        die("a job");
    ASYNC_WAIT_CTX_free(wait);
    return result;
}

static __attribute__((noinline)) void use(OSSL_LIB_CTX *lib, char **options)
{
    EVP_PKEY *key = made(lib, options);
    BIO *pem = BIO_new(BIO_s_mem());
    char *text;
    long size;
    int round;

    if (!run(signs, lib, key) || !run(decrypts, lib, key))
        die("the new key does not work");
    if (PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        die("write");
    EVP_PKEY_free(key);
    size = BIO_get_mem_data(pem, &text);
    for (round = 0; round < 2; round++) {
        BIO *in = BIO_new_mem_buf(text, (int)size);
        struct secret *secret = round == 0 ? &pin : &wrong;

        key = PEM_read_bio_PrivateKey_ex(in, NULL, ask, secret, lib, NULL);
        sweep();
        BIO_free(in);
        if (key == NULL)
            die("load");
        if (run(signs, lib, key) != (round == 0))
            die(round == 0 ? "sign" : "a wrong PIN signs");
        if (round == 0 && !run(decrypts, lib, key))
            die("decrypt");
        EVP_PKEY_free(key);
    }
    BIO_free(pem);
    ERR_clear_error();
}

int main(int argc, char **argv)
{
    OSSL_LIB_CTX *lib = OSSL_LIB_CTX_new();

    int in_environment;

    if (argc < 6)
        die("arguments");
    take(&pin, argv[2]);
    take(&wrong, argv[3]);
    take(&message, argv[4]);
    in_environment = argv[5][0] != '@' && argv[5][0] != '-';
    take(&parent, argv[5] + (argv[5][0] == '@'));
    if (in_environment) {
        unmask(variable + strlen("TPM_PARENT_AUTH="), &parent);
        putenv(variable);
    }
    if (OSSL_LIB_CTX_load_config(lib, argv[1]) != 1)
        die("configuration");
    if (in_environment) {
        unsetenv("TPM_PARENT_AUTH");
        OPENSSL_cleanse(variable, sizeof(variable));
    }
    use(lib, argv + 6);
    look(&pin, "while the provider is loaded");
    look(&wrong, "while the provider is loaded");
    look(&message, "while the provider is loaded");
    OSSL_LIB_CTX_free(lib);
    look(&pin, "after the provider was unloaded");
    look(&parent, "after the provider was unloaded");
    return 0;
}

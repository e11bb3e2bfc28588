/*
 * A host in slow motion: reads one step per line and answers each with one line, "ok ..." or "error TEXT".
 * crates/testkit/src/client.rs drives it, and does things to the TPM between two steps.
 *
 *   ctx N CONF         library context N (1..) with this configuration; 0 is the default one
 *   drop N             OSSL_LIB_CTX_free
 *   pin TEXT           answers passphrase prompts from now on; without a text nobody does
 *   empty              answers them with nothing
 *   load K FILE [N]    a key from a PEM file in context N
 *   store K URI [N]    the first key behind a URI
 *   sign K [SIZE]      digest-sign with SHA-256 and have OpenSSL's own provider verify; SIZE bytes of message
 *   raw K              sign a digest that was made elsewhere
 *   decrypt K          encrypt for the key without us, decrypt with it; K TEXT says the text
 *   open K FILE [HOW]  decrypt a ciphertext, with implicit rejection; says it in hexadecimal. HOW is `tls` for a TLS
 *                      premaster secret, or the size of the buffer
 *   export K           write the private key, in every way there is
 *   dup K M            EVP_PKEY_dup
 *   free K
 *   child STEP;STEP    a forked child takes these steps, in its own memory, then ends with exit(0)
 *   jail DIR           chroot to DIR and become the user nobody, as servers do
 *   files N            from now on no descriptor from N on can be opened; 0 lifts that
 *   signals N          a signal every N microseconds from now on, which interrupts whatever waits; 0 ends that
 *   exit, _exit        end, with nothing freed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 64

static OSSL_LIB_CTX *contexts[8];
static EVP_PKEY *keys[SLOTS];
static char pin[128];
static int pin_given, prompts;

static void fail(const char *what)
{
    const char *data;
    unsigned long code;
    int flags;

    printf("error %s", what);
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_reason_error_string(code);

        printf(" | %s: %s", reason ? reason : "?", (flags & ERR_TXT_STRING) ? data : "");
    }
    putchar('\n');
}

static int ask(char *buf, int size, int rwflag, void *arg)
{
    (void)rwflag;
    (void)arg;
    prompts++;
    if (!pin_given || (int)strlen(pin) > size)
        return -1;
    memcpy(buf, pin, strlen(pin));
    return (int)strlen(pin);
}

static int ask_ui(UI *ui, UI_STRING *string)
{
    if (UI_get_string_type(string) == UIT_PROMPT) {
        prompts++;
        return pin_given && UI_set_result(ui, string, pin) == 0;
    }
    return 1;
}

static OSSL_LIB_CTX *context(const char *number)
{
    return number == NULL ? NULL : contexts[atoi(number)];
}

static EVP_PKEY **slot(const char *number)
{
    int n = number == NULL ? -1 : atoi(number);

    if (n < 0 || n >= SLOTS)
        exit(90);
    return &keys[n];
}

static void keep(const char *number, EVP_PKEY *key)
{
    EVP_PKEY_free(*slot(number));
    *slot(number) = key;
    if (key == NULL)
        fail("load");
    else
        printf("ok prompts=%d\n", prompts);
}

static void step_load(char *number, char *file, char *ctx)
{
    BIO *bio = BIO_new_file(file, "r");

    prompts = 0;
    if (bio == NULL)
        exit(91);
    keep(number, PEM_read_bio_PrivateKey_ex(bio, NULL, ask, NULL, context(ctx), NULL));
    BIO_free(bio);
}

static void step_store(char *number, char *uri, char *ctx)
{
    UI_METHOD *method = UI_create_method("steps");
    OSSL_STORE_CTX *store;
    EVP_PKEY *key = NULL;

    prompts = 0;
    UI_method_set_reader(method, ask_ui);
    store = OSSL_STORE_open_ex(uri, context(ctx), NULL, method, NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info == NULL)
            break;
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    UI_destroy_method(method);
    keep(number, key);
}

/* The public half as OpenSSL's own provider has it. */
static EVP_PKEY *public_half(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    const unsigned char *at;
    int len = i2d_PUBKEY(key, &der);
    EVP_PKEY *half;

    if (len <= 0)
        return NULL;
    at = der;
    half = d2i_PUBKEY(NULL, &at, len);
    OPENSSL_free(der);
    return half;
}

static void step_sign(char *number, char *size)
{
    size_t length = size == NULL ? 10 : (size_t)atol(size), sig_len = 0, at;
    unsigned char *message = malloc(length + 1), *sig = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *half = public_half(*slot(number));
    int ok;

    memset(message, 'm', length);
    ok = EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, *slot(number), NULL);
    for (at = 0; ok == 1 && at < length; at += 100)
        ok = EVP_DigestSignUpdate(ctx, message + at, length - at < 100 ? length - at : 100);
    ok = ok == 1 && EVP_DigestSignFinal(ctx, NULL, &sig_len) == 1;
    sig = malloc(sig_len + 1);
    ok = ok && EVP_DigestSignFinal(ctx, sig, &sig_len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        fail("sign");
    } else {
        ctx = EVP_MD_CTX_new();
        ok = half != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, half) == 1
             && EVP_DigestVerify(ctx, sig, sig_len, message, length) == 1;
        EVP_MD_CTX_free(ctx);
        if (!ok)
            fail("WRONG SIGNATURE");
        else if (ERR_peek_error() != 0)
            fail("ERROR LEFT IN THE QUEUE");
        else
            puts("ok");
    }
    EVP_PKEY_free(half);
    free(message);
    free(sig);
}

static void step_raw(char *number)
{
    unsigned char sig[1024], digest[32] = { 1 };
    size_t len = sizeof(sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(*slot(number), NULL);

    if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1
        && EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1
        && EVP_PKEY_sign(ctx, sig, &len, digest, sizeof(digest)) == 1)
        puts("ok");
    else
        fail("raw");
    EVP_PKEY_CTX_free(ctx);
}

static void step_decrypt(char *number, char *text)
{
    unsigned char sealed[1024], clear[1024];
    size_t sealed_len = sizeof(sealed), len = sizeof(clear);
    EVP_PKEY *half = public_half(*slot(number));
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(half, NULL);

    if (text == NULL)
        text = "a text";
    if (half == NULL || EVP_PKEY_encrypt_init(ctx) != 1
        || EVP_PKEY_encrypt(ctx, sealed, &sealed_len, (unsigned char *)text, strlen(text)) != 1)
        exit(92);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(half);
    ctx = EVP_PKEY_CTX_new(*slot(number), NULL);
    if (ctx == NULL || EVP_PKEY_decrypt_init(ctx) != 1
        || EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) != 1)
        fail("decrypt");
    else if (len != strlen(text) || memcmp(clear, text, len) != 0)
        fail("WRONG TEXT");
    else
        puts("ok");
    EVP_PKEY_CTX_free(ctx);
}

static void step_open(char *number, char *file, char *how)
{
    unsigned int on = 1, version = 0x0303;
    int tls = how != NULL && strcmp(how, "tls") == 0;
    int mode = tls ? RSA_PKCS1_WITH_TLS_PADDING : RSA_PKCS1_PADDING;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int("pad-mode", &mode),
        OSSL_PARAM_uint(tls ? "tls-client-version" : "implicit-rejection", tls ? &version : &on),
        OSSL_PARAM_END
    };
    unsigned char sealed[1024], clear[1024];
    size_t sealed_len, len = how != NULL && !tls ? (size_t)atol(how) : sizeof(clear), at;
    FILE *in = fopen(file, "rb");
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(*slot(number), NULL);

    if (in == NULL || ctx == NULL)
        exit(96);
    sealed_len = fread(sealed, 1, sizeof(sealed), in);
    fclose(in);
    if (EVP_PKEY_decrypt_init_ex(ctx, params) != 1
        || EVP_PKEY_decrypt(ctx, clear, &len, sealed, sealed_len) != 1) {
        fail("open");
    } else if (ERR_peek_error() != 0) {
        fail("ERROR LEFT IN THE QUEUE");
    } else {
        fputs("ok ", stdout);
        for (at = 0; at < len; at++)
            printf("%02x", clear[at]);
        putchar('\n');
    }
    EVP_PKEY_CTX_free(ctx);
}

static void step_export(char *number)
{
    EVP_PKEY *key = *slot(number);
    BIO *bio = BIO_new(BIO_s_mem());
    OSSL_PARAM *params = NULL;
    unsigned char *der = NULL;
    OSSL_ENCODER_CTX *encoder;
    int written = 0;

    written |= EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) == 1;
    written |= i2d_PrivateKey(key, &der) > 0;
    written |= PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    written |= PEM_write_bio_PrivateKey_traditional(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    encoder = OSSL_ENCODER_CTX_new_for_pkey(key, EVP_PKEY_KEYPAIR, "PEM", NULL, NULL);
    written |= OSSL_ENCODER_to_bio(encoder, bio) == 1;
    OSSL_ENCODER_CTX_free(encoder);
    if (written || BIO_pending(bio) != 0)
        printf("ok %d bytes\n", (int)BIO_pending(bio));
    else
        fail("export");
    OSSL_PARAM_free(params);
    OPENSSL_free(der);
    BIO_free(bio);
}

static void step_files(int most)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = most == 0 ? limit.rlim_max : (rlim_t)most;
    puts(setrlimit(RLIMIT_NOFILE, &limit) == 0 ? "ok" : "error files");
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void step_signals(int every)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct itimerval timer = { { 0, every }, { 0, every } };

    /* Without SA_RESTART system calls end with EINTR. */
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("ok signals=%d\n", (int)signals);
}

static void step_jail(const char *dir)
{
    if (chroot(dir) != 0 || chdir("/") != 0 || setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        exit(96);
    puts("ok");
}

static void take(char *line);

static void step_child(char *steps)
{
    int status;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char *rest = NULL, *step;

        for (step = strtok_r(steps, ";", &rest); step != NULL; step = strtok_r(NULL, ";", &rest)) {
            fputs("[child] ", stdout);
            take(step);
        }
        exit(0);
    }
    if (waitpid(pid, &status, 0) != pid)
        exit(93);
    printf("ok child=%d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void take(char *line)
{
    char *rest = NULL, *verb, *a, *b, *c;

    line[strcspn(line, "\n")] = '\0';
    ERR_clear_error();
    if (strncmp(line, "child ", 6) == 0) {
        step_child(line + 6);
        fflush(stdout);
        return;
    }
    verb = strtok_r(line, " ", &rest);
    a = strtok_r(NULL, " ", &rest);
    b = strtok_r(NULL, " ", &rest);
    c = strtok_r(NULL, " ", &rest);
    if (verb == NULL) {
        exit(94);
    } else if (strcmp(verb, "ctx") == 0) {
        contexts[atoi(a)] = OSSL_LIB_CTX_new();
        if (OSSL_LIB_CTX_load_config(contexts[atoi(a)], b) == 1)
            puts("ok");
        else
            fail("ctx");
    } else if (strcmp(verb, "drop") == 0) {
        OSSL_LIB_CTX_free(context(a));
        contexts[atoi(a)] = NULL;
        puts("ok");
    } else if (strcmp(verb, "empty") == 0) {
        pin_given = 1;
        pin[0] = 0;
        puts("ok");
    } else if (strcmp(verb, "pin") == 0) {
        pin_given = a != NULL;
        snprintf(pin, sizeof(pin), "%s", a == NULL ? "" : a);
        puts("ok");
    } else if (strcmp(verb, "load") == 0) {
        step_load(a, b, c);
    } else if (strcmp(verb, "store") == 0) {
        step_store(a, b, c);
    } else if (strcmp(verb, "sign") == 0) {
        step_sign(a, b);
    } else if (strcmp(verb, "raw") == 0) {
        step_raw(a);
    } else if (strcmp(verb, "decrypt") == 0) {
        step_decrypt(a, b);
    } else if (strcmp(verb, "open") == 0) {
        step_open(a, b, c);
    } else if (strcmp(verb, "export") == 0) {
        step_export(a);
    } else if (strcmp(verb, "dup") == 0) {
        *slot(b) = EVP_PKEY_dup(*slot(a));
        if (*slot(b) == NULL)
            fail("dup");
        else
            puts("ok");
    } else if (strcmp(verb, "free") == 0) {
        EVP_PKEY_free(*slot(a));
        *slot(a) = NULL;
        puts("ok");
    } else if (strcmp(verb, "jail") == 0) {
        step_jail(a);
    } else if (strcmp(verb, "files") == 0) {
        step_files(atoi(a));
    } else if (strcmp(verb, "signals") == 0) {
        step_signals(atoi(a));
    } else if (strcmp(verb, "exit") == 0) {
        exit(0);
    } else if (strcmp(verb, "_exit") == 0) {
        fflush(stdout);
        _exit(0);
    } else {
        exit(95);
    }
    fflush(stdout);
}

int main(void)
{
    char line[4096];

    for (;;) {
        if (fgets(line, sizeof(line), stdin) != NULL)
            take(line);
        else if (errno == EINTR && !feof(stdin))
            clearerr(stdin);
        else
            return 0;
    }
}

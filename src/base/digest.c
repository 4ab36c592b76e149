/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The low-level SHA256_* functions are deprecated in OpenSSL 3 in favour of EVP, but fetching a
 * digest from a provider initialises the whole library, which costs a short-lived process more
 * than hashing a small module does.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/digest.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/util.h"

void digest_bytes(const void *data, size_t len, struct digest *ret)
{
    SHA256_CTX ctx;

    SHA256_Init(&ctx);
    SHA256_Update(&ctx, data, len);
    SHA256_Final(ret->bytes, &ctx);
}

void sha1_bytes(const void *data, size_t len, uint8_t ret[static 20])
{
    SHA_CTX ctx;

    SHA1_Init(&ctx);
    SHA1_Update(&ctx, data, len);
    SHA1_Final(ret, &ctx);
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct digest_stream), "the library's state fits");

void digest_begin(struct digest_stream *s)
{
    SHA256_Init((SHA256_CTX *)s->state);
}

void digest_add(struct digest_stream *s, const void *data, size_t len)
{
    SHA256_Update((SHA256_CTX *)s->state, data, len);
}

void digest_end(struct digest_stream *s, struct digest *ret)
{
    SHA256_Final(ret->bytes, (SHA256_CTX *)s->state);
}

int digest_fd(int fd, struct digest *ret, struct err *e)
{
    const size_t step = 1 << 20;
    autofree char *block = xcalloc(step, 1);
    SHA256_CTX ctx;
    struct stat st;
    off_t at = 0;
    bool is_file;

    if (fstat(fd, &st) < 0)
        return err_errno(e, -errno, "ReadFailed", "cannot examine the file");
    is_file = S_ISREG(st.st_mode);
    SHA256_Init(&ctx);
    /* Reads, not mmap: a file that shrinks meanwhile must not become a SIGBUS. */
    for (;;) {
        ssize_t n = is_file ? pread(fd, block, step, at) : read(fd, block, step);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, -errno, "ReadFailed", "cannot read");
        if (n == 0)
            break;
        SHA256_Update(&ctx, block, (size_t)n);
        at += n;
    }
    SHA256_Final(ret->bytes, &ctx);
    return 0;
}

void digest_hex_format(const struct digest *d, char ret[static DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof(d->bytes); i++) {
        ret[2 * i] = digits[d->bytes[i] >> 4];
        ret[2 * i + 1] = digits[d->bytes[i] & 15];
    }
    ret[DIGEST_HEX_SIZE - 1] = 0;
}

void digest_format(const struct digest *d, char ret[static DIGEST_TEXT_SIZE])
{
    static const char prefix[] = "sha256:";

    memcpy(ret, prefix, sizeof(prefix) - 1);
    digest_hex_format(d, ret + sizeof(prefix) - 1);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

int digest_parse(const char *text, struct digest *ret, struct err *e)
{
    struct digest d;

    if (!str_starts(text, "sha256:") || strlen(text) != DIGEST_TEXT_SIZE - 1)
        goto bad;
    for (size_t i = 0; i < sizeof(d.bytes); i++) {
        int high = hex_digit(text[7 + 2 * i]), low = hex_digit(text[8 + 2 * i]);

        if (high < 0 || low < 0)
            goto bad;
        d.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = d;
    return 0;
bad:
    return err_set(e, -EINVAL, "BadDigest",
                   "'%.80s' is not a digest; expected sha256: and 64 hexadecimal digits", text);
}

int digest_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

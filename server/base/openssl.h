/* SPDX-License-Identifier: BSD-3-Clause
 *
 * openssl - the library's calls, by way of a table that is filled when TLS is first asked for. Linked to the program,
 * OpenSSL would take 0.6 MB of every process (its tables are relocated when it is loaded), also of the many that never
 * speak TLS.
 */
#ifndef TAGCACHED_BASE_OPENSSL_H
#define TAGCACHED_BASE_OPENSSL_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#define OPENSSL_CALLS(CALL)                                                                                            \
    CALL(ERR_clear_error)                                                                                              \
    CALL(ERR_get_error)                                                                                                \
    CALL(ERR_peek_error)                                                                                               \
    CALL(ERR_reason_error_string)                                                                                      \
    CALL(SSL_CIPHER_find)                                                                                              \
    CALL(SSL_CTX_check_private_key)                                                                                    \
    CALL(SSL_CTX_ctrl)                                                                                                 \
    CALL(SSL_CTX_free)                                                                                                 \
    CALL(SSL_CTX_get_ex_data)                                                                                          \
    CALL(SSL_CTX_load_verify_locations)                                                                                \
    CALL(SSL_CTX_new)                                                                                                  \
    CALL(SSL_CTX_set_alpn_protos)                                                                                      \
    CALL(SSL_CTX_set_alpn_select_cb)                                                                                   \
    CALL(SSL_CTX_set_cipher_list)                                                                                      \
    CALL(SSL_CTX_set_ciphersuites)                                                                                     \
    CALL(SSL_CTX_set_client_CA_list)                                                                                   \
    CALL(SSL_CTX_set_ex_data)                                                                                          \
    CALL(SSL_CTX_set_num_tickets)                                                                                      \
    CALL(SSL_CTX_set_options)                                                                                          \
    CALL(SSL_CTX_set_psk_find_session_callback)                                                                        \
    CALL(SSL_CTX_set_psk_use_session_callback)                                                                         \
    CALL(SSL_CTX_set_security_level)                                                                                   \
    CALL(SSL_CTX_set_session_id_context)                                                                               \
    CALL(SSL_CTX_set_verify)                                                                                           \
    CALL(SSL_CTX_use_PrivateKey_file)                                                                                  \
    CALL(SSL_CTX_use_certificate_chain_file)                                                                           \
    CALL(SSL_ctrl)                                                                                                     \
    CALL(SSL_SESSION_free)                                                                                             \
    CALL(SSL_SESSION_new)                                                                                              \
    CALL(SSL_SESSION_set1_master_key)                                                                                  \
    CALL(SSL_SESSION_set_cipher)                                                                                       \
    CALL(SSL_SESSION_set_protocol_version)                                                                             \
    CALL(SSL_do_handshake)                                                                                             \
    CALL(SSL_free)                                                                                                     \
    CALL(SSL_get0_alpn_selected)                                                                                       \
    CALL(SSL_get_SSL_CTX)                                                                                              \
    CALL(SSL_get_error)                                                                                                \
    CALL(SSL_get_ex_data)                                                                                              \
    CALL(SSL_has_pending)                                                                                              \
    CALL(SSL_is_init_finished)                                                                                         \
    CALL(SSL_load_client_CA_file)                                                                                      \
    CALL(SSL_new)                                                                                                      \
    CALL(SSL_pending)                                                                                                  \
    CALL(SSL_read)                                                                                                     \
    CALL(SSL_session_reused)                                                                                           \
    CALL(SSL_set_accept_state)                                                                                         \
    CALL(SSL_set_alpn_protos)                                                                                          \
    CALL(SSL_set_connect_state)                                                                                        \
    CALL(SSL_set_default_read_buffer_len)                                                                              \
    CALL(SSL_set_ex_data)                                                                                              \
    CALL(SSL_set_fd)                                                                                                   \
    CALL(SSL_set_read_ahead)                                                                                           \
    CALL(SSL_set_verify)                                                                                               \
    CALL(SSL_shutdown)                                                                                                 \
    CALL(SSL_write)                                                                                                    \
    CALL(TLS_client_method)                                                                                            \
    CALL(TLS_server_method)

struct openssl {
#define OPENSSL_FIELD(name) __typeof__(name) *name; // NOLINT(bugprone-macro-parentheses): it is being declared
    OPENSSL_CALLS(OPENSSL_FIELD)
#undef OPENSSL_FIELD
};

/* Usable once openssl_load has said true; never changes after that. */
extern struct openssl openssl;

/* Loads the library, if that was not done yet, and keeps it for the life of the process. False: why not is in err. Any
 * thread. */
bool openssl_load(char *err, size_t err_size);

#endif

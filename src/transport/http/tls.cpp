#include "transport/http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace syzygy::http {

namespace {

template <auto Free>
struct Freed {
  void operator()(auto* p) const { Free(p); }
};
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

std::unexpected<Error> invalid(std::string message) {
  ERR_clear_error();
  return failure(ErrorCode::kInvalidArgument, "TLS_INVALID", std::move(message));
}

// Never asks a terminal for the passphrase of an encrypted key.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

int choose_http_1_1(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                    unsigned offered_size, void* /*argument*/) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, kHttp11, sizeof kHttp11 - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

struct TlsContext::Impl {
  ContextPtr context;
};

TlsContext::TlsContext() : impl_(std::make_unique<Impl>()) {}
TlsContext::~TlsContext() = default;

Result<std::shared_ptr<TlsContext>> TlsContext::make(const std::string& certificate_chain,
                                                     const std::string& private_key) {
  std::shared_ptr<TlsContext> made(new TlsContext);
  made->impl_->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made->impl_->context.get();
  if (context == nullptr) return invalid("OpenSSL could not be set up.");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, choose_http_1_1, nullptr);

  const BioPtr chain(BIO_new_mem_buf(certificate_chain.data(), static_cast<int>(certificate_chain.size())));
  const CertificatePtr leaf(PEM_read_bio_X509_AUX(chain.get(), nullptr, no_passphrase, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return invalid("The certificate file holds no usable certificate in PEM form (-----BEGIN CERTIFICATE-----).");
  }
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, no_passphrase, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return invalid("The certificate file holds a chain that OpenSSL refuses.");
    }
  }
  ERR_clear_error();  // the end of the file is an error to OpenSSL

  const BioPtr key_text(BIO_new_mem_buf(private_key.data(), static_cast<int>(private_key.size())));
  const KeyPtr key(PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_passphrase, nullptr));
  if (!key || SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return invalid(
        "The key file holds no unencrypted private key in PEM form that belongs to the certificate. Check that the two "
        "files belong together.");
  }
  return made;
}

struct TlsSession::Impl {
  SslPtr ssl;
  std::string_view input;  // valid during receive() only
  std::string output;
  bool ready = false;
};

namespace {

// A BIO over the session's own two buffers, so that nothing stays allocated while a connection is parked.
struct Buffers {
  std::string_view* input;
  std::string* output;
};

int bio_read(BIO* bio, char* out, int size) {
  auto* buffers = static_cast<Buffers*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (buffers->input->empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = std::min(buffers->input->size(), static_cast<std::size_t>(size));
  std::memcpy(out, buffers->input->data(), n);
  buffers->input->remove_prefix(n);
  return static_cast<int>(n);
}

int bio_write(BIO* bio, const char* bytes, int size) {
  auto* buffers = static_cast<Buffers*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  buffers->output->append(bytes, static_cast<std::size_t>(size));
  return size;
}

long bio_control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int bio_destroy(BIO* bio) {
  delete static_cast<Buffers*>(BIO_get_data(bio));
  return 1;
}

BIO_METHOD* bio_method() {
  static BIO_METHOD* const kMethod = [] {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "syzygy");
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    BIO_meth_set_destroy(method, bio_destroy);
    return method;
  }();
  return kMethod;
}

}  // namespace

TlsSession::TlsSession(const TlsContext& context) : impl_(std::make_unique<Impl>()) {
  impl_->ssl.reset(SSL_new(context.impl_->context.get()));
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, new Buffers{&impl_->input, &impl_->output});
  BIO_set_init(bio, 1);
  SSL_set_bio(impl_->ssl.get(), bio, bio);  // owns it
  SSL_set_accept_state(impl_->ssl.get());
}

TlsSession::~TlsSession() = default;

TlsSession::State TlsSession::receive(std::string_view cipher, std::string& plain) {
  impl_->input = cipher;
  SSL* ssl = impl_->ssl.get();
  ERR_clear_error();
  std::array<char, 16'384> buffer;  // one record at most
  State state = State::kOpen;
  while (true) {
    const int n = impl_->ready ? SSL_read(ssl, buffer.data(), buffer.size()) : SSL_do_handshake(ssl);
    if (n > 0) {
      if (impl_->ready) plain.append(buffer.data(), static_cast<std::size_t>(n));
      impl_->ready = true;
      continue;
    }
    const int error = SSL_get_error(ssl, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) break;
    if (error == SSL_ERROR_ZERO_RETURN) {
      state = State::kClosed;
    } else {
      const int reason = ERR_GET_REASON(ERR_peek_error());
      state = !impl_->ready && reason == SSL_R_HTTP_REQUEST ? State::kPlainHttp : State::kFailed;
    }
    break;
  }
  ERR_clear_error();
  impl_->input = {};
  return state;
}

std::size_t TlsSession::send(std::string_view plain) {
  if (!impl_->ready || plain.empty()) return 0;
  ERR_clear_error();
  const int n =
      SSL_write(impl_->ssl.get(), plain.data(), static_cast<int>(std::min<std::size_t>(plain.size(), 16'384)));
  ERR_clear_error();
  return n > 0 ? static_cast<std::size_t>(n) : 0;
}

void TlsSession::close() {
  if (!impl_->ready) return;
  SSL_shutdown(impl_->ssl.get());
  ERR_clear_error();
}

bool TlsSession::ready() const { return impl_->ready; }
std::string& TlsSession::output() { return impl_->output; }

}  // namespace syzygy::http

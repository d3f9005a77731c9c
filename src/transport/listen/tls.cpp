#include "transport/listen/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

namespace syzygy::transport {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

Bio bio_over(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

// An encrypted key would otherwise make OpenSSL ask on the terminal.
int no_password(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) { return -1; }

std::unexpected<Error> invalid(std::string what) {
  ERR_clear_error();
  return failure(ErrorCode::kInvalidArgument, "TLS_INVALID", std::move(what));
}

}  // namespace

Result<void> check(const Tls& tls) {
  const Bio chain = bio_over(tls.certificate_chain);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(chain.get(), nullptr, no_password, nullptr), &X509_free);
  if (!certificate) {
    return invalid(
        "The TLS certificate is not a certificate in PEM. It must begin with -----BEGIN CERTIFICATE-----, "
        "the server's own first, then its intermediates.");
  }
  const Bio key_text = bio_over(tls.private_key);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_password, nullptr), &EVP_PKEY_free);
  if (!key) return invalid("The TLS key is not an unencrypted private key in PEM.");
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return invalid("The TLS key does not belong to the TLS certificate (the first one of its file).");
  }
  return {};
}

}  // namespace syzygy::transport

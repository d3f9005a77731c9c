#include "client/cpp/credentials.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

namespace syzygy {

namespace {

std::unexpected<Error> bad_file(const char* reason, const char* what, const std::string& file, const std::string& why) {
  return failure(ErrorCode::kInvalidArgument, reason, std::string(what) + " " + file + ": " + why, {{"file", file}});
}

// At most `bytes_max` + 1 bytes: one more tells that there was more. The error is in words.
std::expected<std::string, std::string> read_file(const std::string& file, std::size_t bytes_max) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "re"), &std::fclose);
  if (!in) return std::unexpected("cannot be opened: " + std::generic_category().message(errno));
  std::string bytes(bytes_max + 1, '\0');
  errno = 0;
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), in.get()));
  if (std::ferror(in.get()) != 0) return std::unexpected("cannot be read: " + std::generic_category().message(errno));
  return bytes;
}

}  // namespace

Result<std::string> read_token(const std::string& file) {
  constexpr std::size_t kMax = 8'192;
  const auto bad = [&](const std::string& why) { return bad_file("TOKEN_FILE", "The token file", file, why); };
  auto read = read_file(file, kMax);
  if (!read) return bad(read.error() + ". Give the file with the bearer token of the daemon.");
  std::string token = std::move(*read);
  if (token.size() > kMax) return bad("is larger than 8 KiB: it is not a bearer token.");
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.empty()) return bad("is empty. It must hold the bearer token, on one line.");
  if (!std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; })) {
    return bad(
        "holds blanks, line breaks or bytes that are not ASCII inside. It must hold the bearer token, on one line.");
  }
  return token;
}

Result<std::string> read_ca(const std::string& file) {
  constexpr std::size_t kMax = 4 << 20;
  if (file.empty()) {
    for (const char* system : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"}) {
      if (auto read = read_file(system, kMax); read && read->size() <= kMax && !read->empty()) return std::move(*read);
    }
    return std::string();
  }
  const auto bad = [&](const std::string& why) { return bad_file("CA_FILE", "The CA file", file, why); };
  auto read = read_file(file, kMax);
  if (!read) return bad(read.error() + ".");
  if (read->size() > kMax) return bad("is larger than 4 MiB: it is not a CA.");
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new_mem_buf(read->data(), static_cast<int>(read->size())),
                                                &BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr),
                                                           &X509_free);
  if (!certificate) return bad("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----).");
  return std::move(*read);
}

}  // namespace syzygy

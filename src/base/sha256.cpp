#include "base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>

namespace syzygy {
namespace {

// OpenSSL fails here only when it is broken or out of memory; a plan without a hash must not go on.
void must(int done) {
  if (done != 1) std::abort();
}

// Found once: looking it up by its name takes as long as hashing a line.
const EVP_MD* sha256() {
  static const EVP_MD* const kFound = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kFound != nullptr ? kFound : EVP_sha256();
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  must(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, sha256(), nullptr));
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(64);
  for (const unsigned char byte : digest) {
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() { must(context != nullptr ? 1 : 0); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) { must(EVP_DigestInit_ex(state_->context, sha256(), nullptr)); }
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) { must(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size())); }

std::string Sha256::digest() const {
  const State copy;
  must(EVP_MD_CTX_copy_ex(copy.context, state_->context));
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  must(EVP_DigestFinal_ex(copy.context, digest.data(), &size));
  return {digest.begin(), digest.end()};
}

}  // namespace syzygy

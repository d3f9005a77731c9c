// sha256.h - SHA-256 (FIPS 180-4) by OpenSSL, so that nobody else meets its API.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace syzygy {

// 64 lower-case hexadecimal digits. Any bytes, any length.
std::string sha256_hex(std::string_view bytes);

// The same over bytes that come in pieces; digest() may be asked at any point, and more may follow.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  [[nodiscard]] std::string digest() const;  // 32 raw bytes

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace syzygy

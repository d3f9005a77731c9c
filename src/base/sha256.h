// sha256.h - SHA-256 (FIPS 180-4) by OpenSSL, behind one function so that nobody else meets its API.
#pragma once

#include <string>
#include <string_view>

namespace syzygy {

// 64 lower-case hexadecimal digits. Any bytes, any length.
std::string sha256_hex(std::string_view bytes);

}  // namespace syzygy

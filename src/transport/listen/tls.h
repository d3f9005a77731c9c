// tls.h - the server's certificate and key, checked before any port opens.
//
// A library that meets a bad certificate only in the first handshake would let the daemon start, and refuse everybody.
#pragma once

#include <string>

#include "base/result.h"

namespace syzygy::transport {

struct Tls {
  std::string certificate_chain;  // PEM, the server's own first
  std::string private_key;        // PEM, not encrypted
};

// Errors: kInvalidArgument TLS_INVALID: no certificate, no key, or a key that is not the certificate's. Never shows the
// key.
Result<void> check(const Tls& tls);

}  // namespace syzygy::transport

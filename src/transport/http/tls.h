// tls.h - the server's side of TLS without a socket: ciphertext in, plaintext out, and back.
//
// TlsContext holds certificate and key, and is shared by all connections (immutable after make()). TlsSession is one
// connection's, owned by one thread. OpenSSL is behind it; its buffers are given back while a connection waits.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy::http {

class TlsContext {
 public:
  // PEM texts. Errors: kInvalidArgument TLS_INVALID, saying which of the two is wrong and how; never the key itself.
  static Result<std::shared_ptr<TlsContext>> make(const std::string& certificate_chain, const std::string& private_key);
  ~TlsContext();

 private:
  friend class TlsSession;
  TlsContext();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class TlsSession {
 public:
  explicit TlsSession(const TlsContext& context);
  ~TlsSession();

  enum class State { kOpen, kClosed, kFailed, kPlainHttp };  // kPlainHttp: the peer does not speak TLS but HTTP

  // Takes what came from the socket and appends what it says to `plain`. What must be sent is then in output().
  State receive(std::string_view cipher, std::string& plain);
  // Encrypts the front of `plain` (at most one record, 16 kB) into output(); returns how much. 0: not now.
  std::size_t send(std::string_view plain);
  void close();  // says goodbye into output()

  [[nodiscard]] bool ready() const;  // the handshake is over
  [[nodiscard]] std::string& output();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace syzygy::http

// probe.h - what really answers at an address: for error messages and `syzygy doctor`.
//
// Opens a connection of its own with plain sockets, says hello as HTTP/2 (within TLS if asked for) and looks at what
// comes back. Sends no bearer token and no request. Blocking, bounded by `timeout` (name resolution included), safe
// from any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "client/cpp/client.h"
#include "client/cpp/endpoints.h"

namespace syzygy {

enum class Answer {
  kHttp2,        // speaks HTTP/2 as a gRPC server does (TLS verified where asked for)
  kUnresolved,   // the name has no address
  kRefused,      // nobody listens there
  kUnreachable,  // no route, or the network says no
  kTimedOut,     // nothing came back in time
  kClosed,       // accepted and hung up without a word
  kHttp1,        // a web server: perhaps the daemon's HTTP port
  kOther,        // something answered that is neither
  kWantsTls,     // we spoke plaintext, it speaks TLS
  kNoTls,        // we spoke TLS, it does not
  kUntrusted,    // TLS: the certificate is not signed by the CA given, or has expired
  kWrongName,    // TLS: the certificate is for another name
  kTlsFailed,    // TLS failed otherwise
};

struct Probe {
  Answer answer = Answer::kTimedOut;
  std::string said;  // one sentence for a person: what was seen at this address, and what to try
};

Probe probe(const Endpoint& endpoint, const ClientOptions& options, Duration timeout);

// True for what no waiting heals: TLS on one side only, a certificate that does not fit.
bool is_mismatch(Answer answer);

std::string_view to_string(Answer answer);  // "http2", "wants_tls", ...

}  // namespace syzygy

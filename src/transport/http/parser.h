// parser.h - HTTP/1.1 requests out of bytes. No socket: bytes in, progress out; Beast's parser is behind it.
//
// One object reads one request and is thrown away. It keeps only the fields that somebody reads, so that a request
// waits in little memory. Any bytes are welcome: what is not HTTP becomes kBad with the problem to answer. One thread
// at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "transport/http/problem.h"

namespace syzygy::http {

inline constexpr std::size_t kHeaderBytesMax = 16'384;

struct Head {
  std::string method;
  std::string target;
  bool http_1_0 = false;
  bool keep_alive = true;
  bool has_body = false;
  bool expects_continue = false;
  unsigned hosts = 0;
  std::string host;
  std::string origin;
  std::string authorization;
  std::string content_type;
  std::string content_encoding;
  std::string idempotency_key;
  std::string last_event_id;
};

class Parser {
 public:
  explicit Parser(std::size_t body_max);
  ~Parser();

  enum class Progress {
    kMore,  // give the rest again, with more behind it
    kHead,  // the header is complete: told once; put the rest to go on, even if there is none
    kDone,
    kBad,
  };
  // Reads from the front of `bytes`; `used` of them need not be given again.
  Progress put(std::string_view bytes, std::size_t& used);

  [[nodiscard]] Head& head();
  [[nodiscard]] std::string& body();
  [[nodiscard]] const Problem& problem() const;  // of kBad

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace syzygy::http

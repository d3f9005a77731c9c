#include "transport/http/parser.h"

#include <fmt/format.h>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>

namespace syzygy::http {

namespace beast = boost::beast;

namespace {}  // namespace

class Parser::Impl final : public beast::http::basic_parser<true> {
 public:
  explicit Impl(std::size_t body_max) : body_max_(body_max) {
    header_limit(kHeaderBytesMax);
    body_limit(body_max);
  }

  Progress advance(std::string_view bytes, std::size_t& used) {
    used = 0;
    if (is_done()) return Progress::kDone;
    beast::error_code error;
    if (!told_) {
      eager(false);
      used = put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
      if (!error && is_header_done()) {
        told_ = true;
        head_.keep_alive = keep_alive();
        head_.has_body = !is_done() && (chunked() || content_length().value_or(0) > 0);
        eager(true);
        return Progress::kHead;
      }
    } else if (bytes.empty()) {
      return Progress::kMore;
    } else {
      used = put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
      if (is_done() && !error) return Progress::kDone;
    }
    if (!error || error == beast::http::error::need_more) {
      // The line of a chunk, or trailers, that never end.
      if (bytes.size() - used <= 2 * kHeaderBytesMax) return Progress::kMore;
      error = beast::http::error::header_limit;
    }
    explain(error, bytes);
    return Progress::kBad;
  }

  Head head_;
  std::string body_;
  Problem problem_;

 private:
  void on_request_impl(beast::http::verb /*method*/, beast::string_view method, beast::string_view target, int version,
                       beast::error_code& /*error*/) override {
    head_.method = std::string(method);
    head_.target = std::string(target);
    head_.http_1_0 = version == 10;
  }
  void on_response_impl(int /*code*/, beast::string_view /*reason*/, int /*version*/,
                        beast::error_code& /*error*/) override {}
  void on_field_impl(beast::http::field name, beast::string_view name_text, beast::string_view value,
                     beast::error_code& /*error*/) override {
    using beast::http::field;
    if (told_) return;  // trailers say nothing that is heard
    switch (name) {
      case field::host:
        ++head_.hosts;
        head_.host = std::string(value);
        break;
      case field::origin:
        head_.origin = std::string(value);
        break;
      case field::authorization:
        head_.authorization = std::string(value);
        break;
      case field::content_type:
        head_.content_type = std::string(value);
        break;
      case field::content_encoding:
        head_.content_encoding = std::string(value);
        break;
      case field::expect:
        head_.expects_continue = beast::iequals(value, "100-continue");
        break;
      default:
        if (beast::iequals(name_text, "Idempotency-Key")) head_.idempotency_key = std::string(value);
        if (beast::iequals(name_text, "Last-Event-ID")) head_.last_event_id = std::string(value);
    }
  }
  void on_header_impl(beast::error_code& /*error*/) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>& /*length*/, beast::error_code& /*error*/) override {}
  std::size_t on_body_impl(beast::string_view bytes, beast::error_code& /*error*/) override {
    body_.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_chunk_header_impl(std::uint64_t size, beast::string_view /*extensions*/, beast::error_code& error) override {
    if (size > body_max_ - std::min(body_max_, body_.size())) error = beast::http::error::body_limit;
  }
  std::size_t on_chunk_body_impl(std::uint64_t /*remain*/, beast::string_view bytes,
                                 beast::error_code& /*error*/) override {
    body_.append(bytes.data(), bytes.size());
    return bytes.size();
  }
  void on_finish_impl(beast::error_code& /*error*/) override {}

  void explain(const beast::error_code& failure, std::string_view bytes) {
    using Problem = beast::http::error;
    if (!told_ && bytes.starts_with("PRI * HTTP/2.0")) {
      problem_ = plain_problem(
          505, "HTTP_VERSION_UNSUPPORTED",
          "This port speaks HTTP/1.1. gRPC has a port of its own (7411 where nothing else is configured).");
    } else if (!told_ && bytes.starts_with("\x16\x03")) {
      problem_ = plain_problem(400, "REQUEST_MALFORMED",
                               "This port speaks plain HTTP, and a TLS handshake came. Use http://.");
    } else if (failure == Problem::bad_version) {
      problem_ = plain_problem(505, "HTTP_VERSION_UNSUPPORTED",
                               "The request line names no version of HTTP that is spoken here: "
                               "HTTP/1.1, HTTP/1.0.");
    } else if (failure == Problem::header_limit) {
      problem_ =
          plain_problem(431, "HEADER_TOO_LARGE",
                        fmt::format("The header is larger than {} bytes, the limit here. Send fewer or shorter fields.",
                                    kHeaderBytesMax));
    } else if (failure == Problem::body_limit) {
      problem_ = plain_problem(413, "BODY_TOO_LARGE",
                               fmt::format("The body is larger than {} bytes, the limit of one request.", body_max_));
    } else {
      problem_ = plain_problem(400, "REQUEST_MALFORMED",
                               fmt::format("This is not well-formed HTTP/1.1: {}.", failure.message()));
    }
  }

  const std::size_t body_max_;
  bool told_ = false;
};

Parser::Parser(std::size_t body_max) : impl_(std::make_unique<Impl>(body_max)) {}
Parser::~Parser() = default;

Parser::Progress Parser::put(std::string_view bytes, std::size_t& used) { return impl_->advance(bytes, used); }

Head& Parser::head() { return impl_->head_; }
std::string& Parser::body() { return impl_->body_; }
const Problem& Parser::problem() const { return impl_->problem_; }

}  // namespace syzygy::http

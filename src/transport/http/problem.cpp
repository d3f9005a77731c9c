#include "transport/http/problem.h"

#include <fmt/format.h>

#include <utility>

#include "base/name.h"

namespace syzygy::http {

namespace {

int status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return 400;
    case ErrorCode::kUnauthenticated:
      return 401;
    case ErrorCode::kPermissionDenied:
      return 403;
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
    case ErrorCode::kAborted:
      return 409;
    case ErrorCode::kResourceExhausted:
      return 429;
    case ErrorCode::kUnimplemented:
      return 501;
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kDeadlineExceeded:
      return 504;
    case ErrorCode::kInternal:
    case ErrorCode::kDataLoss:
      return 500;
  }
  return 500;
}

// How many bytes of well-formed UTF-8 `text` starts with; 0: none.
std::size_t sequence_at(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return length <= text.size() && is_utf8(text.substr(0, length)) ? length : 0;
}

}  // namespace

Problem plain_problem(int status, std::string reason, std::string detail) {
  return {status, std::move(reason), std::move(detail), {}, {}, {}};
}

Problem to_problem(const Error& error) {
  return {status_of(error.code), error.reason, error.message, error.metadata, error.retry_after, {}};
}

std::string json_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      const std::size_t length = sequence_at(text.substr(i));
      out += length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(i, length);
      i += length == 0 ? 1 : length;
      continue;
    }
    ++i;
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += static_cast<char>(byte);
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7F || byte == '<') {  // '<': harmless even where somebody sniffs for HTML
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out += static_cast<char>(byte);
    }
  }
  return out;
}

std::string to_json(const Problem& p) {
  const std::string reason = json_escape(p.reason);
  std::string out = fmt::format(
      R"({{"type":"urn:syzygy:error:{}","title":"{}","status":{},"detail":"{}","reason":"{}","metadata":{{)", reason,
      phrase(p.status), p.status, json_escape(p.detail), reason);
  bool first = true;
  for (const auto& [key, value] : p.metadata) {
    fmt::format_to(std::back_inserter(out), R"({}"{}":"{}")", first ? "" : ",", json_escape(key), json_escape(value));
    first = false;
  }
  out += "}}\n";
  return out;
}

std::string_view phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

}  // namespace syzygy::http

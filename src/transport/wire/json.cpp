#include "transport/wire/json.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include "base/name.h"

namespace syzygy::wire {

std::string to_json(const google::protobuf::Message& message) {
  std::string json;
  // Fails only for a malformed Any, Timestamp or Duration; the API has no Any, and response.cpp makes the others.
  (void)google::protobuf::util::MessageToJsonString(message, &json);
  return json;
}

Result<void> from_json(std::string_view json, google::protobuf::Message* message) {
  message->Clear();
  if (json.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
  const auto refuse = [&](std::string_view why) {
    return failure(ErrorCode::kInvalidArgument, "JSON_INVALID",
                   fmt::format("The body is not a {} in JSON: {}", message->GetDescriptor()->name(), why));
  };
  if (!is_utf8(json)) return refuse("it is not UTF-8.");
  const auto status =
      google::protobuf::util::JsonStringToMessage(google::protobuf::StringPiece(json.data(), json.size()), message);
  // The parser's message quotes the place, with a line and a caret: one line is enough, and safe to log.
  if (!status.ok()) return refuse(printable(status.message().as_string(), 300));
  return {};
}

}  // namespace syzygy::wire

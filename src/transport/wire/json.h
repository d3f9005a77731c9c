// json.h - Protobuf's JSON mapping: lowerCamelCase out, both spellings in, unknown fields refused.
//
// Out: fields that have their default value are left out, 64-bit numbers are strings, bytes that are not UTF-8 cannot
// occur. In: any bytes; an error names what is wrong and where. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace syzygy::wire {

// On one line.
std::string to_json(const google::protobuf::Message& message);

// Replaces `message`. An empty body is the empty message. Errors: kInvalidArgument, reason JSON_INVALID.
Result<void> from_json(std::string_view json, google::protobuf::Message* message);

}  // namespace syzygy::wire

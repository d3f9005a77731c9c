// json.h - the API's messages as one line of JSON, as the HTTP port gives them.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace syzygy::cli {

std::string to_json(const google::protobuf::Message& message);

}  // namespace syzygy::cli

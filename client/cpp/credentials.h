// credentials.h - the files that a connection needs: a bearer token, a CA. Their content never appears in an error.
#pragma once

#include <string>

#include "base/result.h"

namespace syzygy {

// The file's only line. Errors: kInvalidArgument TOKEN_FILE, metadata "file": unreadable, empty, over 8 KiB, or with
// bytes that cannot stand in an HTTP header.
Result<std::string> read_token(const std::string& file);

// PEM of the file, or of the system's certificates where `file` is empty (empty if there are none: gRPC then uses its
// own). Errors: kInvalidArgument CA_FILE, metadata "file": unreadable, over 4 MiB, or without a certificate.
Result<std::string> read_ca(const std::string& file);

}  // namespace syzygy

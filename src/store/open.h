// open.h - from what --store says to the store itself: the one place that knows every kind of store there is.
//
// An address is KIND:WHERE: "sqlite:/var/lib/syzygy", "memory:". It may hold a password, so it is for opening
// only: what is shown, logged or refused is Store::describe() or without_passwords(). A kind is added by
// one row of the table in open.cpp. Threads: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/store.h"

namespace syzygy {

// Whether an address can be meant, without opening anything: kInvalidArgument, reason STORE_ADDRESS_INVALID, naming
// what is wrong and never a password.
Result<void> check_store(std::string_view address);

// Opens it, and makes an empty store where there is none yet. Errors: check_store()'s, and the kind's own.
Result<std::unique_ptr<Store>> open_store(std::string_view address);

// The directory that a store on this machine keeps its files in; empty: it has none.
std::string directory_of_store(std::string_view address);

// All kinds, for help and errors: "sqlite:/DIR or memory:".
std::string kinds_of_store();

// `text` (an address, or a message that may hold some) without passwords: what stands between USER: and @ of a URL, and
// the values of password parameters, is replaced by "***".
std::string without_passwords(std::string_view text);

}  // namespace syzygy

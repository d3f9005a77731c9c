// standard_streams.h - descriptors 0, 1 and 2 are never anything else than the standard streams.
//
// Who starts a process may have closed them (`syzygy migrate 2>&-`). The next socket or file that is opened would then
// get the number of standard error, and whatever is said there would be written into it: into a connection to a
// database, at worst. hold_standard_streams() fills the gaps with what can neither be written nor read, so that who
// uses them hears EBADF, as if they were still closed. As the first thing in main(): only what a library opened before
// that (an eventfd of gRPC's, which takes no text) keeps its number.
#pragma once

namespace syzygy {

void hold_standard_streams();

}  // namespace syzygy

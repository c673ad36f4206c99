//! Whether udev runs on this computer.

use std::io;
use std::os::unix::net::UnixStream;

/// Whether udev runs here: what it said of devices stays in its database after it ended, and would
/// pass for the present.
pub fn udev_runs() -> bool {
    // The connection itself always fails, this being another type of socket. A user may not even
    // try, and has to trust that the socket is not left over.
    let error = UnixStream::connect("/run/udev/control").err();
    !error.is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    })
}

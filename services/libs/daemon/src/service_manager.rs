//! Telling systemd how far the process is (`Type=notify`). Without systemd nothing happens.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Everything is bound and running: units that wait for this one may start.
pub fn ready() {
    tell("READY=1\n");
}

/// Draining has begun.
pub fn stopping() {
    tell("STOPPING=1\n");
}

fn tell(state: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "systemd says by the environment where it listens; this is no setting"
    )]
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket.into_vec(), state) {
        tracing::warn!(%error, "the service manager could not be told {}", state.trim_end());
    }
}

/// A path, or `@` and the name of an abstract socket.
fn send(address: &[u8], state: &str) -> io::Result<()> {
    let address = match address {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_hears_what_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), "READY=1\n").unwrap();
        let mut heard = [0; 64];
        let length = socket.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1\n");
        assert!(send(b"@headwater-test-nobody-listens", "READY=1\n").is_err());
    }
}

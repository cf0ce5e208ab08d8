//! Free ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// `N` different ports that nobody listens on at the moment.
///
/// The servers cannot be handed an open socket, so somebody else may take a port before they do:
/// the caller starts again with other ports then.
pub(crate) fn free<const N: usize>() -> Result<[u16; N], Error> {
    // All are held until all are known, or the same port would come up twice.
    let listeners = (0..N)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::io("find a free port"))?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener
            .local_addr()
            .map_err(Error::io("find a free port"))?
            .port();
    }
    Ok(ports)
}

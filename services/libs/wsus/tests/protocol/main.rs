//! The protocol against recorded exchanges, and client against server on loopback.

#[cfg(test)]
mod captures;
#[cfg(test)]
mod exchange;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod package;
#[cfg(test)]
mod packed;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod server;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;

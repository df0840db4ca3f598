//! Bad input at the doors of the protocol: requests, answers, compressed documents, packages. Each is refused
//! with one short line, or read as something that is written and read again alike.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod blobs;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod server;

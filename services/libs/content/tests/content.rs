//! The content of a site through its public face: files on a disk, an origin that misbehaves, sites below one
//! another, and who asks over HTTP.

#[cfg(test)]
mod content {
    mod bucket;
    mod bucket_server;
    mod chain;
    mod cleanup;
    mod engine;
    mod faults;
    mod files;
    mod http;
    mod intake;
    mod origin;
    mod parent;
    mod patience;
    mod room;
    mod server;
    mod shared;
    mod support;
    mod wish;
}

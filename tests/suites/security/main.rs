//! Hostile peers: a parent that lies, callers without rights, and secrets that must not show.

#[cfg(test)]
mod altered;
#[cfg(test)]
mod cancel;
#[cfg(test)]
mod child;
#[cfg(test)]
mod claims;
#[cfg(test)]
mod compared;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod json;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod listeners;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod parent;
#[cfg(test)]
mod people;
#[cfg(test)]
mod people_pages;
#[cfg(test)]
mod playground;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod redirect;
#[cfg(test)]
mod reflection;
#[cfg(test)]
mod relayed;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod words;

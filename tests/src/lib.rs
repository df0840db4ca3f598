//! The suites that need more than one crate; they are in `suites/`, one executable each.

//! Hierarchies of real processes: they synchronize, are killed, cut off and refused.
//!
//! Each test has a hierarchy of its own, in its own folder and on free ports. Processes are started few
//! times and looked at often.

#[cfg(test)]
mod air_gap;
#[cfg(test)]
mod air_gap_crashes;
#[cfg(test)]
mod air_gap_files;
#[cfg(test)]
mod alerts;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod away;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod choosing;
#[cfg(test)]
mod cleanup;
#[cfg(test)]
mod collector;
#[cfg(test)]
mod content;
#[cfg(test)]
mod content_crashes;
#[cfg(test)]
mod content_many;
#[cfg(test)]
mod content_proxy;
#[cfg(test)]
mod content_source;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod merged;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod one_run;
#[cfg(test)]
mod package;
#[cfg(test)]
mod points;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod repair;
#[cfg(test)]
mod roll_out;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod settings;
mod single_updates;
#[cfg(test)]
mod source_account;
#[cfg(test)]
mod stand_alone;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod three_tiers;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod trouble;

//! Decisions about updates as approvals for replicas (WSUS-PROTOCOL 2.4, 3.7).
//!
//! An update has one deployment, for all computers, whose GUID follows from that of the update: a decision that
//! changes is the same deployment with other content, and one that is taken back is a dead one. What was declined
//! is hidden.

use super::draft::Decision;
use super::{Index, Listed};
use catalog::approval::{Approval, Record};
use catalog::document::ProtocolVersion;
use catalog::{RevisionId, UpdateId};
use std::collections::BTreeSet;
use uuid::Uuid;
use wsus::message::{ALL_COMPUTERS, Deployment, Deployments};
use wsus::server::builtin_groups;

/// What the GUIDs of deployments are derived for.
const CONTEXT: &str = "headwater 2026-11-22 deployment of an update";
/// Action: install.
const INSTALL: i32 = 0;
/// Action: remove.
const UNINSTALL: i32 = 1;
/// Action: say whether it is needed.
const SCAN: i32 = 2;
/// Priority of the download: ordinary.
const PRIORITY: u8 = 2;

/// What somebody who comes back has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Nothing, or nobody knows what.
    Beginning,
    /// Everything up to a position.
    Position(u64),
    /// Everything: an anchor of a time that has not come.
    Everything,
}

impl Since {
    /// Whether what changed at a position is among what somebody has.
    pub const fn covers(self, position: u64) -> bool {
        match self {
            Self::Beginning => false,
            Self::Position(since) => position <= since,
            Self::Everything => true,
        }
    }
}

/// Which decisions a replica is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// What it was told before.
    pub since: Since,
    /// What it knows of the catalog: it is told no more than concerns this.
    pub knows: Since,
}

impl Index {
    /// The decisions that a replica of `protocol` is told; the anchor is left to the caller.
    ///
    /// One about a revision that could not be listed when it was made is told when the revision can be.
    pub fn deployments(&self, delta: Delta, protocol: ProtocolVersion) -> Deployments {
        let mut answer = Deployments {
            groups: builtin_groups(),
            ..Deployments::default()
        };
        let mut licences: BTreeSet<Uuid> = BTreeSet::new();
        for (&update, decision) in &self.decisions {
            let approval = decision.approval();
            if let Some(record) = &decision.record {
                let accepted = record.accepted_licence.as_ref();
                licences.extend(accepted.map(|licence| licence.terms));
            }
            if approval == Approval::Declined && self.newest.contains_key(&update) {
                answer.hidden_updates.push(update);
            }
            let deployed = decision.record.as_deref().and_then(|record| {
                let (deployment, held) = self.deployment(decision.deployed(update)?, record)?;
                let can_have = held.deliverable && held.protocol <= protocol;
                can_have.then_some((deployment, held.since))
            });
            let since = deployed.as_ref().map_or(0, |(_, since)| *since);
            let at = decision.position.max(since);
            let is_told = delta.since.covers(at);
            let is_ahead = delta.knows != Since::Beginning && !delta.knows.covers(at);
            if is_told || is_ahead {
                continue;
            }
            match deployed.map(|(deployment, _)| deployment) {
                Some(deployment) => answer.deployments.push(deployment),
                None => answer.dead_deployments.push(deployment_guid(update)),
            }
        }
        answer.accepted_eulas = licences.into_iter().collect();
        answer
    }

    /// The deployment of an approved update, and the revision that is deployed, where that is here.
    fn deployment(
        &self,
        (revision, action): (RevisionId, i32),
        record: &Record,
    ) -> Option<(Deployment, &Listed)> {
        let place = *self.by_id.get(&revision)?;
        let deployment = Deployment {
            revision,
            action,
            admin_name: record.cause.to_string(),
            deadline: record.approval.deadline(),
            is_assigned: true,
            go_live_time: Some(record.changed_at),
            deployment_guid: deployment_guid(revision.update_id),
            target_group_id: ALL_COMPUTERS,
            download_priority: PRIORITY,
        };
        Some((deployment, self.listed.get(place as usize)?))
    }
}

impl Decision {
    fn approval(&self) -> Approval {
        let record = self.record.as_ref();
        record.map_or(Approval::NotApproved, |record| record.approval)
    }

    /// The revision of `update` that is deployed, and the action; none where nothing is.
    pub(super) fn deployed(&self, update: UpdateId) -> Option<(RevisionId, i32)> {
        let record = self.record.as_deref()?;
        let action = match record.approval {
            Approval::Install { .. } => INSTALL,
            Approval::Removal { .. } => UNINSTALL,
            Approval::Detection => SCAN,
            Approval::NotApproved | Approval::Declined => return None,
        };
        Some((RevisionId::new(update, record.revision), action))
    }
}

/// The GUID of the deployment of an update: the same at every site.
fn deployment_guid(update: UpdateId) -> Uuid {
    let key = blake3::derive_key(CONTEXT, update.0.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&key[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

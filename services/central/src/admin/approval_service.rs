//! Deciding about updates.

use super::{Admin, internal};
use crate::approvals::{Decided, Verdict, Wanted};
use ::admin::decisions_shown::approval;
use catalog::UpdateId;
use catalog::approval::Approval;
use jiff::Timestamp;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1;
use wire::v1::approval_service_server::ApprovalService;
use wire::v1::{DecideUpdatesRequest, DecideUpdatesResponse, UpdateDecided};

/// Updates of one call, at most.
const MOST_UPDATES: usize = 500;

fn invalid(why: impl Into<String>) -> Status {
    Status::invalid_argument(why)
}

/// What is wanted.
fn wanted(request: &DecideUpdatesRequest) -> Result<Wanted, Status> {
    let deadline = convert::optional_timestamp("deadline", request.deadline.as_ref())
        .map_err(|error| invalid(error.to_string()))?;
    let kind = v1::Approval::try_from(request.approval)
        .map_err(|_| invalid("this version does not know such an approval"))?;
    let approval = approval_of(kind, deadline);
    let has_deadline = approval.is_some_and(|approval| approval.deadline().is_some());
    if deadline.is_some() && !has_deadline {
        return Err(invalid(
            "only an approval for install or removal has a deadline",
        ));
    }
    if approval.is_none() && !request.accept_licence {
        return Err(invalid(
            "say what is to happen with the updates: an approval, or that their licence terms are accepted",
        ));
    }
    Ok(Wanted {
        approval,
        accept_licence: request.accept_licence,
    })
}

fn approval_of(kind: v1::Approval, deadline: Option<Timestamp>) -> Option<Approval> {
    match kind {
        v1::Approval::Unspecified => None,
        v1::Approval::NotApproved => Some(Approval::NotApproved),
        v1::Approval::Detection => Some(Approval::Detection),
        v1::Approval::Install => Some(Approval::Install { deadline }),
        v1::Approval::Removal => Some(Approval::Removal { deadline }),
        v1::Approval::Declined => Some(Approval::Declined),
    }
}

fn updates(request: &DecideUpdatesRequest) -> Result<Vec<UpdateId>, Status> {
    if request.update_ids.is_empty() {
        return Err(invalid("name at least one update"));
    }
    if request.update_ids.len() > MOST_UPDATES {
        return Err(invalid(format!(
            "more than {MOST_UPDATES} updates at once: decide in parts"
        )));
    }
    let ids = request.update_ids.iter();
    ids.map(|text| {
        text.trim()
            .parse()
            .map_err(|error| invalid(format!("an update is named by its GUID: {error}")))
    })
    .collect()
}

fn decided((id, verdict): (UpdateId, Verdict)) -> UpdateDecided {
    let empty = UpdateDecided {
        update_id: id.to_string(),
        ..UpdateDecided::default()
    };
    match verdict {
        Verdict::Changed {
            old,
            new,
            licence_accepted,
        } => UpdateDecided {
            outcome: v1::DecisionOutcome::Changed.into(),
            old: approval(old).into(),
            new: approval(new).into(),
            licence_accepted,
            ..empty
        },
        Verdict::Unchanged(held) => UpdateDecided {
            outcome: v1::DecisionOutcome::Unchanged.into(),
            old: approval(held).into(),
            new: approval(held).into(),
            ..empty
        },
        Verdict::Refused(why) => UpdateDecided {
            outcome: v1::DecisionOutcome::Refused.into(),
            why,
            ..empty
        },
    }
}

#[tonic::async_trait]
impl ApprovalService for Admin {
    async fn decide_updates(
        &self,
        request: Request<DecideUpdatesRequest>,
    ) -> Result<Response<DecideUpdatesResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let request = request.into_inner();
        let (wanted, ids) = (wanted(&request)?, updates(&request)?);
        let decisions = self.decisions.clone();
        // To its end, also where the caller does not wait: it is in the journal then.
        let decide = async move {
            decisions
                .decide(&caller.name, &ids, wanted, request.dry_run)
                .await
                .map_err(internal)
        };
        let Decided {
            verdicts,
            committed,
        } = self.admission.to_the_end(decide).await?;
        Ok(Response::new(DecideUpdatesResponse {
            updates: verdicts.into_iter().map(decided).collect(),
            position: committed.map_or(0, |committed| committed.position),
            in_force: committed.is_some_and(|committed| committed.in_force),
        }))
    }
}

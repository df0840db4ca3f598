//! Lines of a log, on their way to the parent.

use crate::log_route::LogRouter;
use catalog::PointId;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use wire::v1::attach_request::Message as ToParent;
use wire::v1::{AttachRequest, LogLines};

/// Sends the lines of a log that the parent asked for, until it has all, or the log ends.
pub(super) async fn forward_log(
    logs: LogRouter,
    sender: mpsc::Sender<AttachRequest>,
    request: u64,
    site: PointId,
    last: u32,
    follow: bool,
) {
    let answer = |lines, end, error| AttachRequest {
        message: Some(ToParent::LogLines(LogLines {
            request,
            lines,
            end,
            error,
        })),
    };
    let mut error = String::new();
    match logs.read(site, last, follow).await {
        Ok(mut lines) => {
            while let Some(next) = lines.next().await {
                match next {
                    Ok(lines) => {
                        if sender
                            .send(answer(lines, false, String::new()))
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                    Err(status) => status.message().clone_into(&mut error),
                }
            }
        }
        Err(status) => status.message().clone_into(&mut error),
    }
    sender.send(answer(vec![], true, error)).await.ok();
}

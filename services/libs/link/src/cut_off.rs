//! Answers that end early when the site stops, or whoever asked is removed, and say so: a stream that
//! just ends looks as if something had been withheld.

use futures::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// The answers of `stream` until one of the tokens is told; then why there are no more.
pub fn cut_off<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    stop: CancellationToken,
    removed: CancellationToken,
) -> impl Stream<Item = Result<T, Status>> + Send {
    let over = {
        let (stop, removed) = (stop.clone(), removed.clone());
        async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = removed.cancelled() => {}
            }
        }
    };
    let why = futures::stream::once(async move {
        if removed.is_cancelled() {
            let why = "this site was removed from the hierarchy";
            return Some(Err(Status::permission_denied(why)));
        }
        stop.is_cancelled()
            .then(|| Err(Status::unavailable("the site is stopping")))
    });
    let why = why.filter_map(|why| async { why });
    stream.take_until(Box::pin(over)).chain(Box::pin(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_cut_off_is_told_why() {
        let endless = || futures::stream::pending::<Result<(), Status>>();
        let (stop, removed) = (CancellationToken::new(), CancellationToken::new());
        let told = Box::pin(cut_off(endless(), stop.clone(), removed.clone()));
        stop.cancel();
        let told: Vec<_> = told.collect().await;
        assert_eq!(
            told[0].as_ref().unwrap_err().message(),
            "the site is stopping"
        );
        removed.cancel();
        let told = Box::pin(cut_off(endless(), CancellationToken::new(), removed));
        let told: Vec<_> = told.collect().await;
        assert!(told.len() == 1 && told[0].is_err());
    }

    #[tokio::test]
    async fn what_ends_by_itself_just_ends() {
        let (stop, removed) = (CancellationToken::new(), CancellationToken::new());
        let answers = futures::stream::iter([Ok(1), Ok(2)]);
        let told: Vec<_> = Box::pin(cut_off(answers, stop, removed)).collect().await;
        assert_eq!(told.len(), 2);
    }
}

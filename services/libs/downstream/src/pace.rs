//! The bytes of an answer at the rate at which its client may have them: they wait, and none of them is refused.

use crate::limits::{Limits, Place};
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

/// Bytes that are handed on at a time: many answers to one client take turns with pieces of this size.
pub const PIECE: usize = 64 << 10;

/// A body that is sent within the limits of its client.
pub struct Paced {
    body: Body,
    limits: Limits,
    client: IpAddr,
    /// The place of the client that is taken until all was handed on.
    _place: Option<Place>,
    /// What came and is not handed on yet.
    rest: Bytes,
    /// What may be handed on when the time has come.
    next: Option<(Pin<Box<Sleep>>, Bytes)>,
}

impl Paced {
    /// The body of an answer to `client`, which may take a place of it.
    pub fn new(body: Body, limits: Limits, client: IpAddr, place: Option<Place>) -> Self {
        Self {
            body,
            limits,
            client,
            _place: place,
            rest: Bytes::new(),
            next: None,
        }
    }

    /// Bytes that are here and were not handed on.
    fn here(&self) -> u64 {
        let next = self.next.as_ref().map_or(0, |(_, bytes)| bytes.len());
        (self.rest.len() + next) as u64
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            if let Some((sleep, bytes)) = &mut self.next {
                ready!(sleep.as_mut().poll(context));
                let bytes = std::mem::take(bytes);
                self.next = None;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if !self.rest.is_empty() {
                let length = self.rest.len().min(PIECE);
                let piece = self.rest.split_to(length);
                match self.limits.send(self.client, piece.len()) {
                    None => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Some(wait) => {
                        self.next = Some((Box::pin(tokio::time::sleep(wait)), piece));
                        continue;
                    }
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.here() == 0 && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, here) = (self.body.size_hint(), self.here());
        let mut all = SizeHint::new();
        all.set_lower(hint.lower() + here);
        if let Some(upper) = hint.upper() {
            all.set_upper(upper + here);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Rates;
    use std::time::Duration;
    use tokio::time::Instant;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// 1 MiB in a second, and so five MiB at once.
    fn limits() -> Limits {
        Limits::new(Rates {
            bytes_per_second: 1 << 20,
            ..Rates::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_whole_and_no_faster_than_its_client_may_have_it() {
        let limits = limits();
        let bytes: Vec<u8> = (0..15 << 20)
            .map(|number: u32| number.to_le_bytes()[1])
            .collect();
        let body = Paced::new(Body::from(bytes.clone()), limits.clone(), CLIENT, None);
        assert_eq!(
            body.size_hint().exact(),
            Some(15 << 20),
            "its length is told"
        );
        let began = Instant::now();
        let came = axum::body::to_bytes(Body::new(body), usize::MAX)
            .await
            .unwrap();
        assert!(came == bytes, "the same bytes");
        assert_eq!(
            began.elapsed().as_secs(),
            10,
            "but for what may come at once"
        );
        // Others are not held up by it.
        let other = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
        let began = Instant::now();
        let body = Paced::new(Body::from(bytes[..5 << 20].to_vec()), limits, other, None);
        axum::body::to_bytes(Body::new(body), usize::MAX)
            .await
            .unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_to_one_client_share_its_rate() {
        let limits = limits();
        let read = async |megabytes: usize| {
            let began = Instant::now();
            let body = Body::from(vec![0; megabytes << 20]);
            let body = Body::new(Paced::new(body, limits.clone(), CLIENT, None));
            axum::body::to_bytes(body, usize::MAX).await.unwrap();
            began.elapsed().as_secs()
        };
        let (long, short) = tokio::join!(read(25), read(5));
        assert_eq!(long, 25, "30 MiB in all, five of them at once");
        assert!(
            (9..=11).contains(&short),
            "{short}: in turns, not one after the other"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_of_nothing_and_one_in_small_parts_are_as_they_were() {
        let empty = Paced::new(Body::empty(), limits(), CLIENT, None);
        assert!(empty.is_end_stream());
        assert_eq!(empty.size_hint().exact(), Some(0));
        let parts = ["one ", "two ", "three"].map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures::stream::iter(parts));
        let body = Body::new(Paced::new(body, limits(), CLIENT, None));
        let came = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(came, "one two three");
    }
}

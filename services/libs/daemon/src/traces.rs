//! Spans that are told when they are over, by whoever knows their times and identifiers.
//!
//! A run of a site is the same run at every site of the hierarchy, and what it did when is known at its end. So
//! nothing is kept open beside it: the engine hands over finished spans, with the identifiers that all sites agree
//! on, and not those that a tracer would draw by lot.

use jiff::Timestamp;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};
use std::sync::Arc;
use std::time::SystemTime;

/// Longest text of an attribute or an error, in bytes.
pub const MOST_TEXT: usize = 1024;

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word or a sentence; what is longer than [`MOST_TEXT`] is cut.
    Text(String),
    /// A number.
    Count(u64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

/// A span that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: [u8; 16],
    /// Its identifier in that.
    pub id: [u8; 8],
    /// The span that it is a part of, if there is one.
    pub parent: Option<[u8; 8]>,
    /// Whether that one is of another process.
    pub parent_is_remote: bool,
    /// What it is called: one of few names.
    pub name: &'static str,
    /// When it began.
    pub began: Timestamp,
    /// When it was over.
    pub ended: Timestamp,
    /// What else is to be known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// What went wrong in it; none where nothing did.
    pub error: Option<String>,
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MOST_TEXT));
    text
}

impl Span {
    /// As the exporter takes it; none where its identifiers are not valid.
    fn into_data(self) -> Option<SpanData> {
        let (trace, id) = (TraceId::from_bytes(self.trace), SpanId::from_bytes(self.id));
        let span_context =
            SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default());
        if !span_context.is_valid() {
            return None;
        }
        let attributes = self.attributes.into_iter();
        let attributes = attributes.map(|(key, value)| match value {
            Value::Text(text) => KeyValue::new(key, cut(text)),
            Value::Count(count) => KeyValue::new(key, i64::try_from(count).unwrap_or(i64::MAX)),
        });
        Some(SpanData {
            span_context,
            parent_span_id: self.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: self.parent_is_remote,
            span_kind: SpanKind::Internal,
            name: self.name.into(),
            start_time: SystemTime::from(self.began),
            end_time: SystemTime::from(self.ended),
            attributes: attributes.collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match self.error {
                Some(error) => Status::error(cut(error)),
                None => Status::Ok,
            },
            instrumentation_scope: InstrumentationScope::builder("headwater")
                .with_version(crate::build_info::VERSION)
                .build(),
        })
    }
}

/// Where spans go: to a collector, or nowhere. Cheap to clone.
///
/// There is no sampling: a run of a site makes about five spans, and where a collector is named, all of them are sent.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    collector: Option<Arc<BatchSpanProcessor>>,
}

impl Traces {
    /// To a collector.
    pub(crate) fn to(collector: Arc<BatchSpanProcessor>) -> Self {
        let collector = Some(collector);
        Self { collector }
    }

    /// Whether they go anywhere.
    pub fn wanted(&self) -> bool {
        self.collector.is_some()
    }

    /// Hands a span over. Never waits: what a collector that does not answer leaves waiting is bounded, and more
    /// than that is dropped.
    pub fn tell(&self, span: Span) {
        if let Some(collector) = &self.collector
            && let Some(data) = span.into_data()
        {
            collector.on_end(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        Span {
            trace: [7; 16],
            id: [8; 8],
            parent: None,
            parent_is_remote: false,
            name: "sync run",
            began: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            attributes: vec![("site", "PR1".into()), ("items", u64::MAX.into())],
            error: None,
        }
    }

    #[test]
    fn a_span_keeps_the_identifiers_that_it_is_given() {
        let data = span().into_data().unwrap();
        assert_eq!(data.span_context.trace_id().to_bytes(), [7; 16]);
        assert_eq!(data.span_context.span_id().to_bytes(), [8; 8]);
        assert!(data.span_context.is_sampled());
        assert_eq!(data.parent_span_id, SpanId::INVALID);
        assert_eq!(data.attributes[1], KeyValue::new("items", i64::MAX));
    }

    #[test]
    fn identifiers_of_nothing_but_zeros_are_not_told() {
        let trace = [0; 16];
        assert!(Span { trace, ..span() }.into_data().is_none());
        let id = [0; 8];
        assert!(Span { id, ..span() }.into_data().is_none());
    }

    #[test]
    fn long_texts_are_cut_between_letters() {
        let error = Some("ü".repeat(MOST_TEXT));
        let data = Span { error, ..span() }.into_data().unwrap();
        assert_eq!(data.status, Status::error("ü".repeat(MOST_TEXT / 2)));
    }
}

//! What a process tells while it runs: lines on stderr, and traces to a collector where one is named.

use crate::traces::Traces;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor as _};
use serde::Deserialize;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// How long the collector may take for one batch of traces.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The section `[telemetry]` of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How lines on stderr look.
    pub format: Format,
    /// What is told: a level, or levels by part, such as `info,sync=debug`.
    pub filter: String,
    /// The OTLP collector (gRPC) that traces go to, such as `http://127.0.0.1:4317`. Off by default.
    pub otlp_endpoint: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Human,
            filter: "info".to_owned(),
            otlp_endpoint: None,
        }
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people: one line each, coloured on a terminal.
    Human,
    /// For programs: one JSON object a line.
    Json,
}

/// Telemetry that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not understood.
    #[error(
        "telemetry.filter {filter:?} is not understood: write a level such as \"info\", or \"info,sync=debug\""
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The collector's address cannot be used.
    #[error("telemetry.otlp_endpoint {endpoint:?} cannot be used: {reason}")]
    Collector {
        /// The address.
        endpoint: String,
        /// Why not.
        reason: String,
    },
    /// A second beginning in one process.
    #[error("telemetry was already started in this process")]
    Started,
}

/// Telemetry that runs. Keep it until the process ends, then [`Telemetry::shutdown`].
#[derive(Debug)]
pub struct Telemetry {
    collector: Option<Arc<BatchSpanProcessor>>,
}

impl Telemetry {
    /// Begins. Once a process; with a collector, inside the tokio runtime. `service` is the name in
    /// traces, such as `headwater-central`.
    pub fn start(settings: &Settings, service: &str) -> Result<Self, TelemetryError> {
        let ansi = std::io::stderr().is_terminal();
        let subscriber = subscriber(settings, std::io::stderr, ansi)?;
        let endpoint = settings.otlp_endpoint.as_deref();
        let collector = endpoint.map(|endpoint| collector(endpoint, service));
        let collector = collector.transpose()?.map(Arc::new);
        tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Started)?;
        Ok(Self { collector })
    }

    /// Where the spans of this process go.
    pub fn traces(&self) -> Traces {
        let collector = self.collector.clone();
        collector.map_or_else(Traces::default, Traces::to)
    }

    /// Hands over the last traces, for at most `timeout`. A collector that does not answer delays the
    /// end of the process by no more than that.
    pub async fn shutdown(self, timeout: Duration) {
        let Some(collector) = self.collector else {
            return;
        };
        let flush = tokio::task::spawn_blocking(move || collector.shutdown_with_timeout(timeout));
        match tokio::time::timeout(timeout, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were not delivered"),
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not delivered"),
            Err(_) => tracing::warn!("the last traces were not delivered in time"),
        }
    }
}

fn subscriber<W>(
    settings: &Settings,
    writer: W,
    ansi: bool,
) -> Result<impl Subscriber + Send + Sync + use<W>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| TelemetryError::Filter {
            filter: settings.filter.clone(),
            source,
        })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Human => lines.with_ansi(ansi).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    Ok(Registry::default().with(lines).with(filter))
}

/// What hands finished spans over to the collector, in batches and from a thread of its own.
fn collector(endpoint: &str, service: &str) -> Result<BatchSpanProcessor, TelemetryError> {
    let refuse = |reason: String| TelemetryError::Collector {
        endpoint: endpoint.to_owned(),
        reason,
    };
    if !endpoint.starts_with("http://") {
        let reason = "name a collector on this machine or this network, beginning with http://";
        return Err(refuse(reason.to_owned()));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| refuse(error.to_string()))?;
    let resource = Resource::builder_empty()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", crate::build_info::VERSION))
        .build();
    let mut collector = BatchSpanProcessor::builder(exporter).build();
    collector.set_resource(&resource);
    Ok(collector)
}

#[cfg(test)]
mod tests;

//! What a process tells while it runs: lines on stderr, and traces to a collector where one is named.

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use std::io::IsTerminal;
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterFn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

/// The parts that carry traces to the collector: traced themselves, each trace would make more.
const CARRIERS: [&str; 6] = [
    "hyper",
    "hyper_util",
    "h2",
    "tonic",
    "tower",
    "opentelemetry",
];
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
    traces: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Begins. Once a process; with a collector, inside the tokio runtime. `service` is the name in
    /// traces, such as `headwater-central`.
    pub fn start(settings: &Settings, service: &str) -> Result<Self, TelemetryError> {
        let ansi = std::io::stderr().is_terminal();
        let (subscriber, traces) = build(settings, service, std::io::stderr, ansi)?;
        tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Started)?;
        Ok(Self { traces })
    }

    /// Hands over the last traces, for at most `timeout`. A collector that does not answer delays the
    /// end of the process by no more than that.
    pub async fn shutdown(self, timeout: Duration) {
        let Some(traces) = self.traces else { return };
        let flush = tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(timeout));
        match tokio::time::timeout(timeout, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces were not delivered"),
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not delivered"),
            Err(_) => tracing::warn!("the last traces were not delivered in time"),
        }
    }
}

fn build<W>(
    settings: &Settings,
    service: &str,
    writer: W,
    ansi: bool,
) -> Result<
    (
        impl Subscriber + Send + Sync + use<W>,
        Option<SdkTracerProvider>,
    ),
    TelemetryError,
>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .parse(&settings.filter)
        .map_err(|source| TelemetryError::Filter {
            filter: settings.filter.clone(),
            source,
        })?;
    let traces = settings
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| provider(endpoint, service))
        .transpose()?;
    let to_collector = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("headwater"))
            .with_filter(FilterFn::new(|metadata| is_traced(metadata.target())))
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        Format::Human => lines.with_ansi(ansi).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default()
        .with(lines)
        .with(to_collector)
        .with(filter);
    Ok((subscriber, traces))
}

fn provider(endpoint: &str, service: &str) -> Result<SdkTracerProvider, TelemetryError> {
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
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

/// Whether what this part says belongs into traces.
fn is_traced(target: &str) -> bool {
    let part = target.split("::").next().unwrap_or(target);
    !CARRIERS.contains(&part) && !part.starts_with("opentelemetry")
}

#[cfg(test)]
mod tests;

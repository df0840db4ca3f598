//! The numbers that a process shows to Prometheus, all named `headwater_…`.

use prometheus::core::Collector;
pub use prometheus::{
    Counter, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
};
use prometheus::{HistogramOpts, Opts, Registry, TextEncoder};

/// What the text form is called in HTTP (`Content-Type`).
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// Bounds of histograms over durations, in seconds: 1 ms to about 17 min.
pub const SECONDS: [f64; 11] = [
    0.001, 0.004, 0.016, 0.064, 0.256, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0,
];
/// Bounds of histograms over runs, in seconds: 0.1 s to about 5 hours.
pub const RUN_SECONDS: [f64; 12] = [
    0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 5400.0, 18000.0,
];

/// A number that cannot be registered: the name is taken, or is no name.
#[derive(Debug, thiserror::Error)]
#[error("metric {name} cannot be registered: {reason}")]
pub struct MetricsError {
    name: String,
    reason: String,
}

/// Numbers of a process. What is counted is made once, at the start, and kept by who counts ([`Metrics::new`]); what is
/// only looked at is put together anew whenever somebody asks ([`Metrics::looked_at`]). Names are given without the
/// prefix `headwater_`, counters end in `_total`, units stand in the name.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// Starts with `headwater_build_info`.
    pub fn new() -> Result<Self, MetricsError> {
        let metrics = Self::looked_at()?;
        let help = "The version that runs, as a label; always 1.";
        metrics
            .gauges("build_info", help, &["version"])?
            .with_label_values(&[crate::build_info::VERSION])
            .set(1);
        Ok(metrics)
    }

    /// Starts with nothing: for what stands beside what is counted.
    pub fn looked_at() -> Result<Self, MetricsError> {
        let fail = |error: prometheus::Error| MetricsError {
            name: "headwater".to_owned(),
            reason: error.to_string(),
        };
        let registry = Registry::new_custom(Some("headwater".to_owned()), None).map_err(fail)?;
        Ok(Self { registry })
    }

    /// A length of time, in seconds, that only grows.
    pub fn seconds(&self, name: &str, help: &str) -> Result<Counter, MetricsError> {
        self.add(name, Counter::with_opts(Opts::new(name, help)))
    }

    /// A number that only grows.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(name, IntCounter::with_opts(Opts::new(name, help)))
    }

    /// Numbers that only grow, one for each set of labels. Labels take few values, known before:
    /// site codes and message numbers, never identifiers of updates.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        self.add(name, IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A number that goes up and down.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(name, IntGauge::with_opts(Opts::new(name, help)))
    }

    /// Numbers that go up and down, one for each set of labels.
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, MetricsError> {
        self.add(name, IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// How values spread over `bounds`, which grow.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.add(name, Histogram::with_opts(opts))
    }

    /// How values spread over `bounds`, for each set of labels.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.add(name, HistogramVec::new(opts, labels))
    }

    /// Everything in Prometheus' text form, to be served as [`CONTENT_TYPE`].
    pub fn render(&self) -> Result<String, MetricsError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| MetricsError {
                name: "exposition".to_owned(),
                reason: error.to_string(),
            })
    }

    fn add<C: Collector + Clone + 'static>(
        &self,
        name: &str,
        made: prometheus::Result<C>,
    ) -> Result<C, MetricsError> {
        made.and_then(|metric| {
            self.registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        })
        .map_err(|error| MetricsError {
            name: name.to_owned(),
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_shown_with_its_prefix() {
        let metrics = Metrics::new().unwrap();
        metrics.counter("runs_total", "Runs.").unwrap().inc_by(3);
        let lag = metrics.gauges("lag_positions", "Lag.", &["site"]).unwrap();
        lag.with_label_values(&["PR1"]).set(7);
        let times = metrics.histogram("run_seconds", "Time.", &SECONDS).unwrap();
        times.observe(2.0);
        let text = metrics.render().unwrap();
        assert!(text.contains("# TYPE headwater_runs_total counter"));
        assert!(text.contains("headwater_runs_total 3\n"));
        assert!(text.contains("headwater_lag_positions{site=\"PR1\"} 7\n"));
        assert!(text.contains("headwater_run_seconds_bucket{le=\"4\"} 1\n"));
        assert!(text.contains("headwater_build_info{version="));
    }

    #[test]
    fn a_name_is_given_once() {
        let metrics = Metrics::new().unwrap();
        metrics.counter("runs_total", "Runs.").unwrap();
        let error = metrics.counter("runs_total", "Runs.").unwrap_err();
        assert!(error.to_string().starts_with("metric runs_total cannot"));
        assert!(metrics.gauge("not a name", "x").is_err());
    }
}

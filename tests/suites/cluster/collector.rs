//! A collector of traces, as the sites of a test are told to use it.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span that came, and the service that it came from.
#[derive(Debug, Clone)]
pub struct Collected {
    /// Name of the service.
    pub service: String,
    /// The span.
    pub span: Span,
}

impl Collected {
    /// An attribute as text; empty where it is missing.
    pub fn says(&self, key: &str) -> String {
        let attribute = self.span.attributes.iter().find(|held| held.key == key);
        let value = attribute.and_then(|held| held.value.as_ref()?.value.clone());
        match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => other.map_or_else(String::new, |other| format!("{other:?}")),
        }
    }

    /// The site that it is of.
    pub fn site(&self) -> String {
        self.says("headwater.site.code")
    }
}

/// A collector that runs as long as the test.
#[derive(Clone, Default)]
pub struct Collector {
    collected: Arc<Mutex<Vec<Collected>>>,
}

impl Collector {
    /// Starts it; with it comes its address.
    pub async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        let serving = Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        // Ends with the runtime of the test.
        #[expect(
            clippy::disallowed_methods,
            reason = "a server that lives as long as the test"
        )]
        tokio::spawn(serving);
        (collector, format!("http://{address}"))
    }

    /// What came so far.
    pub fn collected(&self) -> Vec<Collected> {
        self.collected.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes
                .iter()
                .find(|held| held.key == "service.name")
                .and_then(|held| held.value.as_ref()?.value.clone());
            let service = match service {
                Some(Value::StringValue(service)) => service,
                other => format!("{other:?}"),
            };
            let spans = resource.scope_spans.into_iter().flat_map(|all| all.spans);
            let spans = spans.map(|span| Collected {
                service: service.clone(),
                span,
            });
            self.collected.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

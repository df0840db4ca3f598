//! What happened: logs of any site, and the status messages of all.

use super::{Admin, internal};
use futures::{Stream, StreamExt as _};
use journal::message_of;
use std::pin::Pin;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1::journal_service_server::JournalService;
use wire::v1::{
    ListStatusMessagesRequest, ListStatusMessagesResponse, ReadLogRequest, ReadLogResponse,
    StatusEntry, StatusMessage,
};

/// Status messages in one answer, unless told otherwise, and at most.
const DEFAULT_MESSAGES: u32 = 100;
const MAX_MESSAGES: u32 = 5000;

#[tonic::async_trait]
impl JournalService for Admin {
    type ReadLogStream =
        Pin<Box<dyn Stream<Item = Result<ReadLogResponse, Status>> + Send + 'static>>;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let site =
            convert::optional_site_code("site_code", &request.site_code)?.unwrap_or(self.site.code);
        let lines = self.logs.read(site, request.last, request.follow).await?;
        let answers = lines.map(|lines| lines.map(|lines| ReadLogResponse { lines }));
        let stop = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(answers.take_until(stop))))
    }

    async fn list_status_messages(
        &self,
        request: Request<ListStatusMessagesRequest>,
    ) -> Result<Response<ListStatusMessagesResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let site = convert::optional_site_code("site_code", &request.site_code)?;
        let most = match request.limit {
            0 => DEFAULT_MESSAGES,
            limit => limit.min(MAX_MESSAGES),
        };
        let found = async {
            let mut read = self.site.store.read().await?;
            read.status_messages(site, most).await
        };
        let messages = found.await.map_err(internal)?;
        let messages = messages
            .into_iter()
            .map(|row| {
                let message = message_of(row);
                StatusEntry {
                    severity: message.severity.name().to_owned(),
                    text: message.text(),
                    cure: message.cure().to_owned(),
                    message: Some(StatusMessage {
                        site_code: message.site.to_string(),
                        number: message.number,
                        time: Some(convert::from_timestamp(message.time)),
                        status_id: message.id,
                        run: message
                            .run
                            .map(|run| run.as_bytes().to_vec())
                            .unwrap_or_default(),
                        inserts: message.inserts,
                    }),
                }
            })
            .collect();
        Ok(Response::new(ListStatusMessagesResponse { messages }))
    }
}

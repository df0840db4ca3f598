//! What happened: logs of any site, and the status messages of all.

use super::Admin;
use ::admin::reading::Answers;
use tonic::{Request, Response, Status};
use wire::v1::journal_service_server::JournalService;
use wire::v1::{
    ListStatusMessagesRequest, ListStatusMessagesResponse, ReadLogRequest, ReadLogResponse,
};

#[tonic::async_trait]
impl JournalService for Admin {
    type ReadLogStream = Answers<ReadLogResponse>;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        self.reading.read_log(request).await
    }

    async fn list_status_messages(
        &self,
        request: Request<ListStatusMessagesRequest>,
    ) -> Result<Response<ListStatusMessagesResponse>, Status> {
        self.reading.list_status_messages(request).await
    }
}

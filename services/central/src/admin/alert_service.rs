//! What is wrong, who knows of it, and whether notifications arrive.

use super::{Admin, internal};
use crate::alerts::Alert;
use tonic::{Request, Response, Status};
use trust::Role;
use uuid::Uuid;
use wire::convert::from_timestamp;
use wire::v1::alert_service_server::AlertService;
use wire::v1::notification_service_server::NotificationService;
use wire::v1::{
    AcknowledgeAlertRequest, AcknowledgeAlertResponse, ListAlertsRequest, ListAlertsResponse,
    NotificationTested, TestNotificationsRequest, TestNotificationsResponse,
};

/// Alerts in one answer, unless told otherwise, and at most.
const DEFAULT_ALERTS: u32 = 1_000;
const MOST_ALERTS: u32 = 5_000;

fn encoded(alert: Alert) -> wire::v1::Alert {
    let row = alert.row;
    let (acknowledged_by, acknowledged_at) = row.acknowledged.unzip();
    wire::v1::Alert {
        id: row.id.as_bytes().to_vec(),
        kind: row.kind,
        site_code: row.site.to_string(),
        severity: alert.severity.name().to_owned(),
        status_id: row.status_id,
        text: alert.text,
        cause: alert.cause.to_owned(),
        cure: alert.cure.to_owned(),
        since: Some(from_timestamp(row.since)),
        ended: row.ended.map(from_timestamp),
        acknowledged_by: acknowledged_by.unwrap_or_default(),
        acknowledged_at: acknowledged_at.map(from_timestamp),
    }
}

#[tonic::async_trait]
impl AlertService for Admin {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let ListAlertsRequest { ended, limit } = request.into_inner();
        let limit = match limit {
            0 => DEFAULT_ALERTS,
            limit => limit.min(MOST_ALERTS),
        };
        let alerts = self.alerts.list(ended, limit).await.map_err(internal)?;
        Ok(Response::new(ListAlertsResponse {
            alerts: alerts.into_iter().map(encoded).collect(),
        }))
    }

    async fn acknowledge_alert(
        &self,
        request: Request<AcknowledgeAlertRequest>,
    ) -> Result<Response<AcknowledgeAlertResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let id = Uuid::from_slice(&request.get_ref().id)
            .map_err(|_| Status::invalid_argument("id: an alert is named by 16 bytes"))?;
        let alerts = self.alerts.clone();
        // To its end, also where the caller does not wait: it is in the journal then.
        let acknowledge =
            async move { alerts.acknowledge(id, &caller.name).await.map_err(internal) };
        let alert = self.admission.to_the_end(acknowledge).await?;
        let alert = alert
            .ok_or_else(|| Status::not_found(format!("there is no alert {id}, or not any more")))?;
        Ok(Response::new(AcknowledgeAlertResponse {
            alert: Some(encoded(alert)),
        }))
    }
}

#[tonic::async_trait]
impl NotificationService for Admin {
    async fn test_notifications(
        &self,
        request: Request<TestNotificationsRequest>,
    ) -> Result<Response<TestNotificationsResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let notifier = self.notifier.clone();
        let test = async move { notifier.test(&caller.name).await.map_err(internal) };
        let tested = self.admission.to_the_end(test).await?;
        let receivers = tested.into_iter().map(|tested| NotificationTested {
            receiver: tested.receiver,
            taken: tested.answer.is_ok(),
            answer: tested.answer.unwrap_or_else(|why| why),
            milliseconds: u64::try_from(tested.took.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(Response::new(TestNotificationsResponse {
            receivers: receivers.collect(),
        }))
    }
}

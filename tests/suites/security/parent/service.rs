//! The services of a played parent: what it answers to the calls of a child.

use super::*;

/// What a child dials.
pub(super) struct Service(pub(super) Arc<Inner>);

/// The conversation with a child, in bytes.
#[derive(Clone)]
pub(super) struct RawAttach(pub(super) Arc<Inner>);

impl tonic::server::StreamingService<Vec<u8>> for RawAttach {
    type Response = Vec<u8>;
    type ResponseStream = ReceiverStream<Result<Vec<u8>, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let (sender, receiver) = mpsc::channel(256);
        *self.0.child.lock().unwrap() = Some(sender.clone());
        self.0.attached.lock().unwrap().push(Instant::now());
        let inner = Arc::clone(&self.0);
        TaskTracker::new().spawn(async move { inner.converse(request.into_inner(), sender).await });
        std::future::ready(Ok(Response::new(ReceiverStream::new(receiver))))
    }
}

type Answers<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SiteLinkService for Service {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;
    type PullStream = Answers<PullResponse>;
    type FetchItemsStream = Answers<FetchItemsResponse>;

    async fn attach(
        &self,
        _request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("a child talks with RawAttach"))
    }

    async fn pull(
        &self,
        request: Request<PullRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let mut offer = self.0.offer(request.get_ref()).await;
        let lie = self.0.lie.lock().unwrap().clone();
        if let Some(lie) = lie {
            lie(&mut offer);
        }
        let plan = offer.plan.into_iter().map(Message::Plan);
        let batches = offer.batches.into_iter();
        let batches = batches.map(|changes| ChangeBatch { changes }.encode_to_vec().into());
        let batches = batches.chain(offer.garbage).map(Message::Batch);
        let statement = offer.statement.into_iter();
        let statement = statement.map(|statement| Message::Statement(statement.into()));
        let answer = |message| {
            Ok(PullResponse {
                message: Some(message),
            })
        };
        let first: Vec<_> = plan.chain(batches).map(answer).collect();
        let last: Vec<_> = statement.map(answer).collect();
        let gate = offer.gate;
        let last = async move {
            if let Some(gate) = gate {
                gate.cancelled().await;
            }
            futures::stream::iter(last)
        };
        let last = futures::FutureExt::flatten_stream(last);
        let messages = futures::StreamExt::chain(futures::stream::iter(first), last);
        Ok(Response::new(match offer.hangs {
            true => Box::pin(futures::StreamExt::chain(
                messages,
                futures::stream::pending(),
            )),
            false => Box::pin(messages),
        }))
    }

    async fn list_nodes(
        &self,
        _request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let lie = self.0.compared()?;
        let mut answer = self.0.comparisons().nodes().await?;
        lie(Answer::Nodes(&mut answer));
        Ok(Response::new(answer))
    }

    async fn list_buckets(
        &self,
        request: Request<ListBucketsRequest>,
    ) -> Result<Response<ListBucketsResponse>, Status> {
        let lie = self.0.compared()?;
        let mut answer = self.0.comparisons().buckets(request.get_ref()).await?;
        lie(Answer::Buckets(&mut answer));
        Ok(Response::new(answer))
    }

    async fn list_items(
        &self,
        request: Request<ListItemsRequest>,
    ) -> Result<Response<ListItemsResponse>, Status> {
        let lie = self.0.compared()?;
        let mut answer = self.0.comparisons().items(request.get_ref()).await?;
        lie(Answer::Items(&mut answer));
        Ok(Response::new(answer))
    }

    async fn fetch_items(
        &self,
        request: Request<FetchItemsRequest>,
    ) -> Result<Response<Self::FetchItemsStream>, Status> {
        let lie = self.0.compared()?;
        let batches = self.0.comparisons().fetch(request.get_ref())?;
        let mut answer = futures::TryStreamExt::try_collect(batches).await?;
        lie(Answer::Fetched(&mut answer));
        let answer = futures::stream::iter(answer.into_iter().map(Ok));
        Ok(Response::new(Box::pin(answer)))
    }

    async fn renew_certificate(
        &self,
        _request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }

    async fn describe_site(
        &self,
        _request: Request<DescribeSiteRequest>,
    ) -> Result<Response<DescribeSiteResponse>, Status> {
        Err(Status::unimplemented("not in this play"))
    }
}

#[tonic::async_trait]
impl EnrollmentService for Service {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let request = request.into_inner();
        let token = JoinToken::decode(&request.token).unwrap();
        let identity = SiteIdentity::new(self.0.authority.hierarchy(), token.site);
        let (now, mut rng) = (self.0.ambient.now(), self.0.ambient.new_rng());
        let issued = self
            .0
            .authority
            .issue(&request.certificate_request, &identity, DAY, now, &mut rng)
            .unwrap();
        Ok(Response::new(JoinResponse {
            certificate_chain: issued.pem_chain,
            hierarchy: token.hierarchy.0.as_bytes().to_vec(),
            statement_key: self.0.authority.statement_key().0.to_vec(),
            site_code: token.site.to_string(),
            site_kind: token.kind.name().to_owned(),
            parent: token.parent.to_string(),
        }))
    }
}

// SPDX-License-Identifier: Apache-2.0
//! HTTP requests of guests. The stock implementation resolves names by the host's configuration on
//! another thread, connects to whatever address comes back, and opens a connection for each
//! request. This one asks C about every name and every resolved address, and keeps connections.

use crate::network::{CNetwork, Names};
use crate::sync::lock;
use bytes::Bytes;
use http::header::{Entry as HeaderEntry, HeaderName, HeaderValue};
use http::uri::Scheme;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

/// Where the guest sets none (wasi:http, request-options).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(600);

/// Connections that are kept though nobody uses them.
const IDLE_PER_SERVER: usize = 16;
const IDLE_SERVERS: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

type Result<T> = std::result::Result<T, Error>;
type Io = Box<dyn Future<Output = Result<()>> + Send>;
type Sent = Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io)>> + Send>;

/// What wasi:http asks of its host.
pub struct Hooks {
    network: CNetwork,
    client: Option<Arc<Client>>,
    /// Of the request that the guest answers.
    pub traceparent: Option<HeaderValue>,
}

impl Hooks {
    /// Guests that share a client share its connections: they must have the same grants, and run
    /// on the same thread. Without one, the guest makes its own when it needs it.
    pub fn new(network: CNetwork, client: Option<Arc<Client>>) -> Self {
        Self { network, client, traceparent: None }
    }
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> =
            LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)));
        FILTER.clone()
    }

    /// A guest's writes are held back until the connection takes them, so a few small ones may
    /// wait; a response that fits is then sent in one piece.
    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        15
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        64 << 10
    }

    fn send_request(
        &mut self,
        mut request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Sent {
        let network = self.network;
        let client = self.client.get_or_insert_with(|| Arc::new(Client::new(network))).clone();
        if let (Some(parent), HeaderEntry::Vacant(slot)) =
            (&self.traceparent, request.headers_mut().entry(TRACEPARENT))
        {
            slot.insert(parent.clone());
        }
        Box::new(async move {
            let response = client.send(request, options.unwrap_or_default()).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(async { Ok(()) }) as Io))
        })
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Server {
    is_tls: bool,
    host: String,
    port: u16,
}

struct Idle {
    sender: SendRequest<WasiBody>,
    since: Instant,
}

/// Connections with one set of grants, of one thread.
pub struct Client {
    network: CNetwork,
    names: Mutex<Names>,
    idle: Mutex<HashMap<Server, Vec<Idle>>>,
    tls: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Client {
    pub fn new(network: CNetwork) -> Self {
        Self {
            network,
            names: Mutex::new(Names::new(network)),
            idle: Mutex::default(),
            tls: OnceLock::new(),
        }
    }

    async fn send(
        self: &Arc<Self>,
        mut request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<ResponseBody>> {
        let server = server_of(request.uri())?;
        // A connection carries the path only (RFC 9112, 3.2.1).
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let path = if path.is_empty() { "/" } else { path };
        let uri = http::Uri::builder().path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|_| Error::HttpRequestUriInvalid)?;

        let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT);
        let between = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES_TIMEOUT);
        let deadline = Instant::now() + first_byte;
        // What was kept may have been closed by the other side meanwhile; the request comes back
        // then, untouched.
        while let Some(mut sender) = self.take_idle(&server) {
            let again = repeatable(&request);
            match answered(deadline, sender.try_send_request(request)).await? {
                Ok(response) => return Ok(self.wrap(response, sender, server, between)),
                Err(mut failed) => match failed.take_message().or(again) {
                    Some(same) => request = same,
                    None => return Err(broken(failed.into_error())),
                },
            }
        }
        let until = Instant::now() + options.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let mut sender = timeout_at(until, self.connect(&server))
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        let deadline = Instant::now() + first_byte;
        let response = answered(deadline, sender.send_request(request)).await?.map_err(broken)?;
        Ok(self.wrap(response, sender, server, between))
    }

    fn wrap(
        self: &Arc<Self>,
        response: http::Response<Incoming>,
        sender: SendRequest<WasiBody>,
        server: Server,
        between: Duration,
    ) -> http::Response<ResponseBody> {
        response.map(|incoming| {
            let mut body = ResponseBody {
                incoming,
                between,
                timer: Box::pin(sleep(between)),
                rest: Some((self.clone(), sender, server)),
            };
            if body.incoming.is_end_stream() {
                body.keep();
            }
            body
        })
    }

    fn take_idle(&self, server: &Server) -> Option<SendRequest<WasiBody>> {
        let mut idle = lock(&self.idle);
        let Entry::Occupied(mut kept) = idle.entry(server.clone()) else { return None };
        let found = std::iter::from_fn(|| kept.get_mut().pop())
            .find(|c| c.since.elapsed() < IDLE_TIMEOUT && c.sender.is_ready());
        if kept.get().is_empty() {
            kept.remove();
        }
        found.map(|c| c.sender)
    }

    fn keep(&self, server: Server, sender: SendRequest<WasiBody>) {
        let mut idle = lock(&self.idle);
        if idle.len() >= IDLE_SERVERS && !idle.contains_key(&server) {
            idle.retain(|_, kept| {
                kept.retain(|c| c.since.elapsed() < IDLE_TIMEOUT && !c.sender.is_closed());
                !kept.is_empty()
            });
            if idle.len() >= IDLE_SERVERS {
                return;
            }
        }
        let kept = idle.entry(server).or_default();
        kept.retain(|c| !c.sender.is_closed());
        if kept.len() < IDLE_PER_SERVER {
            kept.push(Idle { sender, since: Instant::now() });
        }
    }

    async fn connect(&self, server: &Server) -> Result<SendRequest<WasiBody>> {
        let mut failed = Error::DestinationIpProhibited;
        let is_name = server.host.parse::<IpAddr>().is_err();
        for ip in self.addresses(&server.host).await? {
            let addr = SocketAddr::new(ip, server.port);
            // The very address that is connected to, so that a name cannot lead elsewhere later.
            let is_allowed = if is_name {
                self.network.may_use(addr, SocketAddrUse::TcpConnect)
            } else {
                self.network.may_use_literally(addr)
            };
            if !is_allowed {
                continue;
            }
            match TcpStream::connect(addr).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    return self.handshake(stream, server).await;
                }
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                    failed = Error::ConnectionRefused;
                }
                Err(e) => failed = Error::Connect(e),
            }
        }
        Err(failed)
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
        let mut lookup = lock(&self.names).start(host);
        lookup.finish().await.map_err(|code| match code {
            ErrorCode::AccessDenied => Error::HttpRequestDenied,
            ErrorCode::NameUnresolvable => {
                Error::DnsError { rcode: Some("NXDOMAIN".to_string()), info_code: None }
            }
            _ => Error::DnsError { rcode: None, info_code: None },
        })
    }

    async fn handshake(&self, stream: TcpStream, server: &Server) -> Result<SendRequest<WasiBody>> {
        if !server.is_tls {
            return start(stream).await;
        }
        let config = self.tls.get_or_init(|| client_config(&self.network)).clone();
        let config = config.ok_or_else(|| {
            Error::InternalError(Some("there are no certificate authorities to trust".into()))
        })?;
        let name =
            ServerName::try_from(server.host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
        start(TlsConnector::from(config).connect(name, stream).await.map_err(Error::Tls)?).await
    }
}

/// Hands the connection to a task of its own, which ends with it.
async fn start<S>(stream: S) -> Result<SendRequest<WasiBody>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// The same request once more, where that does no harm: its connection may have been closed by the
/// other side just when it was used again (RFC 9110, 9.2.2).
fn repeatable(request: &http::Request<WasiBody>) -> Option<http::Request<WasiBody>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let mut again = http::Request::new(body);
    again.method_mut().clone_from(request.method());
    again.uri_mut().clone_from(request.uri());
    again.headers_mut().clone_from(request.headers());
    Some(again)
}

/// What the guest is told of a connection that did not bring the response.
fn broken(e: hyper::Error) -> Error {
    if e.is_incomplete_message() {
        Error::HttpResponseIncomplete
    } else if e.is_closed() || e.is_canceled() {
        Error::ConnectionTerminated
    } else {
        e.into()
    }
}

async fn answered<T>(deadline: Instant, response: impl Future<Output = T>) -> Result<T> {
    timeout_at(deadline, response).await.map_err(|_| Error::HttpResponseTimeout)
}

fn server_of(uri: &http::Uri) -> Result<Server> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let is_tls = uri.scheme() != Some(&Scheme::HTTP);
    // An IPv6 address is in brackets here, and nowhere else.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_lowercase();
    if host.is_empty() || authority.as_str().contains('@') {
        return Err(Error::HttpRequestUriInvalid);
    }
    let port = match authority.port() {
        Some(p) => p.as_u16(),
        None if authority.as_str().ends_with(':') => return Err(Error::HttpRequestUriInvalid),
        None => {
            if is_tls {
                443
            } else {
                80
            }
        }
    };
    Ok(Server { is_tls, host, port })
}

fn client_config(network: &CNetwork) -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let pem = network.ca_roots()?;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return None;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?;
    Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The body of a response; at its end the connection is kept for the next request.
struct ResponseBody {
    incoming: Incoming,
    between: Duration,
    timer: Pin<Box<Sleep>>,
    rest: Option<(Arc<Client>, SendRequest<WasiBody>, Server)>,
}

impl ResponseBody {
    fn keep(&mut self) {
        if let Some((client, sender, server)) = self.rest.take() {
            client.keep(server, sender);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let next = Instant::now() + self.between;
                self.timer.as_mut().reset(next);
                if self.incoming.is_end_stream() {
                    self.keep();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(broken(e)))),
            Poll::Ready(None) => {
                self.keep();
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

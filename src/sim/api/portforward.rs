//! `pods/NAME/portforward`: the upgrade, and the WebSocket protocols on it.
//!
//! Owns: choosing the protocol, `v4.channel.k8s.io` (kube-rs), the WebSocket tunnel of kubectl.
//! Must not: know SPDY frames; `spdy` does.

use std::time::Duration;

use bytes::Bytes;
use futures::{
    SinkExt, StreamExt,
    future::{BoxFuture, join_all},
    stream::{SplitSink, SplitStream},
};
use http::{HeaderValue, Response, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

use super::{
    Server,
    exchange::Exchange,
    reply::{self, Out},
    request::{Call, bad_request},
    resources::Target,
    spdy,
};
use crate::sim::{meter::Meter, store::Refusal};

/// What kube-rs speaks: a channel per stream.
const CHANNELS: &str = "v4.channel.k8s.io";

/// What kubectl speaks: SPDY inside WebSocket messages.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// Bytes on the way through a tunnel.
const PIPE: usize = 64 * 1024;

/// How long the server waits for the client to close as well.
const LINGER: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers a request to forward ports.
pub(crate) fn answer(
    server: &Server,
    target: &Target,
    call: &Call,
    upgrade: OnUpgrade,
) -> Result<Response<Out>, Refusal> {
    let upgrades = call.header("upgrade").to_ascii_lowercase();
    // Servers since 1.35 want the verb of a write as well before they hand over a connection.
    server.rules().check("create", target)?;
    let exchange = exchange(server, target)?;
    let meter = server.store().meter().clone();
    match upgrades.as_str() {
        "websocket" => websocket(call, exchange, upgrade, meter),
        "spdy/3.1" => {
            tokio::spawn(meter.watch(async move {
                if let Ok(stream) = upgrade.await {
                    spdy::serve(TokioIo::new(stream), exchange).await;
                }
            }));
            let mut response = reply::switching("SPDY/3.1");
            response.headers_mut().insert(
                "x-stream-protocol-version",
                HeaderValue::from_static("portforward.k8s.io"),
            );
            Ok(response)
        }
        _ => Err(bad_request("Upgrade request required")),
    }
}

/// Returns the pod to forward to.
pub(crate) fn exchange(server: &Server, target: &Target) -> Result<Exchange, Refusal> {
    let key = target.key();
    let pod = server.store().get(&key);
    let pod = pod.ok_or_else(|| Refusal::not_found(&key))?;
    if !pod["spec"]["nodeName"].is_string() {
        return Err(bad_request(format!(
            "pod {} does not have a host assigned",
            key.name
        )));
    }
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    Ok(Exchange {
        apps: server.inner.apps.clone(),
        clock: server.store().clock().clone(),
        changes: server.store().subscribe(),
        // A pod that waits for its images has a network already, where nobody listens.
        running: pod["status"]["podIP"].is_string()
            && matches!(pod["status"]["phase"].as_str(), Some("Running" | "Pending")),
        uid: uid.to_owned(),
        namespace: key.namespace,
        pod: key.name,
    })
}

fn websocket(
    call: &Call,
    exchange: Exchange,
    upgrade: OnUpgrade,
    meter: Meter,
) -> Result<Response<Out>, Refusal> {
    let offered: Vec<&str> = call
        .headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .collect();
    let accept = derive_accept_key(call.header("sec-websocket-key").as_bytes());
    let chosen = if offered.contains(&TUNNEL) {
        tokio::spawn(meter.watch(async move {
            if let Some(socket) = open(upgrade).await {
                tunnel(socket, exchange).await;
            }
        }));
        TUNNEL
    } else if offered.contains(&CHANNELS) {
        let ports = match ports_of(call) {
            Ok(ports) => ports,
            // The one refusal that is no `Status`.
            Err(refusal) => {
                let line = format!("{}\n", refusal.message);
                return Ok(reply::bytes(400, "text/plain; charset=utf-8", line.into()));
            }
        };
        tokio::spawn(meter.watch(async move {
            if let Some(socket) = open(upgrade).await {
                channels(socket, &ports, &exchange).await;
            }
        }));
        CHANNELS
    } else {
        // A real server answers this with a bare 403.
        return Err(Refusal::new(
            403,
            "Forbidden",
            format!("unable to upgrade: none of the protocols {offered:?} is served"),
        ));
    };
    let mut response = reply::switching("websocket");
    let headers = response.headers_mut();
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let chosen = HeaderValue::from_static(chosen);
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    Ok(response)
}

async fn open(upgrade: OnUpgrade) -> Option<Socket> {
    let stream = TokioIo::new(upgrade.await.ok()?);
    Some(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)
}

fn ports_of(call: &Call) -> Result<Vec<u16>, Refusal> {
    let named = call.queries("ports").chain(call.queries("port"));
    let ports: Result<Vec<u16>, Refusal> = named
        .flat_map(|list| list.split(','))
        .map(|port| match port.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(bad_request(format!("unable to parse \"{port}\" as a port"))),
        })
        .collect();
    match ports? {
        ports if ports.is_empty() => Err(bad_request("query parameter \"port\" is required")),
        ports => Ok(ports),
    }
}

// === v4.channel.k8s.io: channel 2i carries port i, channel 2i+1 its errors ===

async fn channels(socket: Socket, ports: &[u16], exchange: &Exchange) {
    let (mut sink, source) = socket.split();
    let (sender, mut outbox) = mpsc::channel::<Message>(16);
    let mut writers = Vec::new();
    let mut streams: Vec<BoxFuture<'_, ()>> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let Ok(channel) = u8::try_from(2 * index) else {
            return;
        };
        for channel in [channel, channel + 1] {
            let hello = frame(channel, &port.to_le_bytes());
            if sink.send(hello).await.is_err() {
                return;
            }
        }
        let (near, app) = exchange.open(*port);
        let (reader, writer) = tokio::io::split(near);
        writers.push(Some(writer));
        streams.push(Box::pin(carry(channel, reader, app, sender.clone())));
    }
    drop(sender);
    let deliver = async {
        while let Some(message) = outbox.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
        finish(&mut sink).await;
    };
    let serve = futures::future::join(join_all(streams), deliver);
    let receive = receive(source, writers);
    tokio::pin!(receive);
    tokio::select! {
        biased;
        // The client went away: its ports close with it.
        () = &mut receive => {}
        _ = serve => {
            // A client that is still writing must find the reason before it finds the end.
            exchange.clock.timeout(LINGER, receive).await.ok();
        }
    }
}

/// Carries what an app says to the client, and at the end why it stopped.
async fn carry(
    channel: u8,
    mut reader: ReadHalf<DuplexStream>,
    app: BoxFuture<'static, Option<String>>,
    sender: mpsc::Sender<Message>,
) {
    let copy = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = reader.read(&mut buffer).await {
            if length == 0
                || sender
                    .send(frame(channel, &buffer[..length]))
                    .await
                    .is_err()
            {
                return;
            }
        }
    };
    let ((), error) = futures::future::join(copy, app).await;
    if let Some(error) = error {
        // A client that went away does not need the reason.
        sender.send(frame(channel + 1, error.as_bytes())).await.ok();
    }
}

async fn receive(
    mut source: SplitStream<Socket>,
    mut writers: Vec<Option<WriteHalf<DuplexStream>>>,
) {
    while let Some(Ok(message)) = source.next().await {
        match message {
            Message::Binary(data) => {
                let Some((channel, data)) = data.split_first() else {
                    continue;
                };
                let slot = writers.get_mut(usize::from(*channel) / 2);
                if let Some(writer) = slot
                    && channel % 2 == 0
                    && let Some(open) = writer
                    && open.write_all(data).await.is_err()
                {
                    *writer = None;
                }
            }
            Message::Close(_) => return,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

fn frame(channel: u8, data: &[u8]) -> Message {
    Message::binary([&[channel], data].concat())
}

async fn finish(sink: &mut SplitSink<Socket, Message>) {
    // The other side may have closed first.
    sink.send(Message::Close(None)).await.ok();
}

// === kubectl's tunnel: SPDY bytes in WebSocket messages ===

async fn tunnel(socket: Socket, exchange: Exchange) {
    let (near, far) = tokio::io::duplex(PIPE);
    let (mut sink, mut source) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(near);
    let inbound = async move {
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(data) => {
                    if writer.write_all(&data).await.is_err() {
                        return;
                    }
                }
                Message::Close(_) => return,
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    };
    let outbound = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = reader.read(&mut buffer).await {
            let data = Bytes::copy_from_slice(&buffer[..length]);
            if length == 0 || sink.send(Message::Binary(data)).await.is_err() {
                break;
            }
        }
        finish(&mut sink).await;
    };
    tokio::select! {
        biased;
        () = inbound => {}
        () = outbound => {}
        () = spdy::serve(far, exchange) => {}
    }
}

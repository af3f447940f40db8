//! SPDY/3.1 as far as port-forward needs it: what kubectl speaks.
//!
//! Owns: frames, compressed headers, pairing the error and the data stream of each connection.
//! Must not: do flow control; kubectl's library does none either.

use std::{collections::HashMap, io};

use futures::future::BoxFuture;
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
    task::JoinSet,
};

use super::exchange::Exchange;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;

/// Flag of the last frame of a stream.
const FIN: u8 = 1;

/// Status of a stream that was refused.
const REFUSED_STREAM: u32 = 3;

/// All headers of one connection, uncompressed; a connection that sends more is not kubectl's.
const MOST_HEADERS: usize = 4 * 1024 * 1024;

/// One frame as it is on the wire.
struct Frame {
    /// Type of a control frame; `None` for data.
    control: Option<u16>,
    /// Stream of a data frame.
    stream: u32,
    flags: u8,
    payload: Vec<u8>,
}

/// The two streams of one forwarded connection, until both are there.
#[derive(Default)]
struct Pair {
    port: u16,
    error: Option<u32>,
    data: Option<u32>,
}

struct Session {
    exchange: Exchange,
    headers: Inflater,
    pairs: HashMap<String, Pair>,
    /// Where the data of each open data stream goes.
    writers: HashMap<u32, WriteHalf<DuplexStream>>,
    outbox: mpsc::Sender<Vec<u8>>,
    connections: JoinSet<()>,
    replied: bool,
}

/// Serves one SPDY connection until it ends.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite, exchange: Exchange) {
    let (reader, mut writer) = tokio::io::split(stream);
    let (sender, mut outbox) = mpsc::channel::<Vec<u8>>(32);
    let session = Session {
        exchange,
        headers: Inflater::new(),
        pairs: HashMap::new(),
        writers: HashMap::new(),
        outbox: sender,
        connections: JoinSet::new(),
        replied: false,
    };
    let deliver = async {
        while let Some(frame) = outbox.recv().await {
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        // Whichever way the client leaves, its connections are dropped with the session.
        _ = session.run(reader) => {}
        () = deliver => {}
    }
}

impl Session {
    async fn run(mut self, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut reader).await?;
            while self.connections.try_join_next().is_some() {}
            match frame.control {
                None => self.data(frame).await,
                Some(SYN_STREAM) => self.open(&frame).await?,
                Some(HEADERS) => {
                    self.headers
                        .inflate(frame.payload.get(4..).unwrap_or_default())?;
                }
                Some(RST_STREAM) => {
                    self.writers.remove(&word(&frame.payload, 0)?);
                }
                Some(PING) => self.send(control(PING, 0, &frame.payload)).await,
                Some(GOAWAY) => return Ok(()),
                // Settings and window updates change nothing here.
                Some(_) => {}
            }
        }
    }

    async fn data(&mut self, frame: Frame) {
        let Some(writer) = self.writers.get_mut(&frame.stream) else {
            return;
        };
        let lost = writer.write_all(&frame.payload).await.is_err();
        if (lost || frame.flags & FIN != 0)
            && let Some(mut writer) = self.writers.remove(&frame.stream)
        {
            // The app may have hung up before.
            writer.shutdown().await.ok();
        }
    }

    async fn open(&mut self, frame: &Frame) -> io::Result<()> {
        let stream = word(&frame.payload, 0)? & 0x7fff_ffff;
        let block = frame.payload.get(10..).ok_or_else(broken)?;
        let headers = headers_of(&self.headers.inflate(block)?)?;
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        let port = header("port").parse::<u16>().unwrap_or(0);
        if port == 0 {
            let body = [stream.to_be_bytes(), REFUSED_STREAM.to_be_bytes()].concat();
            self.send(control(RST_STREAM, 0, &body)).await;
            return Ok(());
        }
        let pair = self
            .pairs
            .entry(header("requestid").to_owned())
            .or_default();
        pair.port = port;
        match header("streamtype") {
            "error" => pair.error = Some(stream),
            _ => pair.data = Some(stream),
        }
        let ready = match (pair.error, pair.data) {
            (Some(error), Some(data)) => Some((error, data, pair.port)),
            _ => None,
        };
        let reply = [&stream.to_be_bytes()[..], &self.no_headers()].concat();
        self.send(control(SYN_REPLY, 0, &reply)).await;
        if let Some((error, data, port)) = ready {
            self.pairs.remove(header("requestid"));
            let (near, app) = self.exchange.open(port);
            let (reader, writer) = tokio::io::split(near);
            self.writers.insert(data, writer);
            self.connections
                .spawn(carry(reader, app, self.outbox.clone(), (error, data)));
        }
        Ok(())
    }

    /// Returns a compressed block of no headers: stored, not deflated, and flushed.
    fn no_headers(&mut self) -> Vec<u8> {
        let first: &[u8] = if self.replied { &[] } else { &[0x78, 0x01] };
        self.replied = true;
        [
            first,
            &[0, 4, 0, 0xfb, 0xff, 0, 0, 0, 0],
            &[0, 0, 0, 0xff, 0xff],
        ]
        .concat()
    }

    async fn send(&self, frame: Vec<u8>) {
        // A closed outbox means that the session is over.
        self.outbox.send(frame).await.ok();
    }
}

/// Carries what an app says to the data stream, and at the end why it stopped to the error stream.
async fn carry(
    mut reader: ReadHalf<DuplexStream>,
    app: BoxFuture<'static, Option<String>>,
    outbox: mpsc::Sender<Vec<u8>>,
    (error, data): (u32, u32),
) {
    let copy = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = reader.read(&mut buffer).await {
            if length == 0
                || outbox
                    .send(bytes_of(data, 0, &buffer[..length]))
                    .await
                    .is_err()
            {
                return;
            }
        }
    };
    let ((), reason) = futures::future::join(copy, app).await;
    let reason = reason.unwrap_or_default();
    for frame in [
        bytes_of(error, FIN, reason.as_bytes()),
        bytes_of(data, FIN, &[]),
    ] {
        // The client may be gone.
        outbox.send(frame).await.ok();
    }
}

async fn read_frame(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; 8];
    reader.read_exact(&mut head).await?;
    let first = word(&head, 0)?;
    let length = word(&head, 4)? & 0x00ff_ffff;
    let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
    reader.read_exact(&mut payload).await?;
    let is_control = first & 0x8000_0000 != 0;
    Ok(Frame {
        control: is_control.then(|| u16::from_be_bytes([head[2], head[3]])),
        stream: first & 0x7fff_ffff,
        flags: head[4],
        payload,
    })
}

fn control(kind: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = kind.to_be_bytes();
    [
        &[0x80, 0x03, high, low],
        &length(flags, payload)[..],
        payload,
    ]
    .concat()
}

fn bytes_of(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    [&stream.to_be_bytes(), &length(flags, payload)[..], payload].concat()
}

/// Returns flags and length as the second word of a frame. Payloads here fit 24 bits.
fn length(flags: u8, payload: &[u8]) -> [u8; 4] {
    let length = u32::try_from(payload.len()).unwrap_or(0);
    let [_, a, b, c] = length.to_be_bytes();
    [flags, a, b, c]
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    four.map(u32::from_be_bytes).ok_or_else(broken)
}

fn headers_of(block: &[u8]) -> io::Result<HashMap<String, String>> {
    let mut at = 4;
    let mut next = || -> io::Result<String> {
        let length = usize::try_from(word(block, at)?).map_err(|_| broken())?;
        let end = at.checked_add(4 + length).ok_or_else(broken)?;
        let text = block.get(at + 4..end).ok_or_else(broken)?;
        at = end;
        Ok(String::from_utf8_lossy(text).into_owned())
    };
    let mut headers = HashMap::new();
    for _ in 0..word(block, 0)? {
        let name = next()?;
        headers.insert(name.to_lowercase(), next()?);
    }
    Ok(headers)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "broken SPDY frame")
}

/// Decompresses the header blocks of one connection, which are one deflate stream.
struct Inflater {
    state: Box<DecompressorOxide>,
    /// The dictionary and everything decompressed so far.
    history: Vec<u8>,
    started: bool,
}

impl Inflater {
    fn new() -> Self {
        Self {
            state: Box::default(),
            history: dictionary(),
            started: false,
        }
    }

    fn inflate(&mut self, mut block: &[u8]) -> io::Result<Vec<u8>> {
        if !self.started {
            // The zlib header: two bytes, and four that name the dictionary.
            let named = block.get(1).ok_or_else(broken)? & 0x20 != 0;
            block = block.get(if named { 6 } else { 2 }..).ok_or_else(broken)?;
            self.started = true;
        }
        let start = self.history.len();
        let mut end = start;
        loop {
            self.history.resize(end + 16 * 1024, 0);
            let flags = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
            let (status, read, written) =
                decompress(&mut self.state, block, &mut self.history, end, flags);
            block = block.get(read..).ok_or_else(broken)?;
            end += written;
            if status == TINFLStatus::NeedsMoreInput {
                break;
            }
            if status != TINFLStatus::HasMoreOutput || end >= MOST_HEADERS {
                return Err(broken());
            }
        }
        self.history.truncate(end);
        if end > MOST_HEADERS {
            return Err(broken());
        }
        Ok(self.history[start..].to_vec())
    }
}

/// Returns the dictionary SPDY/3 compresses headers with: words with their length, and a tail.
fn dictionary() -> Vec<u8> {
    const WORDS: &str = "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,accept-ranges,age,allow,authorization,cache-control,connection,content-base,content-encoding,content-language,content-length,content-location,content-md5,content-range,content-type,date,etag,expect,expires,from,host,if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,max-forwards,pragma,proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200 OK,version,HTTP/1.1,url,public,set-cookie,keep-alive,origin";
    const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split(',') {
        let length = u32::try_from(word.len()).unwrap_or(0);
        bytes.extend(length.to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(TAIL.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_clients_name() {
        let (mut a, mut b) = (1u32, 0u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!(b << 16 | a, 0xe3c6_a7c2);
    }

    #[test]
    fn header_blocks_of_one_connection_share_their_history() {
        // Two blocks a zlib compressor with the dictionary made, flushed after each.
        let first = hex(FIRST);
        let second = hex(SECOND);
        let mut inflater = Inflater::new();
        let headers = headers_of(&inflater.inflate(&first).unwrap()).unwrap();
        assert_eq!(headers["streamtype"], "error");
        assert_eq!(headers["port"], "8080");
        let headers = headers_of(&inflater.inflate(&second).unwrap()).unwrap();
        assert_eq!(headers["streamtype"], "data");
        assert_eq!(headers["requestid"], "0");
    }

    #[test]
    fn garbage_is_an_error_and_not_a_panic() {
        assert!(Inflater::new().inflate(&[0x78]).is_err());
        assert!(headers_of(&[0, 0, 0, 9, 255, 255, 255, 255]).is_err());
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
            .collect()
    }

    const FIRST: &str = "78f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45e01c6061606100a4398b20d198094ade8c0600000000ffff";
    const SECOND: &str = "c2aa19540e2512d60b000000ffff";
}

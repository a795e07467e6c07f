//! `/v1/dns/txt`, with a small DNS server on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::{FakeTarget, Running};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

const NAME: &str = "_nokube-challenge.www.example.com";
const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const TRUNCATED: u8 = 0x02;

/// What the server answers.
#[derive(Clone)]
enum Zone {
    /// These TXT records, each of strings; over UDP only that there are too many of them for it.
    Records {
        texts: Vec<Vec<Vec<u8>>>,
        by_tcp: bool,
    },
    Code(u8),
    Silent,
}

fn records(texts: &[&str]) -> Zone {
    Zone::Records {
        texts: texts
            .iter()
            .map(|text| vec![text.as_bytes().to_vec()])
            .collect(),
        by_tcp: false,
    }
}

/// RFC 1035, section 4: the question comes back with a header of our own and the answers.
fn answer(question: &[u8], zone: &Zone, by_tcp: bool) -> Option<Vec<u8>> {
    let mut at = 12;
    while question[at] != 0 {
        at += usize::from(question[at]) + 1;
    }
    // The name's end, its type and its class.
    let end = at + 5;
    let (code, texts, flags): (u8, &[Vec<Vec<u8>>], u8) = match zone {
        Zone::Silent => return None,
        Zone::Code(code) => (*code, &[], 0),
        Zone::Records { by_tcp: true, .. } if !by_tcp => (NO_ERROR, &[], TRUNCATED),
        Zone::Records { texts, .. } => (NO_ERROR, texts, 0),
    };
    let mut message = question[..2].to_vec();
    message.extend([0x81 | flags, 0x80 | code, 0, 1]);
    message.extend(u16::try_from(texts.len()).unwrap().to_be_bytes());
    message.extend([0, 0, 0, 0]);
    message.extend(&question[12..end]);
    for strings in texts {
        // The name of the question, TXT, IN, not to be kept.
        message.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0]);
        let length: usize = strings.iter().map(|string| string.len() + 1).sum();
        message.extend(u16::try_from(length).unwrap().to_be_bytes());
        for string in strings {
            message.push(u8::try_from(string.len()).unwrap());
            message.extend(string);
        }
    }
    Some(message)
}

/// Serves a zone over UDP and TCP at one address.
async fn serve(zone: Zone) -> SocketAddr {
    let (udp, tcp) = loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // The other protocol's port of that number may be somebody else's.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            break (udp, tcp);
        }
    };
    let address = udp.local_addr().unwrap();
    let of_udp = zone.clone();
    tokio::spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((length, from)) = udp.recv_from(&mut bytes).await {
            if let Some(message) = answer(&bytes[..length], &of_udp, false) {
                udp.send_to(&message, from).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = usize::from(stream.read_u16().await.unwrap());
            let mut question = vec![0; length];
            stream.read_exact(&mut question).await.unwrap();
            if let Some(message) = answer(&question, &zone, true) {
                let length = u16::try_from(message.len()).unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&message).await.unwrap();
            }
        }
    });
    address
}

/// What the sidecar says of [`NAME`] when the DNS has this.
async fn asked(zone: Zone) -> (u16, serde_json::Value) {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let server = serve(zone).await;
    let sidecar = Running::start_asking(data.path(), &target, server).await;
    sidecar.get(&format!("/v1/dns/txt?name={NAME}")).await
}

#[tokio::test]
async fn the_texts_of_a_name_are_told() {
    let (status, body) = asked(records(&["nokube-0123", "v=other"])).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body,
        json!({ "name": NAME, "records": ["nokube-0123", "v=other"] })
    );
}

#[tokio::test]
async fn a_name_that_is_not_there_or_has_no_text_has_none() {
    for zone in [Zone::Code(NO_SUCH_NAME), records(&[])] {
        let (status, body) = asked(zone).await;
        assert_eq!((status, &body["records"]), (200, &json!([])), "{body}");
    }
}

#[tokio::test]
async fn what_is_too_much_for_one_packet_is_asked_for_by_tcp() {
    let (status, body) = asked(Zone::Records {
        texts: vec![vec![b"nokube-".to_vec(), b"0123".to_vec()]],
        by_tcp: true,
    })
    .await;
    assert_eq!(
        (status, &body["records"]),
        (200, &json!(["nokube-0123"])),
        "{body}"
    );
}

#[tokio::test]
async fn what_is_long_many_or_no_text_is_left_out() {
    let long = vec![vec![b'x'; 255]; 3];
    let mut texts = vec![long, vec![vec![0xff, 0xfe]]];
    texts.extend((0..50).map(|n| vec![format!("n{n}").into_bytes()]));
    let (status, body) = asked(Zone::Records {
        texts,
        by_tcp: true,
    })
    .await;
    assert_eq!(status, 200, "{body}");
    let told = body["records"].as_array().unwrap();
    assert_eq!((told.len(), &told[0]), (20, &json!("n0")));
}

#[tokio::test]
async fn a_server_that_fails_is_told_and_is_no_empty_answer() {
    let (status, body) = asked(Zone::Code(SERVER_FAILURE)).await;
    assert_eq!(status, 503, "{body}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    let begun = std::time::Instant::now();
    let (status, _) = asked(Zone::Silent).await;
    assert_eq!(status, 503);
    // The platform's call gives up after ten.
    assert!(begun.elapsed().as_secs() < 8, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_but_a_challenge_is_looked_up() {
    let data = tempfile::tempdir().unwrap();
    let target = Arc::new(FakeTarget::default());
    let server = serve(records(&["secret"])).await;
    let sidecar = Running::start_asking(data.path(), &target, server).await;
    for query in [
        "",
        "?name=",
        "?name=www.example.com",
        "?name=_nokube-challenge.localhost",
        "?name=_nokube-challenge.a.internal",
        "?name=_nokube-challenge.example.com.",
        "?name=_nokube-challenge.a%00b.com",
    ] {
        let (status, body) = sidecar.get(&format!("/v1/dns/txt{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}

//! `wasi:sockets@0.2`: tries to reach the port that the query names, to listen, and to resolve a name.

use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()))
}

fn run(port: &str) -> anyhow::Result<String> {
    let there = (Ipv4Addr::LOCALHOST, port.parse::<u16>()?);
    let connected = TcpStream::connect(there).is_ok();
    let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok();
    let sent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.send_to(b"x", there))
        .is_ok();
    let resolved = ("localhost", 80).to_socket_addrs().is_ok();
    Ok(format!("{connected} {listening} {sent} {resolved}"))
}

fn main() {}

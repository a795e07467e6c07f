//! `wasi:sockets@0.3`: tries to reach the port that the query names, to listen, and to resolve a name.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::sockets::ip_name_lookup::resolve_addresses;
use spin_sdk::wasip3::sockets::types::{
    IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket,
};

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    wasi03::reply(run(wasi03::query(&request)).await)
}

fn here(port: u16) -> IpSocketAddress {
    let address = (127, 0, 0, 1);
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

async fn run(port: &str) -> anyhow::Result<String> {
    let there = here(port.parse()?);
    let tcp = || TcpSocket::create(IpAddressFamily::Ipv4);
    let connected = match tcp() {
        Ok(socket) => socket.connect(there).await.is_ok(),
        Err(_) => false,
    };
    let listening = tcp().and_then(|socket| {
        socket.bind(here(0))?;
        socket.listen().map(drop)
    });
    let sent = match UdpSocket::create(IpAddressFamily::Ipv4) {
        Ok(socket) => {
            socket.bind(here(0)).is_ok() && socket.send(b"x".to_vec(), Some(there)).await.is_ok()
        }
        Err(_) => false,
    };
    let resolved = resolve_addresses("localhost".to_owned()).await.is_ok();
    Ok(format!(
        "{connected} {} {sent} {resolved}",
        listening.is_ok()
    ))
}

fn main() {}

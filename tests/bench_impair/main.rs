//! The relay over real sockets: its truth agrees with what arrives, and packets leave in time.

use sidetone::bench::impair::{Direction, Pair, Recipe, Relay, Route, Sheet};
use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
    socket
}

fn recipe(text: &str) -> Recipe {
    text.parse().unwrap()
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 7]);
    packet.resize(172, 0);
    packet
}

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

fn received(socket: &UdpSocket) -> Vec<(u16, SocketAddr)> {
    let mut buffer = [0; 2_000];
    std::iter::from_fn(|| socket.recv_from(&mut buffer).ok().map(|(length, from)| (sequence(&buffer[..length]), from)))
        .collect()
}

#[test]
fn the_report_tells_what_arrived() {
    let (client, target) = (socket(), socket());
    let route = Route { listen: "127.0.0.1:0".parse().unwrap(), to: target.local_addr().unwrap(), pair: Pair::One };
    let recipes = [recipe("loss=0.2 delay=20 duplicate=0.1 reorder=0.05"), recipe("none")];
    let relay = Relay::start(route, recipes, 7, Sheet::Memory).unwrap();
    // Read while they come: the buffer of the system holds fewer.
    let reader = target.try_clone().unwrap();
    let reading = std::thread::spawn(move || received(&reader));
    for number in 0..500 {
        client.send_to(&rtp(number), relay.listen()).unwrap();
        // The pace of what is sent.
        std::thread::sleep(Duration::from_millis(1));
    }
    let arrived = reading.join().unwrap();
    // The way back does nothing, and goes to who sent last.
    let back = arrived[0].1;
    target.send_to(&rtp(9_999), back).unwrap();
    assert_eq!(received(&client), [(9_999, relay.listen())]);
    let (totals, lines) = relay.finish().unwrap();
    let [there, reverse] = totals;
    assert_eq!((there.received, reverse.received, reverse.delivered), (500, 1, 1));
    assert!((60..140).contains(&there.lost), "{there:?}");
    assert_eq!(there.lost + there.delivered, 500);
    assert_eq!(there.delivered + there.duplicated, arrived.len() as u64);
    let told: BTreeSet<u16> = lines
        .iter()
        .filter(|line| line.direction == Direction::Forward && line.verdict == "delivered")
        .filter_map(|line| Some(line.rtp?.sequence))
        .collect();
    assert_eq!(told, arrived.iter().map(|(number, _)| *number).collect());
    assert_eq!(lines.len(), 501);
    for line in lines.iter().filter(|line| line.direction == Direction::Forward && !line.due.is_empty()) {
        assert!(line.due[0] - line.at >= 0.02 - 1e-9, "{line:?}");
        assert!(line.sent.iter().zip(&line.due).all(|(sent, due)| sent >= due), "never early: {line:?}");
    }
    assert!(there.late_us.mean < 20_000.0 && there.late_us.p99 <= there.late_us.max, "{:?}", there.late_us);
}

#[test]
fn a_pair_of_ports_keeps_rtp_and_rtcp_apart() {
    // Two neighbouring ports, as RTP has them.
    let (even, odd) = (0..200)
        .find_map(|_| {
            let even = socket();
            let next = even.local_addr().unwrap().port().checked_add(1)?;
            let odd = UdpSocket::bind(("127.0.0.1", next)).ok()?;
            odd.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
            Some((even, odd))
        })
        .unwrap();
    let relay = (0..200)
        .find_map(|_| {
            let route =
                Route { listen: "127.0.0.1:0".parse().unwrap(), to: even.local_addr().unwrap(), pair: Pair::Rtp };
            Relay::start(route, [recipe("none"), recipe("none")], 1, Sheet::Nowhere).ok()
        })
        .unwrap();
    let client = socket();
    client.send_to(&rtp(1), relay.listen()).unwrap();
    let mut rtcp = relay.listen();
    rtcp.set_port(rtcp.port() + 1);
    client.send_to(&rtp(2), rtcp).unwrap();
    assert_eq!(received(&even).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1]);
    assert_eq!(received(&odd).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
}

#[test]
fn an_outage_and_another_recipe_take_effect() {
    let (client, target) = (socket(), socket());
    let route = Route { listen: "127.0.0.1:0".parse().unwrap(), to: target.local_addr().unwrap(), pair: Pair::One };
    let relay = Relay::start(route, [recipe("outage=0+3600"), recipe("none")], 1, Sheet::Nowhere).unwrap();
    client.send_to(&rtp(1), relay.listen()).unwrap();
    assert!(received(&target).is_empty());
    relay.change(Direction::Forward, recipe("none"));
    client.send_to(&rtp(2), relay.listen()).unwrap();
    assert_eq!(received(&target).len(), 1);
    assert_eq!((relay.totals()[0].outage, relay.totals()[0].delivered), (1, 1));
}

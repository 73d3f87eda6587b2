//! A whole relay over loopback, side by side with the same client talking to the same sink.
//!
//! Twenty connections hand in messages of 4 KiB; the relay finds the sink by signed DNS, proves it by
//! DANE, signs, delivers, and keeps its evidence durably. Both ways are measured in turn in one run, so
//! that their ratio means something on a machine that is busy otherwise. Client, DNS and sink run in
//! the same process: what they cost is in both figures.
//!
//! `SECUREMAIL_BENCH_MESSAGES=5000` changes the number of messages of a round (2000).

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

mod client;
mod world;

use std::time::{Duration, Instant};

use self::client::{Client, Login};
use self::world::World;

const CONNECTIONS: usize = 20;
const ROUNDS: usize = 3;
const OCTETS: usize = 4096;
/// Clock ticks of `/proc/self/stat` in a second (`getconf CLK_TCK`); 100 on every Linux of today.
const TICKS: f64 = 100.0;

/// What a round cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: Duration,
    cpu_secs: f64,
}

fn main() {
    #[expect(clippy::disallowed_methods, reason = "a bench has no settings file")]
    let messages: usize = std::env::var("SECUREMAIL_BENCH_MESSAGES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = World::start().await;
        let relay = securemail_relay::launch(&world.settings)
            .await
            .expect("a relay");
        let submission = relay.submission.expect("a listener");
        let through = Client::new(submission, Login::Plain(world.account()));
        let direct = Client::new(world.sink.address(), Login::None);
        // Caches warm, connections and tables made.
        round(&through, "warm", CONNECTIONS * 2).await;
        round(&direct, "cold", CONNECTIONS * 2).await;
        let (mut relayed, mut straight) = (Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            straight.push(round(&direct, &format!("d{number}"), messages).await);
            relayed.push(round(&through, &format!("r{number}"), messages).await);
        }
        let sent = CONNECTIONS * 4 + ROUNDS * messages * 2;
        assert_eq!(world.sink.messages().len(), sent, "each arrived, and once");
        println!("{messages} messages of {OCTETS} octets over {CONNECTIONS} connections, {ROUNDS} rounds of each, in turn");
        report("one hop  (client, sink)       ", &straight, messages);
        report("relayed  (client, relay, sink)", &relayed, messages);
        let (hop, relay_cost) = (median(&straight), median(&relayed));
        println!(
            "ratio    rate {:.3} of one hop, CPU {:.1} times one hop",
            hop.wall.as_secs_f64() / relay_cost.wall.as_secs_f64(),
            relay_cost.cpu_secs / hop.cpu_secs.max(1.0 / TICKS),
        );
        relay.stop().await;
    });
}

/// Sends `messages` over all connections; each connection opens one session.
async fn round(client: &Client, name: &str, messages: usize) -> Cost {
    let (begun, cpu) = (Instant::now(), cpu_secs());
    let mut sessions = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = client.clone();
        let share = (messages + connection) / CONNECTIONS;
        let name = format!("{name}-{connection}");
        sessions.spawn(async move { client.send(&name, share, OCTETS).await });
    }
    while let Some(done) = sessions.join_next().await {
        done.expect("a session").expect("every message taken");
    }
    Cost {
        wall: begun.elapsed(),
        cpu_secs: cpu_secs() - cpu,
    }
}

fn report(what: &str, costs: &[Cost], messages: usize) {
    let count = f64::from(u32::try_from(messages).expect("a number of messages"));
    let middle = median(costs);
    let rates: Vec<String> = costs
        .iter()
        .map(|cost| format!("{:.0}", count / cost.wall.as_secs_f64()))
        .collect();
    println!(
        "{what}  {:.0} messages/s (rounds: {}), CPU {:.3} ms/message",
        count / middle.wall.as_secs_f64(),
        rates.join(", "),
        middle.cpu_secs * 1000.0 / count,
    );
}

/// The cost of the round in the middle by time.
fn median(costs: &[Cost]) -> Cost {
    let mut sorted = costs.to_vec();
    sorted.sort_by_key(|cost| cost.wall);
    sorted[sorted.len() / 2]
}

/// User and system time of this process: fields 14 and 15 of its stat, counted behind the name.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let (_, fields) = stat.rsplit_once(')').expect("the name of the program");
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().expect("a number of ticks"))
        .sum();
    ticks / TICKS
}

//! A replay over sockets gives what the replay from the file gives, and what is lost on purpose is missed by the book.

use chronos_exchange::itch_capture::{ItchConfig, write_itch_file};
use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_inference::{Head, HeadTensor, StepSpec, StepWeights, Tensor};
use chronos_market::features::registry;
use chronos_session::config::Config;
use chronos_session::model::ModelDirectory;
use chronos_session::report::Report;
use chronos_session::wire::{Fate, Impairer, Speed, Transport, WireLatency, WireOptions, WireReport};
use chronos_session::{ReplayOptions, SessionError, replay};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::WebSocket];

/// A generated market with a model that is asked often, and an ITCH feed.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn get() -> &'static Fixture {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let config = GeneratorConfig { seed: 7, seconds: 12, depth_interval_ms: 10, ..GeneratorConfig::default() };
            generate_file(&config, &folder.path().join("capture"), &mut |_| {}).unwrap();
            let feed = ItchConfig { messages: 4_000, instruments: 1, ..ItchConfig::default() };
            write_itch_file(&feed, &folder.path().join("feed.pcap"), &mut |_| {}).unwrap();
            ModelDirectory::create(&folder.path().join("model"), &weights(), "small").unwrap();
            Fixture { folder }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, capture: &str, over: Option<WireOptions>) -> ReplayOptions {
        let mut config = Config::default();
        config.model.path = self.path("model").display().to_string();
        config.decision.horizon_ms = 300.0;
        ReplayOptions { paths: vec![self.path(capture)], config, over, ..ReplayOptions::default() }
    }

    fn replayed(&self, capture: &str, over: Option<WireOptions>) -> Report {
        replay(&self.options(capture, over), &mut |_| {}).expect("a replay").report
    }
}

fn weights() -> StepWeights {
    let features = registry().len();
    let spec = StepSpec { features, d_model: 16, layers: 1, d_state: 4, d_conv: 4, expand: 2, dt_rank: 2, head_hidden: 16 };
    let mut weights = StepWeights::untrained(&spec, 1);
    // Louder than an untrained model, so that there are orders to compare.
    for weight in weights.values_mut(Tensor::Head(Head::Logits, HeadTensor::OutputWeight)) {
        *weight *= 3.0;
    }
    weights
}

fn at_once(transport: Transport) -> WireOptions {
    WireOptions { speed: Speed::Max, ..WireOptions::new(transport) }
}

fn wire(report: &Report) -> &WireReport {
    report.wire.as_ref().expect("a report of the sockets")
}

/// What has to be the same whatever the way.
fn assert_same(over: &Report, from_file: &Report) {
    assert_eq!(over.digest, from_file.digest);
    assert_eq!((over.messages, over.malformed, over.ignored), (from_file.messages, from_file.malformed, from_file.ignored));
    assert_eq!((over.gaps, over.resyncs, over.trades), (from_file.gaps, from_file.resyncs, from_file.trades));
    assert_eq!(
        (over.features, over.inferences, over.orders, over.fills),
        (from_file.features, from_file.inferences, from_file.orders, from_file.fills)
    );
    assert_eq!(over.time_reversals, from_file.time_reversals);
}

#[test]
fn without_faults_the_orders_are_the_same_and_all_arrive() {
    let fixture = Fixture::get();
    let from_file = fixture.replayed("capture", None);
    assert!(from_file.orders > 5 && from_file.wire.is_none(), "{} orders are too few", from_file.orders);
    for transport in TRANSPORTS {
        let over = fixture.replayed("capture", Some(at_once(transport)));
        assert_same(&over, &from_file);
        let wire = wire(&over);
        assert_eq!((wire.sent, wire.received, wire.missing, wire.lost), (from_file.messages, from_file.messages, 0, 0));
        assert!(wire.orders_sent >= over.orders, "cancels leave too");
        assert_eq!(wire.orders_received, wire.orders_sent);
        for (latency, summary) in wire.latencies() {
            let is_told = latency != WireLatency::KernelToMemory || wire.kernel_times;
            assert_eq!(summary.count > 0, is_told, "{transport:?} {latency:?}: {summary:?}");
        }
        // What contains another takes longer.
        let [whole, part] = [WireLatency::Crossings, WireLatency::CrossingIn].map(|latency| wire.latency_ns[latency.name()].p50);
        assert!(whole > part, "{transport:?}: both crossings {whole} ns, one {part} ns");
    }
}

#[test]
fn captured_packets_go_as_datagrams() {
    let fixture = Fixture::get();
    let from_file = fixture.replayed("feed.pcap", None);
    assert!(from_file.features > 100 && from_file.gaps == 0);
    for transport in TRANSPORTS {
        let over = fixture.replayed("feed.pcap", Some(at_once(transport)));
        assert_same(&over, &from_file);
        assert_eq!(wire(&over).received, from_file.messages);
    }
}

/// The records that arrive, in their order, and how many were lost.
fn arriving<T: Clone>(records: &[T], options: &WireOptions) -> (Vec<T>, u64) {
    let mut impairer = Impairer::new(options.loss, options.reorder, options.seed);
    let (mut arriving, mut held, mut lost) = (Vec::new(), None, 0);
    for record in records {
        match impairer.fate() {
            Fate::Lose => lost += 1,
            Fate::HoldBack => held = Some(record.clone()),
            Fate::Send => {
                arriving.push(record.clone());
                arriving.extend(held.take());
            }
        }
    }
    arriving.extend(held);
    (arriving, lost)
}

#[test]
fn faults_are_those_of_a_file_with_the_same_faults() {
    let fixture = Fixture::get();
    let text = std::fs::read_to_string(fixture.path("capture")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (transport, loss, reorder, seed) in
        [(Transport::Udp, 0.002, 0.0, 3), (Transport::WebSocket, 0.002, 0.0, 3), (Transport::Udp, 0.001, 0.02, 4)]
    {
        let options = WireOptions { loss, reorder, seed, ..at_once(transport) };
        let (left, lost) = arriving(&lines, &options);
        assert!(lost > 0);
        let name = format!("faulty-{seed}");
        std::fs::write(fixture.path(&name), left.join("\n") + "\n").unwrap();
        let from_file = fixture.replayed(&name, None);
        let over = fixture.replayed("capture", Some(options));
        assert_eq!((over.digest.as_str(), over.gaps), (from_file.digest.as_str(), from_file.gaps));
        assert!(over.gaps > 0, "the book missed nothing");
        assert_eq!((over.features, over.time_reversals), (from_file.features, from_file.time_reversals));
        let wire = wire(&over);
        assert_eq!((wire.lost, wire.missing, wire.received), (lost, 0, lines.len() as u64 - lost));
        assert_eq!(wire.reordered > 0, reorder > 0.0);
    }
}

/// The header of a pcap file and its records.
fn packets(path: &Path) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = std::fs::read(path).unwrap();
    let (header, mut rest) = bytes.split_at(24);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = 16 + u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let (record, more) = rest.split_at(length);
        records.push(record.to_vec());
        rest = more;
    }
    (header.to_vec(), records)
}

/// Number of the first message of a MoldUDP64 packet in an Ethernet frame, and how many there are.
fn numbers(record: &[u8]) -> (u64, u16) {
    let mold = &record[16 + 14 + 20 + 8..];
    (u64::from_be_bytes(mold[10..18].try_into().unwrap()), u16::from_be_bytes(mold[18..20].try_into().unwrap()))
}

#[test]
fn what_a_numbered_feed_lost_is_counted() {
    let fixture = Fixture::get();
    let (header, records) = packets(&fixture.path("feed.pcap"));
    let options = WireOptions { loss: 0.02, seed: 5, ..at_once(Transport::Udp) };
    let (left, lost) = arriving(&records, &options);
    let (mut missed, mut next) = (0, 1);
    for record in &left {
        let (first, count) = numbers(record);
        missed += first.saturating_sub(next);
        // A packet that ends the session has the largest count and no message.
        next = next.max(first + u64::from(if count == u16::MAX { 0 } else { count }));
    }
    assert!(missed > 20, "{missed} messages in {lost} packets");
    std::fs::write(fixture.path("faulty.pcap"), [header, left.concat()].concat()).unwrap();
    let from_file = fixture.replayed("faulty.pcap", None);
    let over = fixture.replayed("feed.pcap", Some(options));
    assert_eq!((over.digest.as_str(), over.features), (from_file.digest.as_str(), from_file.features));
    assert_eq!((over.missed, wire(&over).lost, over.gaps), (missed, lost, from_file.gaps));
    assert!(over.gaps > 0, "the book missed nothing");
}

#[test]
fn overtaken_packets_of_a_numbered_feed_are_put_right() {
    let fixture = Fixture::get();
    let from_file = fixture.replayed("feed.pcap", None);
    let over = fixture.replayed("feed.pcap", Some(WireOptions { reorder: 0.05, ..at_once(Transport::Udp) }));
    assert!(wire(&over).reordered > 5);
    assert_eq!((over.gaps, over.trades), (0, from_file.trades));
}

#[test]
fn what_is_broken_is_counted_and_told_as_from_the_file() {
    let fixture = Fixture::get();
    let text = std::fs::read_to_string(fixture.path("capture")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let time = lines[40].split(' ').next().unwrap().to_owned();
    lines.splice(
        41..41,
        ["no time at all".into(), format!("{time} {{\"e\":\"depthUpdate\",\"U\":"), format!("{time} \u{fffd}nonsense")],
    );
    std::fs::write(fixture.path("broken"), lines.join("\n") + "\n").unwrap();
    let from_file = fixture.replayed("broken", None);
    assert_eq!(from_file.malformed, 3);
    for transport in TRANSPORTS {
        let over = fixture.replayed("broken", Some(at_once(transport)));
        assert_same(&over, &from_file);
        let told = |report: &Report| {
            let lines = report.notices.iter().filter(|notice| notice.contains("the line had no effect"));
            lines.cloned().collect::<Vec<_>>()
        };
        assert_eq!(told(&over), told(&from_file));
    }
}

#[test]
fn a_message_no_datagram_carries_is_refused_and_goes_over_websocket() {
    let fixture = Fixture::get();
    let text = std::fs::read_to_string(fixture.path("capture")).unwrap();
    let mut lines: Vec<String> = text.lines().take(300).map(str::to_owned).collect();
    let time = lines[200].split(' ').next().unwrap().to_owned();
    let long = format!("{{\"e\":\"unknown\",\"pad\":\"{}\"}}", "x".repeat(66_000));
    lines.insert(201, format!("{time} {long}"));
    std::fs::write(fixture.path("long"), lines.join("\n") + "\n").unwrap();
    let refused = replay(&fixture.options("long", Some(at_once(Transport::Udp))), &mut |_| {});
    let message = refused.map(|_| ()).unwrap_err().to_string();
    for part in ["line 202", &long.len().to_string(), "65468", "--over ws"] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    assert_same(&fixture.replayed("long", Some(at_once(Transport::WebSocket))), &fixture.replayed("long", None));
}

#[test]
fn a_capture_keeps_its_pace() {
    let fixture = Fixture::get();
    let options = WireOptions { speed: Speed::Times(20.0), burst: 5, ..WireOptions::new(Transport::Udp) };
    let report = fixture.replayed("capture", Some(options));
    // 12 s of market at 20 times its pace.
    assert!(report.wall_s > 0.5, "{} s", report.wall_s);
    assert_eq!(report.digest, fixture.replayed("capture", None).digest);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let fixture = Fixture::get();
    let refused = |over: WireOptions| replay(&fixture.options("capture", Some(over)), &mut |_| {}).map(|_| ()).unwrap_err();
    let base = at_once(Transport::Udp);
    for over in [
        WireOptions { loss: 1.0, ..base },
        WireOptions { loss: -0.1, ..base },
        WireOptions { reorder: f64::NAN, ..base },
        WireOptions { burst: 0, ..base },
        WireOptions { speed: Speed::Times(0.0), ..base },
        WireOptions { speed: Speed::Times(f64::INFINITY), ..base },
    ] {
        assert!(matches!(refused(over), SessionError::Wire(_)), "{over:?}");
    }
    let mut split = fixture.options("capture", Some(base));
    split.config.topology.mode = "split".into();
    assert!(replay(&split, &mut |_| {}).map(|_| ()).unwrap_err().to_string().contains("--topology fused"));
}

/// A session over sockets from its journal: with the same faults, or from the file where there were none.
#[test]
fn a_session_over_sockets_happens_again_from_its_journal() {
    let fixture = Fixture::get();
    // The first loss is the last the book knows: it has to be late enough for orders.
    let faulty = WireOptions { loss: 0.001, seed: 3, ..at_once(Transport::WebSocket) };
    for (name, over, from) in [("clean", at_once(Transport::Udp), None), ("faulty", faulty, Some(faulty))] {
        let record = fixture.path(name);
        let recorded =
            replay(&ReplayOptions { record: Some(record.clone()), ..fixture.options("capture", Some(over)) }, &mut |_| {});
        let recorded = recorded.expect("a recording").report;
        assert!(recorded.orders > 2, "{name}: {} orders are too few", recorded.orders);
        assert_eq!(wire(&recorded).lost > 0, from.is_some(), "{name}");
        let following = ReplayOptions { journal: Some(record), ..fixture.options("capture", from) };
        let followed = replay(&following, &mut |_| {}).expect("the session again").report;
        assert_eq!((followed.digest, followed.fills), (recorded.digest, recorded.fills), "{name}");
        if from.is_some() {
            let refused =
                replay(&ReplayOptions { over: None, ..following }, &mut |_| {}).expect_err("without the faults").to_string();
            assert!(refused.contains("the configuration is not that of the session"), "{refused}");
        }
    }
}

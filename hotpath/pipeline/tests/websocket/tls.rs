//! A stream over TLS against a real server with a certificate made for the test.

use super::{accept, drive};
use chronos_pipeline::ingress::{
    ConnectionLost, Endpoint, KeeperConfig, TlsConnector, TlsSetupError, WebSocketConfig, WebSocketFeed,
};
use chronos_tests::{TestCertificate, test_certificate};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::net::TcpListener;
use std::sync::Arc;
use tungstenite::Message;

fn server_config(certificate: &TestCertificate) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from(certificate.certificate.clone())];
    Arc::new(
        builder.with_no_client_auth().with_single_cert(chain, PrivatePkcs8KeyDer::from(certificate.key.clone()).into()).unwrap(),
    )
}

fn feed(listener: &TcpListener, trusted: &TestCertificate) -> WebSocketFeed {
    let address = listener.local_addr().unwrap();
    let tls = TlsConnector::with_roots([CertificateDer::from(trusted.certificate.clone())]).unwrap();
    let endpoint = Endpoint::new(&format!("wss://localhost:{}/ws", address.port()), vec![address]).with_tls(tls);
    WebSocketFeed::new(endpoint, KeeperConfig::default(), WebSocketConfig::default()).unwrap()
}

#[test]
fn messages_arrive_over_tls() {
    let certificate = test_certificate("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut feed = feed(&listener, &certificate);
    let config = server_config(&certificate);
    // Longer than a TLS record, so that one message takes several.
    let long = "l".repeat(100_000);
    let sent = [Message::text("one"), Message::Ping("ping".into()), Message::text(long.clone()), Message::text("three")];
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let stream = accept(&listener);
            let mut socket = tungstenite::accept(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)).unwrap();
            for message in sent {
                socket.send(message).unwrap();
            }
            assert_eq!(socket.read().unwrap(), Message::Pong("ping".into()));
            assert_eq!(socket.read().unwrap(), Message::text("said by the client"));
            socket.close(None).unwrap();
            while socket.read().is_ok() {}
        });
        assert_eq!(drive(&mut feed, |feed| feed.counters().messages == 3), ["one", long.as_str(), "three"]);
        feed.send_text("said by the client").unwrap();
        drive(&mut feed, |feed| feed.keeper_counters().lost == 1);
        assert_eq!(feed.last_lost(), Some(ConnectionLost::Closed));
        serving.join().unwrap();
    });
}

#[test]
fn a_certificate_nobody_vouches_for_is_refused() {
    let (theirs, trusted) = (test_certificate("localhost"), test_certificate("localhost"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut feed = feed(&listener, &trusted);
    let config = server_config(&theirs);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let stream = StreamOwned::new(ServerConnection::new(config).unwrap(), accept(&listener));
            assert!(tungstenite::accept(stream).is_err());
        });
        drive(&mut feed, |feed| feed.keeper_counters().failed == 1);
        serving.join().unwrap();
    });
    assert_eq!((feed.counters().messages, feed.keeper_counters().opened), (0, 0));
}

#[test]
fn without_a_root_there_is_no_tls() {
    assert!(matches!(TlsConnector::with_roots([]), Err(TlsSetupError::NoRoots)));
    assert!(matches!(TlsConnector::with_roots([CertificateDer::from(vec![1, 2, 3])]), Err(TlsSetupError::NoRoots)));
}

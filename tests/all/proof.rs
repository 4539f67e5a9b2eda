//! A change stands only if the wire proves it: a private Postfix, broken in each way that its own check lets pass.

use crate::lab::postfix::Postfix;

#[test]
fn the_private_postfix_starts_reloads_and_stops() {
    let mut postfix = Postfix::new("mx.example.test").service("submission", "smtpd", "").start();
    postfix.reload();
    postfix.stop();
    assert!(std::net::TcpStream::connect(postfix.addr("mx")).is_err());
    postfix.launch();
}

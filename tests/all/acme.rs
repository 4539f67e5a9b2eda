//! The certificate errand against a real CA.

use crate::lab::pebble::{Options, Pebble, new_pebble};

#[test]
fn the_lab_has_a_ca() {
    for binary in [Options::default().binary, new_pebble()] {
        let pebble = Pebble::start(&Options { binary, ..Options::default() });
        let root = mxseal::certificate::Certificate::read_pem(pebble.root_pem().as_bytes()).unwrap();
        assert!(root[0].self_signed, "{root:?}");
        pebble.tell_dns("add-a", &serde_json::json!({"host": "mx.example.test.", "addresses": ["127.0.0.2"]}));
        assert_eq!((pebble.orders(), pebble.issued()), (0, 0));
    }
}

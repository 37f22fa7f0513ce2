//! The main path on a small tree.

mod small;

use bespoke_model::*;
use small::tree;

#[test]
fn a_pin_pulls_in_what_it_needs_and_what_was_pulled_in_leaves_again() {
    let tree = tree();
    let id = |s: &str| tree.find(s).unwrap();
    let mut d = Decisions::new();
    let before = tree.resolve(&d).unwrap();
    let on: Vec<&str> = before.on().map(|n| tree.node(n).id.as_str()).collect();
    assert_eq!(on, ["boot", "heap", "heap.talc"]);
    d.set("net.tcp", Some(Decision::ON));
    let r = tree.resolve(&d).unwrap();
    let on: Vec<&str> = r.on().map(|n| tree.node(n).id.as_str()).collect();
    assert_eq!(
        on,
        [
            "boot",
            "driver",
            "driver.virtio-net",
            "heap",
            "heap.talc",
            "net",
            "net.dns",
            "net.ipv4",
            "net.tcp",
            "net.tcp.sack"
        ]
    );
    assert_eq!(r.origin(id("net.ipv4")), &Origin::RequiredBy(id("net.tcp")));
    assert_eq!(r.origin(id("net.dns")), &Origin::RecommendedBy(id("net.tcp")));
    assert_eq!(r.origin(id("net.tcp")), &Origin::User);
    assert_eq!(r.member(id("heap")), Some(id("heap.talc")));
    d.set("net.tcp", None);
    assert_eq!(tree.resolve(&d).unwrap(), before);
    d.set("net.tcp", Some(Decision::ON));
    d.set("net.ipv4", Some(Decision::OFF));
    assert!(tree.resolve(&d).is_err());
}

#[test]
fn a_config_becomes_decisions_and_keeps_its_comments() {
    let tree = tree();
    let text = "# mine\nschema = 1\n[program]\npath = 'x' # the program\n\n[set]\n# why\n\"net.tcp\" = true # streams\n\"net.tcp.receive-buffer\" = \"128KiB\"\n";
    let mut config = Config::parse("c.toml", text).unwrap();
    assert!(tree.check(&config).is_empty());
    assert_eq!(config.to_string(), text);
    let d = Decisions::from_config(&config, &[]);
    let r = tree.resolve(&d).unwrap();
    assert_eq!(r.value(tree.find_param("net.tcp.receive-buffer").unwrap()), &Value::Size(128 << 10));
    config.set("net.tcp", Some(Decision::OFF));
    config.set("heap", Some("linked".into()));
    let want = "# mine\nschema = 1\n[program]\npath = 'x' # the program\n\n[set]\nheap = \"linked\"\n# why\n\"net.tcp\" = false # streams\n\"net.tcp.receive-buffer\" = \"128KiB\"\n";
    assert_eq!(config.to_string(), want);
}

#[test]
fn an_unknown_id_is_shown_where_it_stands() {
    let config = Config::parse("c.toml", "[set]\n\"net.tpc\" = true\n").unwrap();
    let want = "error: there is nothing called `net.tpc`\n --> c.toml:2:1\n  |\n2 | \"net.tpc\" = true\n  | ^^^^^^^^^\nhint: did you mean `net.tcp`?";
    assert_eq!(tree().check(&config).to_string(), want);
}

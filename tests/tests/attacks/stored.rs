//! Trusted metadata on the node itself, spoilt.

use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::client::{Client, TrustError};
use cutover_repository::open_read;
use cutover_tests::world::World;
use jiff::Timestamp;

use crate::besieged::{Trust, besieged, trusted, unharmed};

#[test]
fn stored_files_cut_or_changed_anywhere() {
    let world = World::new();
    let (node, _attacker, _) = besieged(&world);
    let trust = node.root.join("state/trust");
    let store = open_read(&world.repository().to_str().unwrap().parse().unwrap());
    let store = store.unwrap();
    let read = || -> Result<(), TrustError> {
        let mut client = Client::open(store.as_ref(), trust.clone(), Timestamp::now())?;
        assert!(client.find("releases/tiny/1.1.0/release.json")?.is_some());
        Ok(())
    };
    // Only what this search needs.
    for name in trusted(&node.root, Trust::Stays).keys().filter(|name| *name != "root.json") {
        std::fs::remove_file(trust.join(name)).unwrap();
    }
    read().unwrap();
    let files = trusted(&node.root, Trust::Stays);
    // Row 18: at the ends, in the signatures, between the two parts, in the middle; and too long.
    for (name, honest) in &files {
        let text = String::from_utf8(honest.clone()).unwrap();
        let joint = text.find("\"signed\"").unwrap();
        let places = [0, 1, 20, joint, joint + 12, honest.len() / 2, honest.len() - 1];
        let mut spoilt = vec![Vec::new(), vec![0; honest.len()], vec![b' '; 9 << 20]];
        for place in places {
            spoilt.push(honest[..place].to_vec());
            let mut flipped = honest.clone();
            flipped[place] ^= 4;
            spoilt.push(flipped);
        }
        for bad in spoilt {
            std::fs::write(trust.join(name), &bad).unwrap();
            let outcome = read();
            if name == "root.json" {
                let error = outcome.expect_err("a root that is not signed");
                assert!([Exit::NotTrusted, Exit::Usage].contains(&error.exit()), "{error}");
                std::fs::write(trust.join(name), honest).unwrap();
            } else {
                outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(&std::fs::read(trust.join(name)).unwrap() == honest, "{name} is mended");
            }
        }
    }
    unharmed(&node);
    // And as the operator sees it.
    std::fs::write(trust.join("root.json"), &files["root.json"][..40]).unwrap();
    let state = node.inventory();
    node.install(["1.0.0"]).refused(3, &["root.json is not trusted"]);
    assert_eq!((node.inventory(), node.current().as_deref()), (state, Some("1.1.0")));
}

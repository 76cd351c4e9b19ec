//! The drop-in that ships beside a unit file. There is no systemd to start the units here: its own
//! `systemd-analyze` reads them, and the command is run as it stands.

use std::process::Command;

use cutover_tests::world::{Run, World, free_address, get, source};

const UNIT: &str = "cutover-repo-server.service";

fn shipped(path: &str) -> String {
    let path = source("../packaging/systemd").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_server_with_the_online_keys_signs_by_itself() {
    let world = World::new();
    let drop_in = shipped(&format!("{UNIT}.d/online-keys.conf"));
    let folder = world.path("units");
    std::fs::create_dir_all(folder.join(format!("{UNIT}.d"))).unwrap();
    // The programs are not installed here; any one will do.
    let anywhere = |text: &str| text.replace("/usr/lib/cutover/bin/", "/usr/bin/env /");
    std::fs::write(folder.join(UNIT), anywhere(&shipped(UNIT))).unwrap();
    let beside = folder.join(format!("{UNIT}.d/online-keys.conf"));
    std::fs::write(&beside, anywhere(&drop_in)).unwrap();
    let analyze = |arguments: &[&str]| {
        Run::of(Command::new("systemd-analyze").args(arguments).arg(folder.join(UNIT)))
    };
    let verified = analyze(&["verify", "--man=no"]).ok();
    assert!(!verified.stderr.contains("cutover"), "{verified}");
    let _ = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]).ok();
    // It is read at all.
    std::fs::write(&beside, anywhere(&drop_in).replace("StateDirectory=", "StatDirectory="))
        .unwrap();
    assert!(analyze(&["verify", "--man=no"]).stderr.contains("StatDirectory"));

    std::fs::write(world.path("tokens"), "").unwrap();
    let online = world.path("online").display().to_string();
    std::fs::create_dir(&online).unwrap();
    for key in ["root.json", "snapshot.pem", "timestamp.pem"] {
        std::fs::copy(world.path("keys").join(key), world.path("online").join(key)).unwrap();
    }
    let command = drop_in.lines().rfind(|line| line.starts_with("ExecStart=/")).unwrap();
    let options = command.split_once("--listen ${LISTEN} ").unwrap().1;
    let options = options
        .replace("${CREDENTIALS_DIRECTORY}", &world.path("").display().to_string())
        .replace("/var/lib/cutover-online-keys", &online);
    let numbers = free_address();
    let options = format!("{options} --metrics {numbers}");
    let (mut server, _) = world.serve(&options.split(' ').collect::<Vec<_>>());
    let (_, metrics) = get(numbers, "/metrics").unwrap();
    assert!(metrics.contains("cutover_online_signed_total"), "{metrics}");
    assert_eq!(server.end(), Some(0));
}

//! What has to be right at the clients: shown, written as a registry file, and checked.

use testkit::Hierarchy;

const SERVER: &str = "https://wsus.pr1.example:8531";

#[test]
fn the_policies_of_clients_are_shown_written_and_checked() {
    let hierarchy = Hierarchy::new();
    let clients = |more: &[&str]| {
        let words = [&["doctor", "clients", SERVER], more].concat();
        hierarchy.run(&words)
    };
    let shown = clients(&[]).good();
    for part in [
        "WUServer",
        "UseWUServer",
        "AcceptTrustedPublisherCerts",
        SERVER,
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    // What it writes is what it asks for.
    let written = clients(&["--reg"]).good();
    let file = hierarchy.folder().join("client.reg");
    std::fs::write(&file, &written).unwrap();
    let path = file.display().to_string();
    clients(&["--check", &path]).good();
    // One value is another: it is named, and the exit code tells.
    let other = written.replacen(
        "\"UseWUServer\"=dword:00000001",
        "\"UseWUServer\"=dword:00000000",
        1,
    );
    assert_ne!(other, written);
    std::fs::write(&file, other).unwrap();
    let told = clients(&["--check", &path]);
    assert_eq!(told.status.code(), Some(1), "{told:?}");
    assert!(told.errors.contains("One policy in"), "{told:?}");
    let json = clients(&["--check", &path, "--json"]);
    assert_eq!(json.status.code(), Some(1));
    assert!(json.output.contains("AcceptTrustedPublisherCerts"));
    std::fs::write(&file, "Windows Registry Editor Version 5.00\r\n").unwrap();
    clients(&["--check", &path]).refused("holds no registry values");
    let wrong = hierarchy.run(&["doctor", "clients", "wsus.pr1.example"]);
    wrong.refused("http");
}

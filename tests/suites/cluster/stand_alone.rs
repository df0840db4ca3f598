//! A stand-alone primary site: the top of a hierarchy without a central site.

use testkit::Hierarchy;
use testkit::hierarchy::CENTRAL;

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_alone_primary_site_works_like_a_central_site() {
    let mut hierarchy = Hierarchy::new();
    hierarchy
        .upstream(["--generate", "200", "--seed", "5"])
        .await;
    let as_primary = |launch: testkit::process::Launch| launch.with("--site-kind").with("primary");
    hierarchy.central_with(as_primary).await;

    let token = ["site", "token", "PR2", "--kind", "primary"];
    hierarchy
        .run(&token)
        .refused("below a primary site there are secondary sites");
    hierarchy.join("SE1", "secondary", CENTRAL).await;
    hierarchy.run(&["sync", "start", "--wait"]).good();

    let sites = hierarchy.run(&["site", "list", "--json"]).json();
    let of = |code: &str| {
        let all = sites["sites"].as_array().unwrap().iter();
        all.clone()
            .find(|site| site["site_code"] == code)
            .unwrap()
            .clone()
    };
    let (top, below) = (of(CENTRAL), of("SE1"));
    assert_eq!(top["site_kind"], "primary");
    assert_eq!(top["root"], below["root"]);
    assert!(top["items"].as_u64().unwrap() > 200);

    hierarchy.stop(CENTRAL).await;
    let as_central = ["central", "--site-code", CENTRAL, "--listen", "127.0.0.1:0"];
    hierarchy
        .run(&as_central)
        .refused("start it with the site-kind that it had");
}

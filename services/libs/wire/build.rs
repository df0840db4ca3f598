//! Compiles `/proto` without protoc, and keeps the descriptors for reflection.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../../proto";
    println!("cargo:rerun-if-changed={root}");
    let files = [
        "catalog_item",
        "alert",
        "approval",
        "downstream",
        "enrollment",
        "notification",
        "package",
        "site_link",
        "admin",
        "run",
        "settings",
        "access",
        "content_admin",
        "content",
        "person",
    ]
    .map(|name| format!("headwater/v1/{name}.proto"));
    let descriptors = protox::compile(files, [root])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "Cargo tells a build script where to write through the environment"
    )]
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".headwater.v1.Change")
        .bytes(".headwater.v1.PullResponse")
        .bytes(".headwater.v1.FetchItemsResponse")
        .bytes(".headwater.v1.FetchContentResponse")
        .compile_fds(descriptors)?;
    Ok(())
}

//! Rules of applicability. Nobody evaluates them here; they give documents their true shape and length.

use super::random::Random;
use super::text::{CLASSES, VENDORS};
use super::xml::{Xml, namespace};
use jiff::Timestamp;

/// How many of 1000 members of cumulative updates carry a component manifest.
const WITH_MANIFEST: u64 = 20;
/// Length of a component manifest, in bytes.
const MANIFEST: (u64, u64) = (50_000, 800_000);

/// Rules that look into the registry and at files.
pub(super) fn registry(xml: &mut Xml, random: &mut Random, kb: u32) {
    let (bar, lar) = (namespace::BASE_RULES, namespace::LOGICAL_RULES);
    xml.put(format_args!(
        concat!(
            r#"<upd:ApplicabilityRules><upd:IsInstalled><lar:Or xmlns:lar="{lar}">"#,
            r#"<bar:RegKeyExists Key="HKEY_LOCAL_MACHINE" Subkey="SOFTWARE\Microsoft\Updates\KB{kb}" xmlns:bar="{bar}" />"#,
        ),
        kb = kb,
        lar = lar,
        bar = bar
    ));
    versions(xml, random);
    xml.raw("</lar:Or></upd:IsInstalled><upd:IsInstallable>");
    if random.chance(750) {
        xml.put(format_args!(
            r#"<lar:True xmlns:lar="{lar}" /></upd:IsInstallable></upd:ApplicabilityRules>"#
        ));
        return;
    }
    xml.put(format_args!(r#"<lar:And xmlns:lar="{lar}">"#));
    versions(xml, random);
    xml.put(format_args!(
        concat!(
            r#"<lar:Not><bar:RegDword Key="HKEY_LOCAL_MACHINE" Subkey="SOFTWARE\Policies\Microsoft\KB{}" "#,
            r#"Value="Block" Comparison="EqualTo" Data="1" xmlns:bar="{}" /></lar:Not>"#,
            "</lar:And></upd:IsInstallable></upd:ApplicabilityRules>",
        ),
        kb, bar
    ));
}

/// A few versions of files and values: most updates ask for one or two, some for dozens.
fn versions(xml: &mut Xml, random: &mut Random) {
    let bar = namespace::BASE_RULES;
    let mut count = 1;
    while count < 40 && random.chance(250) {
        count += 1;
    }
    for _ in 0..count {
        let version = [
            random.between(6, 16),
            random.below(10),
            random.below(30_000),
            random.below(9000),
        ];
        let [major, minor, build, patch] = version;
        if random.chance(500) {
            xml.put(format_args!(
                concat!(
                    r#"<bar:FileVersion Csidl="37" Path="module{}.dll" Version="{}.{}.{}.{}" "#,
                    r#"Comparison="GreaterThanOrEqualTo" xmlns:bar="{}" />"#,
                ),
                random.below(1000),
                major,
                minor,
                build,
                patch,
                bar
            ));
        } else {
            xml.put(format_args!(
                concat!(
                    r#"<bar:RegSzToVersion Key="HKEY_LOCAL_MACHINE" Subkey="SOFTWARE\Microsoft\Component{}\Setup" "#,
                    r#"Value="Version" Comparison="LessThan" Data="{}.{}.{}.{}" xmlns:bar="{}" />"#,
                ),
                random.below(1000),
                major,
                minor,
                build,
                patch,
                bar
            ));
        }
    }
}

/// Rules of Windows Installer, under either of the prefixes that real documents use.
pub(super) fn installer(xml: &mut Xml, random: &mut Random) {
    let prefix = if random.chance(500) { "mar" } else { "msiar" };
    let uri = namespace::MSI_RULES;
    let patch = random.guid();
    xml.put(format_args!(
        r#"<upd:ApplicabilityRules><upd:IsInstalled><lar:Or xmlns:lar="{}">"#,
        namespace::LOGICAL_RULES
    ));
    let mut products = 1;
    while products < 24 && random.chance(520) {
        products += 1;
    }
    for _ in 0..products {
        xml.put(format_args!(
            r#"<{prefix}:MsiPatchInstalledForProduct PatchCode="{{{patch}}}" ProductCode="{{{}}}" xmlns:{prefix}="{uri}" />"#,
            random.guid()
        ));
    }
    xml.put(format_args!(
        concat!(
            "</lar:Or></upd:IsInstalled><upd:IsInstallable>",
            r#"<{prefix}:MsiProductInstalled ProductCode="{{{}}}" VersionMin="15.0.4420.1017" xmlns:{prefix}="{uri}" />"#,
            "</upd:IsInstallable></upd:ApplicabilityRules>",
        ),
        random.guid(),
        prefix = prefix,
        uri = uri
    ));
}

/// Rules of component based servicing. A few carry the whole manifest of their components, which is
/// what makes real documents megabytes long.
pub(super) fn servicing(xml: &mut Xml, random: &mut Random, kb: u32) {
    let uri = namespace::CBS_RULES;
    xml.put(format_args!(
        concat!(
            r#"<upd:ApplicabilityRules><upd:IsInstalled><cbsar:CbsPackageInstalled xmlns:cbsar="{uri}" /></upd:IsInstalled>"#,
            r#"<upd:IsInstallable><cbsar:CbsPackageInstallable xmlns:cbsar="{uri}" /></upd:IsInstallable>"#,
        ),
        uri = uri,
    ));
    if random.chance(400) {
        xml.raw("</upd:ApplicabilityRules>");
        return;
    }
    xml.put(format_args!(
        concat!(
            r#"<upd:Metadata><cbsar:CbsPackageApplicabilityMetadata xmlns:cbsar="{uri}">"#,
            r#"<assembly manifestVersion="1.0" xmlns="urn:schemas-microsoft-com:asm.v3">"#,
            r#"<assemblyIdentity name="Package_for_KB{kb}" version="10.0.1.{build}" language="neutral" "#,
            r#"processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" />"#,
            r#"<package identifier="KB{kb}" releaseType="Security Update" restart="possible">"#,
        ),
        uri = uri,
        kb = kb,
        build = random.below(30),
    ));
    let length = if random.chance(WITH_MANIFEST) {
        // Of two draws the smaller: short manifests are more frequent than long ones.
        let draw = |random: &mut Random| random.between(MANIFEST.0, MANIFEST.1);
        draw(random).min(draw(random))
    } else {
        random.between(0, 700)
    };
    let end = xml.len() + usize::try_from(length).unwrap_or(0);
    while xml.len() < end {
        xml.put(format_args!(
            concat!(
                r#"<update name="{kb}-{number}_neutral"><package contained="false" integrate="hidden">"#,
                r#"<assemblyIdentity name="Microsoft-Windows-{name:08x}-Package" version="10.0.{build}.{patch}" "#,
                r#"language="neutral" processorArchitecture="amd64" publicKeyToken="31bf3856ad364e35" />"#,
                "</package></update>",
            ),
            kb = kb,
            number = random.below(100_000),
            name = random.below(1 << 32),
            build = 10_000 + random.below(17_000),
            patch = random.below(9000),
        ));
    }
    xml.raw("</package></assembly></cbsar:CbsPackageApplicabilityMetadata></upd:Metadata></upd:ApplicabilityRules>");
}

/// What a driver says about the hardware it is for.
pub(super) fn driver(xml: &mut Xml, random: &mut Random, created: Timestamp) {
    let uri = namespace::WINDOWS_DRIVER;
    let vendor = random.pick(&VENDORS);
    xml.put(format_args!(
        concat!(
            r#"<upd:ApplicabilityRules><upd:IsInstalled><drv:WindowsDriverInstalled xmlns:drv="{uri}" /></upd:IsInstalled>"#,
            r#"<upd:IsInstallable><drv:WindowsDriverInstallable xmlns:drv="{uri}" /></upd:IsInstallable>"#,
            r#"<upd:IsSuperseded><drv:WindowsDriverSuperseded xmlns:drv="{uri}" /></upd:IsSuperseded><upd:Metadata>"#,
            r#"<drv:WindowsDriverMetaData HardwareID="pci\ven_{ven:04x}&amp;dev_{dev:04x}&amp;subsys_{sub:08x}" "#,
            r#"DriverVerDate="{date}" DriverVerVersion="{major}.{minor}.{build}.0" Class="{class}" Company="{vendor}" "#,
            r#"Provider="{vendor}" Manufacturer="{vendor}" Model="{vendor} device {dev}" WhqlDriverID="{whql}" xmlns:drv="{uri}">"#,
        ),
        uri = uri,
        ven = random.below(0x1_0000),
        dev = random.below(0x1_0000),
        sub = random.below(1 << 32),
        date = created.strftime("%Y-%m-%d"),
        major = random.between(1, 31),
        minor = random.below(100),
        build = random.below(10_000),
        class = random.pick(&CLASSES),
        vendor = vendor,
        whql = random.below(100_000_000),
    ));
    for system in ["Windows 10.0", "Windows 6.3"] {
        xml.put(format_args!(
            r#"<drv:FeatureScore OperatingSystem="{system}" FeatureScore="{:02x}" />"#,
            random.below(256)
        ));
    }
    for _ in 0..random.below(12) {
        xml.put(format_args!(
            "<drv:DistributionComputerHardwareId>{}</drv:DistributionComputerHardwareId>",
            random.guid()
        ));
    }
    xml.raw("</drv:WindowsDriverMetaData></upd:Metadata></upd:ApplicabilityRules>");
}

//! Identifiers of categories that Microsoft publishes (WSUS-PROTOCOL section 7), in the titles of 2024.
//!
//! Titles change over time: what is shown comes from the synchronized categories, and these are for code
//! that must name one, and for the stand-in for Microsoft Update.

use crate::UpdateId;

/// A category with its identifier and its English title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The category.
    pub id: UpdateId,
    /// Its English title.
    pub title: &'static str,
}

/// A product with the family that it stands below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// The product.
    pub id: UpdateId,
    /// Its English title. Not unique: some products of different families share one.
    pub title: &'static str,
    /// Its family.
    pub family: UpdateId,
}

/// The company Microsoft: the root of the tree of categories.
pub const MICROSOFT: Named = named(0x56309036_4c77_4dd9_951a_99ee9c246a94, "Microsoft");

/// The company of updates that administrators publish themselves.
pub const LOCAL_PUBLISHER: Named = named(0x7c40e8c2_01ae_47f5_9af2_6e75a0582518, "Local Publisher");

/// Applications.
pub const APPLICATIONS: Named = named(0x5c9376ab_8ce6_464a_b136_22113dd69801, "Applications");
/// Critical updates, counted as critical.
pub const CRITICAL_UPDATES: Named =
    named(0xe6cf1350_c01b_414d_a61f_263d14d133b4, "Critical Updates");
/// Definitions of Defender and the like, several a day.
pub const DEFINITION_UPDATES: Named =
    named(0xe0789628_ce08_4437_be74_2495b842f43b, "Definition Updates");
/// Bundles of drivers for a model of computer.
pub const DRIVER_SETS: Named = named(0x77835c8d_62a7_41f5_82ad_f28d1af1e3b1, "Driver Sets");
/// Drivers.
pub const DRIVERS: Named = named(0xebfc1fc5_71a4_4f7b_9aca_3b9a503104a0, "Drivers");
/// Feature packs.
pub const FEATURE_PACKS: Named = named(0xb54e7d24_7add_428f_8b75_90a396fa584f, "Feature Packs");
/// Security updates, counted as critical.
pub const SECURITY_UPDATES: Named =
    named(0x0fa1201d_4330_4fa8_8ae9_b877473b6441, "Security Updates");
/// Service packs.
pub const SERVICE_PACKS: Named = named(0x68c5b0a3_d1a6_4553_ae49_01d3a7827828, "Service Packs");
/// Tools.
pub const TOOLS: Named = named(0xb4832bd8_e735_4761_8daf_37f882276dab, "Tools");
/// Update rollups.
pub const UPDATE_ROLLUPS: Named = named(0x28bc880e_0592_4cbf_8f95_c79b17911d5f, "Update Rollups");
/// Other updates, monthly previews among them.
pub const UPDATES: Named = named(0xcd5ffd1e_e932_4e3a_bf74_18bf0b1bbd83, "Updates");
/// Feature updates of Windows.
pub const UPGRADES: Named = named(0x3689bdc8_b205_4af4_8d4a_a63924c5e9d5, "Upgrades");

/// All classifications.
pub const CLASSIFICATIONS: [Named; 12] = [
    APPLICATIONS,
    CRITICAL_UPDATES,
    DEFINITION_UPDATES,
    DRIVER_SETS,
    DRIVERS,
    FEATURE_PACKS,
    SECURITY_UPDATES,
    SERVICE_PACKS,
    TOOLS,
    UPDATE_ROLLUPS,
    UPDATES,
    UPGRADES,
];

/// The family Azure Connected Machine Agent.
pub const FAMILY_AZURE_CONNECTED_MACHINE_AGENT: Named = named(
    0xc3c0da06_200f_4b81_87fd_b93503b4776c,
    "Azure Connected Machine Agent",
);
/// The family Azure File Sync.
pub const FAMILY_AZURE_FILE_SYNC: Named =
    named(0x9d6f2556_534f_047e_5ec9_91bf0da81a75, "Azure File Sync");
/// The family Developer Tools, Runtimes, and Redistributables.
pub const FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES: Named = named(
    0x48ce8c86_6850_4f68_8e9d_7dc8535ced60,
    "Developer Tools, Runtimes, and Redistributables",
);
/// The family Exchange.
pub const FAMILY_EXCHANGE: Named = named(0x352f9494_d516_4b40_a21a_cd2416098982, "Exchange");
/// The family Office.
pub const FAMILY_OFFICE: Named = named(0x477b856e_65c4_4473_b621_a8b230bb70d9, "Office");
/// The family PowerShell.
pub const FAMILY_POWERSHELL: Named = named(0xfca452fc_9a11_ca4a_bf3e_0a0cef82a80e, "PowerShell");
/// The family SQL Server.
pub const FAMILY_SQL_SERVER: Named = named(0x0a4c6c73_8887_4d7f_9cbe_d08fa8fa9d1e, "SQL Server");
/// The family Windows.
pub const FAMILY_WINDOWS: Named = named(0x6964aab4_c5b5_43bd_a17d_ffb4346a8e1d, "Windows");
/// The family Windows Admin Center.
pub const FAMILY_WINDOWS_ADMIN_CENTER: Named = named(
    0xa871ee2d_7499_6719_3781_8c63a1642990,
    "Windows Admin Center",
);

/// The families of [`PRODUCTS`].
pub const FAMILIES: [Named; 9] = [
    FAMILY_AZURE_CONNECTED_MACHINE_AGENT,
    FAMILY_AZURE_FILE_SYNC,
    FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    FAMILY_EXCHANGE,
    FAMILY_OFFICE,
    FAMILY_POWERSHELL,
    FAMILY_SQL_SERVER,
    FAMILY_WINDOWS,
    FAMILY_WINDOWS_ADMIN_CENTER,
];

/// The products that are most often synchronized.
pub const PRODUCTS: [Product; 44] = [
    product(
        0x72e7624a_5b00_45d2_b92f_e561c0a6a160,
        "Windows 11",
        FAMILY_WINDOWS,
    ),
    product(
        0xa3c2375d_0c8a_42f9_bce0_28333e198407,
        "Windows 10",
        FAMILY_WINDOWS,
    ),
    product(
        0xb3c75dc1_155f_4be4_b015_3f1a91758e52,
        "Windows 10, version 1903 and later",
        FAMILY_WINDOWS,
    ),
    product(
        0xd2085b71_5f1f_43a9_880d_ed159016d5c6,
        "Windows 10 LTSB",
        FAMILY_WINDOWS,
    ),
    product(
        0x6407468e_edc7_4ecd_8c32_521f64cee65e,
        "Windows 8.1",
        FAMILY_WINDOWS,
    ),
    product(
        0xbfe5b177_a086_47a0_b102_097e4fa1f807,
        "Windows 7",
        FAMILY_WINDOWS,
    ),
    product(
        0xfdfe8200_9d98_44ba_a12a_772282bf60ef,
        "Windows Server 2008 R2",
        FAMILY_WINDOWS,
    ),
    product(
        0xa105a108_7c9b_4518_bbbe_73f0fe30012b,
        "Windows Server 2012",
        FAMILY_WINDOWS,
    ),
    product(
        0xd31bd4c3_d872_41c9_a2e7_231f372588cb,
        "Windows Server 2012 R2",
        FAMILY_WINDOWS,
    ),
    product(
        0x569e8e8f_c6cd_42c8_92a3_efbb20a0f6f5,
        "Windows Server 2016",
        FAMILY_WINDOWS,
    ),
    product(
        0xf702a48c_919b_45d6_9aef_ca4248d50397,
        "Windows Server 2019",
        FAMILY_WINDOWS,
    ),
    product(
        0x21210d67_50bc_4254_a695_281765e10665,
        "Windows Server, version 1903 and later",
        FAMILY_WINDOWS,
    ),
    product(
        0x71718f13_7324_4b0f_8f9e_2ca9dc978e53,
        "Microsoft Server operating system-21H2",
        FAMILY_WINDOWS,
    ),
    product(
        0x2c7888b6_f9e9_4ee9_87af_a77705193893,
        "Microsoft Server Operating System-22H2",
        FAMILY_WINDOWS,
    ),
    product(
        0x607efb8d_feed_48a0_930e_14d0cf2da71f,
        "Microsoft Server Operating System-23H2",
        FAMILY_WINDOWS,
    ),
    product(
        0xb256987d_4693_4c87_955d_dbb9341205eb,
        "Microsoft Server Operating System-24H2",
        FAMILY_WINDOWS,
    ),
    product(
        0x8c3fcc84_7410_4a95_8b89_a166a0190486,
        "Microsoft Defender Antivirus",
        FAMILY_WINDOWS,
    ),
    product(
        0x69010383_ff55_4227_bd6c_d91c26f2643b,
        "Microsoft Edge",
        FAMILY_WINDOWS,
    ),
    product(
        0x30eb551c_6288_4716_9a78_f300ec36d72b,
        "Microsoft 365 Apps/Office 2019/Office LTSC",
        FAMILY_OFFICE,
    ),
    product(
        0x25aed893_7c2d_4a31_ae22_28ff8ac150ed,
        "Office 2016",
        FAMILY_OFFICE,
    ),
    product(
        0x93f0b0bc_9c20_4ca5_b630_06eb4706a447,
        "Microsoft SQL Server 2016",
        FAMILY_SQL_SERVER,
    ),
    product(
        0xca6616aa_6310_4c2d_a6bf_cae700b85e86,
        "Microsoft SQL Server 2017",
        FAMILY_SQL_SERVER,
    ),
    product(
        0x97b8b817_fce1_44e4_ac26_61127d4604c0,
        "Microsoft SQL Server 2019",
        FAMILY_SQL_SERVER,
    ),
    product(
        0xaeefa997_63b8_4c01_b19c_c19e1081b4ce,
        "Microsoft SQL Server 2022",
        FAMILY_SQL_SERVER,
    ),
    product(
        0x49c3ddde_4df2_4534_980c_83f4e27b23b5,
        "Exchange Server 2016",
        FAMILY_EXCHANGE,
    ),
    product(
        0xf7fcd7d7_a163_4b27_970a_48bc02023df1,
        "Exchange Server 2019",
        FAMILY_EXCHANGE,
    ),
    product(
        0xbc0fee21_742f_4d06_8b37_4fd520873c74,
        "SharePoint Server Subscription Edition",
        FAMILY_OFFICE,
    ),
    product(
        0x6c5f2e66_7dbc_4c59_90a7_849c4c649d7a,
        "SharePoint Server 2019/Office Online Server",
        FAMILY_OFFICE,
    ),
    product(
        0x3a8f2a23_211a_4969_9f10_50ee09f0a2db,
        ".NET 6.0",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
    product(
        0x64ccdfc7_8e8c_4404_a572_a3daf7dff673,
        ".NET 8.0",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
    product(
        0x2ff883b0_b409_4328_ab13_ec77f5bdb864,
        "PowerShell - x64",
        FAMILY_POWERSHELL,
    ),
    product(
        0x682005f1_54fd_440f_b3b3_b9c652351d01,
        "Visual Studio 2017",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
    product(
        0x5f4177e2_ad09_4066_9050_b7466ad5b078,
        "Visual Studio 2019",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
    product(
        0x12c24e87_bd40_451b_9477_2c2bf501e0d7,
        "Visual Studio 2022",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
    product(
        0x52561474_cdfa_4717_8692_bf8d58abc425,
        "Microsoft Defender for Endpoint",
        FAMILY_WINDOWS,
    ),
    product(
        0x05eebf61_148b_43cf_80da_1c99ab0b8699,
        "Windows 10 and later drivers",
        FAMILY_WINDOWS,
    ),
    product(
        0xe4b04398_adbd_4b69_93b9_477322331cd3,
        "Windows 10 and later Dynamic Update",
        FAMILY_WINDOWS,
    ),
    product(
        0xab1852d6_15fd_4bf0_acd1_d276a5ea82fb,
        "Windows 11 Dynamic Update",
        FAMILY_WINDOWS,
    ),
    product(
        0xcaab596c_64f2_4aa9_bbe3_784c6e2ccf9c,
        "Microsoft SQL Server 2014",
        FAMILY_SQL_SERVER,
    ),
    product(
        0x704a0a4a_518f_4d69_9e03_10ba44198bd5,
        "Office 2013",
        FAMILY_OFFICE,
    ),
    product(
        0x84a044f8_631c_4eb5_90be_9f1d127d6cc2,
        "Azure File Sync agent updates for Windows Server 2019",
        FAMILY_AZURE_FILE_SYNC,
    ),
    product(
        0x589e5715_19b7_44c2_a532_5775dea30c0f,
        "Azure Connected Machine Agent 3",
        FAMILY_AZURE_CONNECTED_MACHINE_AGENT,
    ),
    product(
        0xb1b8f641_1ff2_4ae6_b247_4fe7503787be,
        "Windows Admin Center",
        FAMILY_WINDOWS_ADMIN_CENTER,
    ),
    product(
        0x6e56e6da_f22f_47c9_97b4_510153a06740,
        "Windows Server 2019",
        FAMILY_DEVELOPER_TOOLS_RUNTIMES_AND_REDISTRIBUTABLES,
    ),
];

const fn named(id: u128, title: &'static str) -> Named {
    Named {
        id: UpdateId::from_u128(id),
        title,
    }
}

const fn product(id: u128, title: &'static str, family: Named) -> Product {
    Product {
        id: UpdateId::from_u128(id),
        title,
        family: family.id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_identifier_is_listed_twice() {
        let ids = CLASSIFICATIONS
            .iter()
            .chain(&FAMILIES)
            .map(|named| named.id);
        let ids = ids.chain(PRODUCTS.iter().map(|product| product.id));
        let all: Vec<UpdateId> = ids.chain([MICROSOFT.id, LOCAL_PUBLISHER.id]).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn every_product_stands_below_a_listed_family() {
        for product in PRODUCTS {
            assert!(
                FAMILIES.iter().any(|family| family.id == product.family),
                "{}",
                product.title
            );
        }
    }
}

//! The languages of titles and locale detectoids.

/// A language of the catalog.
pub(super) struct Language {
    /// As written in documents.
    pub(super) code: &'static str,
    /// Windows locale number.
    pub(super) lcid: u32,
    /// Stands before the product in a title, `None` where titles are not translated.
    pub(super) title: Option<&'static str>,
    /// A description, in languages that have a title.
    pub(super) description: &'static str,
}

const fn plain(code: &'static str, lcid: u32) -> Language {
    Language {
        code,
        lcid,
        title: None,
        description: "",
    }
}

const fn translated(
    code: &'static str,
    lcid: u32,
    title: &'static str,
    description: &'static str,
) -> Language {
    Language {
        code,
        lcid,
        title: Some(title),
        description,
    }
}

/// The languages of WSUS but English (WSUS-PROTOCOL section 2.3).
pub(super) const LANGUAGES: [Language; 37] = [
    translated(
        "ar",
        1025,
        "تحديث لـ ",
        "قم بتثبيت هذا التحديث لحل المشكلات في النظام. للحصول على قائمة كاملة بالمشكلات المضمنة في هذا التحديث، راجع مقالة قاعدة المعارف المقترنة لمزيد من المعلومات.",
    ),
    plain("bg", 1026),
    translated(
        "zh-tw",
        1028,
        "更新 - ",
        "安裝此更新程式以解決系統問題。如需此更新程式中包含的完整問題清單,請參閱相關的知識庫文章以取得詳細資訊。安裝此項目後,您可能必須重新啟動電腦。",
    ),
    translated(
        "cs",
        1029,
        "Aktualizace pro ",
        "Nainstalováním této aktualizace vyřešíte problémy v systému. Úplný seznam problémů zahrnutých v této aktualizaci naleznete v souvisejícím článku znalostní báze.",
    ),
    plain("da", 1030),
    translated(
        "de",
        1031,
        "Update für ",
        "Installieren Sie dieses Update, um Probleme im System zu beheben. Eine vollständige Liste der Probleme, die mit diesem Update behoben werden, finden Sie im zugehörigen Knowledge Base-Artikel. Nach der Installation ist möglicherweise ein Neustart erforderlich.",
    ),
    translated(
        "el",
        1032,
        "Ενημέρωση για ",
        "Εγκαταστήστε αυτήν την ενημέρωση για να επιλύσετε ζητήματα στο σύστημα. Για πλήρη λίστα των ζητημάτων, ανατρέξτε στο σχετικό άρθρο της Γνωσιακής βάσης.",
    ),
    translated(
        "es",
        1034,
        "Actualización para ",
        "Instale esta actualización para resolver problemas del sistema. Para obtener una lista completa de los problemas que se incluyen en esta actualización, consulte el artículo asociado de Knowledge Base. Después de instalar este elemento, es posible que deba reiniciar el equipo.",
    ),
    plain("fi", 1035),
    translated(
        "fr",
        1036,
        "Mise à jour pour ",
        "Installez cette mise à jour afin de résoudre des problèmes du système. Pour obtenir la liste complète des problèmes résolus par cette mise à jour, consultez l'article correspondant de la Base de connaissances. Après l'installation, il se peut que vous deviez redémarrer l'ordinateur.",
    ),
    plain("he", 1037),
    plain("hu", 1038),
    translated(
        "it",
        1040,
        "Aggiornamento per ",
        "Installare questo aggiornamento per risolvere alcuni problemi del sistema. Per un elenco completo dei problemi inclusi in questo aggiornamento, vedere l'articolo della Knowledge Base associato.",
    ),
    translated(
        "ja",
        1041,
        "更新プログラム: ",
        "この更新プログラムをインストールすると、システムの問題が修正されます。この更新プログラムに含まれる問題の完全な一覧については、関連するサポート技術情報の記事を参照してください。インストール後、コンピューターの再起動が必要になる場合があります。",
    ),
    translated(
        "ko",
        1042,
        "업데이트: ",
        "시스템의 문제를 해결하려면 이 업데이트를 설치하십시오. 이 업데이트에 포함된 문제의 전체 목록은 관련 기술 자료 문서를 참조하십시오. 설치 후 컴퓨터를 다시 시작해야 할 수 있습니다.",
    ),
    plain("nl", 1043),
    plain("no", 1044),
    translated(
        "pl",
        1045,
        "Aktualizacja dla ",
        "Zainstaluj tę aktualizację, aby rozwiązać problemy w systemie. Pełną listę problemów zawiera skojarzony artykuł z bazy wiedzy. Po zainstalowaniu może być konieczne ponowne uruchomienie komputera.",
    ),
    translated(
        "pt-br",
        1046,
        "Atualização para ",
        "Instale esta atualização para resolver problemas no sistema. Para obter uma lista completa dos problemas incluídos nesta atualização, consulte o artigo associado da Base de Dados de Conhecimento.",
    ),
    plain("ro", 1048),
    translated(
        "ru",
        1049,
        "Обновление для ",
        "Установите это обновление, чтобы устранить проблемы в системе. Полный список проблем, устраняемых этим обновлением, см. в соответствующей статье базы знаний. После установки может потребоваться перезагрузить компьютер.",
    ),
    plain("hr", 1050),
    plain("sk", 1051),
    translated(
        "sv",
        1053,
        "Uppdatering för ",
        "Installera uppdateringen om du vill lösa problem i systemet. En fullständig lista över problem finns i den tillhörande artikeln i Knowledge Base.",
    ),
    plain("th", 1054),
    translated(
        "tr",
        1055,
        "Güncelleştirme: ",
        "Sistemdeki sorunları çözmek için bu güncelleştirmeyi yükleyin. Sorunların tam listesi için ilişkili Bilgi Bankası makalesine bakın.",
    ),
    plain("uk", 1058),
    plain("sl", 1060),
    plain("et", 1061),
    plain("lv", 1062),
    plain("lt", 1063),
    plain("hi", 1081),
    translated(
        "zh-cn",
        2052,
        "更新 - ",
        "安装此更新以解决系统中的问题。有关此更新中包含的问题的完整列表,请参阅相关知识库文章以了解详细信息。安装此项目之后,可能必须重新启动计算机。",
    ),
    plain("pt", 2070),
    plain("sr", 2074),
    plain("zh-hk", 3076),
    plain("ja-nec", 66577),
];

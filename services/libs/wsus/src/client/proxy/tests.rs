use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

fn proxy(host: &str) -> Proxy {
    Proxy {
        host: host.to_owned(),
        port: 8080,
        credentials: None,
        allow_basic_authentication: false,
    }
}

fn signing_in(user: &str, domain: Option<&str>, password: &str) -> Proxy {
    Proxy {
        credentials: Some(Credentials {
            user: user.to_owned(),
            domain: domain.map(str::to_owned),
            password: password.into(),
        }),
        allow_basic_authentication: true,
        ..proxy("proxy.example")
    }
}

/// What is sent, in the clear.
fn sent(proxy: &Proxy) -> String {
    let value = proxy.way().unwrap().authorization.unwrap();
    let value = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
    String::from_utf8(STANDARD.decode(value).unwrap()).unwrap()
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for (given, address) in [
        ("proxy", "proxy:8080"),
        (" Proxy.Example ", "proxy.example:8080"),
        ("bücher.example", "xn--bcher-kva.example:8080"),
        ("10.0.0.1", "10.0.0.1:8080"),
        ("fd00::1", "[fd00::1]:8080"),
        ("[FD00::1]", "[fd00::1]:8080"),
    ] {
        let way = proxy(given).way().unwrap();
        assert_eq!(way.address, address);
        way.for_reqwest().unwrap();
    }
}

#[test]
fn a_host_that_is_more_than_that_is_refused_by_the_name_of_its_setting() {
    for (given, reason) in [
        ("", "empty"),
        ("  ", "empty"),
        ("http://proxy", "scheme such as http://"),
        ("proxy:3128", "holds a port"),
        ("fd00::g", "no IPv6 address"),
        ("proxy/wpad.dat", "path"),
        ("two words", "neither a name nor an address"),
        ("[proxy", "neither a name nor an address"),
    ] {
        let text = proxy(given).check().unwrap_err().to_string();
        assert!(text.contains("proxy.host"), "{text}");
        assert!(text.contains(reason), "{given}: {text}");
    }
}

#[test]
fn a_password_in_the_host_is_not_shown() {
    for given in ["jane:hunter2@proxy", "http://jane:hunter2@proxy:80/"] {
        let refusal = proxy(given).check().unwrap_err();
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    }
}

#[test]
fn a_port_of_0_is_refused() {
    let nowhere = Proxy {
        port: 0,
        ..proxy("proxy")
    };
    assert_eq!(nowhere.check(), Err(ProxyRefusal::Port));
}

#[test]
fn a_user_signs_in_with_the_domain_before_the_name() {
    assert_eq!(sent(&signing_in("jane", None, "a b:c")), "jane:a b:c");
    assert_eq!(sent(&signing_in("jane", Some(""), "")), "jane:");
    assert_eq!(
        sent(&signing_in("jane", Some("CORP"), "pass")),
        r"CORP\jane:pass"
    );
    assert_eq!(
        sent(&signing_in(r"CORP\jane", None, "pÄss")),
        r"CORP\jane:pÄss"
    );
}

#[test]
fn a_user_that_cannot_be_said_is_refused() {
    for (user, domain, password) in [
        ("", None, "hunter2"),
        ("ja:ne", None, "hunter2"),
        ("jane", Some("CO:RP"), "hunter2"),
        (r"CORP\jane", Some("CORP"), "hunter2"),
        ("jane\n", None, "hunter2"),
        ("jane", None, "hunter2\r\n"),
    ] {
        let refusal = signing_in(user, domain, password).check().unwrap_err();
        assert!(matches!(refusal, ProxyRefusal::User { .. }), "{refusal}");
        assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
    }
}

#[test]
fn a_user_without_leave_to_send_the_password_is_refused_with_what_to_do() {
    let quiet = Proxy {
        allow_basic_authentication: false,
        ..signing_in("jane", Some("CORP"), "hunter2")
    };
    let text = quiet.check().unwrap_err().to_string();
    for part in [
        r"the user CORP\jane of the proxy proxy.example:8080",
        "not NTLM",
        "proxy.allow-basic-authentication",
        "relay",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn nobody_is_shown_the_password() {
    let proxy = signing_in("jane", None, "hunter2");
    let encoded = STANDARD.encode("jane:hunter2");
    let way = proxy.way().unwrap();
    let client = reqwest::Client::builder()
        .proxy(way.for_reqwest().unwrap())
        .tls_certs_only([])
        .build()
        .unwrap();
    for shown in [
        format!("{proxy:?}"),
        format!("{way:?}"),
        format!("{client:?}"),
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains(&encoded), "{shown}");
    }
}

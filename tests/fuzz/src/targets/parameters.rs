use oauth::Parameters;

use crate::Target;
use crate::rules::is_description;

/// The decoder under every form and query.
pub const TARGET: Target = Target {
    name: "parameters",
    run,
    words: &[
        "&",
        "=",
        "+",
        "%",
        "%00",
        "%c3%a4",
        "%C3",
        "%2",
        "client_id=",
        "redirect_uri=",
        "resource=",
        "&&",
        "%26",
        "%3d",
    ],
    short_run: 60_000,
};

fn run(bytes: &[u8]) {
    let parameters = match Parameters::parse(bytes) {
        Ok(parameters) => parameters,
        Err(error) => return assert!(is_description(error.description()), "{error}"),
    };
    // The usual decoder, which puts U+FFFD where we refuse.
    let usual: Vec<_> = url::form_urlencoded::parse(bytes).collect();
    for (name, _) in &usual {
        let values: Vec<&str> = usual
            .iter()
            .filter(|(other, value)| other == name && !value.is_empty())
            .map(|(_, value)| value.as_ref())
            .collect();
        assert_eq!(parameters.all(name).collect::<Vec<_>>(), values);
        assert_eq!(parameters.get(name), values.first().copied());
        let times = usual.iter().filter(|(other, _)| other == name).count();
        assert_eq!(parameters.is_repeated(name), times > 1);
        assert!(!name.contains('\0') && values.iter().all(|value| !value.contains('\0')));
    }
    let double = usual.iter().enumerate().any(|(at, (name, _))| {
        name != "resource" && usual[..at].iter().any(|(earlier, _)| earlier == name)
    });
    match parameters.refuse_repeats(&["resource"]) {
        Ok(()) => assert!(!double),
        Err(error) => {
            assert!(double && is_description(error.description()), "{error}");
        }
    }
}

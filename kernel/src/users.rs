//! Users and groups by name, as the image's own `/etc/passwd` and `/etc/group` have them (`passwd(5)`, `group(5)`).

/// A user or group by a name that nobody has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is in no {file} of the image; write its number, or pack the file under [files]")]
pub struct NoUser {
    /// The name.
    pub name: String,
    /// Where it was looked for.
    pub file: &'static str,
}

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The fields of the first line that fits.
fn line(text: &[u8], fits: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fits(fields)).map(|fields| fields.into_iter().map(str::to_owned).collect())
}

fn number(fields: &[String], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

/// The user and group that `USER[:GROUP]` stands for; each is a number or a name. Without a group it is the one that `/etc/passwd` gives the
/// user, or 0 where it knows none.
pub(crate) fn owner(written: &str, data: impl Fn(&str) -> Option<Vec<u8>>) -> Result<(u32, u32), NoUser> {
    let (user, group) = match written.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (written, None),
    };
    let unknown = |name: &str, file| NoUser { name: name.to_owned(), file };
    let passwd = data(PASSWD).unwrap_or_default();
    let entry = line(&passwd, |fields| match user.parse::<u32>() {
        Ok(_) => fields.get(2) == Some(&user),
        Err(_) => fields.first() == Some(&user),
    });
    let uid = match user.parse() {
        Ok(uid) => uid,
        Err(_) => entry.as_deref().and_then(|entry| number(entry, 2)).ok_or_else(|| unknown(user, PASSWD))?,
    };
    let gid = match group.map(|group| (group, group.parse())) {
        None => entry.as_deref().and_then(|entry| number(entry, 3)).unwrap_or(0),
        Some((_, Ok(gid))) => gid,
        Some((name, Err(_))) => {
            let entry = line(&data(GROUP).unwrap_or_default(), |fields| fields.first() == Some(&name));
            entry.as_deref().and_then(|entry| number(entry, 2)).ok_or_else(|| unknown(name, GROUP))?
        }
    };
    Ok((uid, gid))
}

/// A user's home, where it has one.
pub(crate) fn home(user: u32, data: impl Fn(&str) -> Option<Vec<u8>>) -> Option<String> {
    let user = user.to_string();
    let entry = line(&data(PASSWD)?, |fields| fields.get(2) == Some(&user.as_str()))?;
    entry.into_iter().nth(5).filter(|home| home.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        let data = |path: &str| match path {
            PASSWD => Some(b"root:x:0:0::/root:/bin/sh\nredis:x:101:102::/:/bin/false\n".to_vec()),
            GROUP => Some(b"root:x:0:\ndata:x:33:\n".to_vec()),
            _ => None,
        };
        for (written, expected) in [
            ("redis", (101, 102)),
            ("101", (101, 102)),
            ("redis:data", (101, 33)),
            ("7", (7, 0)),
            ("7:8", (7, 8)),
            ("root:8", (0, 8)),
            ("redis:", (101, 102)),
        ] {
            assert_eq!(owner(written, data).unwrap(), expected, "{written}");
        }
        assert_eq!((home(101, data).as_deref(), home(7, data), home(0, |_| None)), (Some("/"), None, None));
        let error = owner("nginx", data).unwrap_err().to_string();
        assert!(error.contains("`nginx` is in no /etc/passwd of the image"), "{error}");
        let error = owner("redis:nobody", |_| None).unwrap_err().to_string();
        assert!(error.contains("`redis` is in no /etc/passwd"), "{error}");
        assert!(
            owner("redis:nobody", data).unwrap_err().to_string().contains("`nobody` is in no /etc/group")
        );
    }
}

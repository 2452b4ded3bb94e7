#![allow(clippy::unwrap_used)]

use base::OsRandom;
use domain::{ClientId, GrantId, ServerSlug, UserId};

use super::*;

/// A moment, in milliseconds after the token was issued.
fn moment(offset_ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000 + offset_ms)
}

const TOKEN_ENDS: i64 = 3_600_000;
const FAMILY_ENDS: i64 = 7_200_000;
const SPENT: i64 = 1_000_000;

fn found(change: impl FnOnce(&mut FoundRefreshToken)) -> FoundRefreshToken {
    let grant = GrantId::at(moment(0), &OsRandom);
    let mut found = FoundRefreshToken {
        token: RefreshToken {
            digest: Digest::of("token"),
            family: grant.clone(),
            generation: 1,
            expires_at: moment(TOKEN_ENDS),
            spent: None,
        },
        family: TokenFamily {
            redirect_uri: None,
            id: grant,
            server: ServerSlug::parse("todo").unwrap(),
            client: ClientId::from_text("cli_1"),
            user: UserId::from_text("usr_1"),
            scopes: ScopeSet::new(),
            withheld: Vec::new(),
            authenticated_at: moment(0),
            created_at: moment(0),
            expires_at: moment(FAMILY_ENDS),
            ended: None,
        },
        successor_used: false,
        user_disabled: false,
        client_disabled: false,
        client_authentication: None,
    };
    change(&mut found);
    found
}

fn spent(found: &mut FoundRefreshToken) {
    found.token.spent = Some((moment(SPENT), vec![1]));
}

fn used(found: &mut FoundRefreshToken) {
    spent(found);
    found.successor_used = true;
}

fn is_refused(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Refuse(_))
}

#[test]
fn an_unspent_token_is_exchanged_until_it_or_its_family_ends() {
    let fresh = found(|_| {});
    for strict in [false, true] {
        assert_eq!(judge(&fresh, strict, moment(0)), Verdict::Rotate);
        assert_eq!(
            judge(&fresh, strict, moment(TOKEN_ENDS - 1)),
            Verdict::Rotate
        );
        assert!(is_refused(judge(&fresh, strict, moment(TOKEN_ENDS))));
    }
    let outlives = found(|found| found.token.expires_at = moment(FAMILY_ENDS + 5));
    assert_eq!(
        judge(&outlives, false, moment(FAMILY_ENDS - 1)),
        Verdict::Rotate
    );
    assert!(is_refused(judge(&outlives, false, moment(FAMILY_ENDS))));
}

#[test]
fn a_repeat_is_answered_for_a_minute_and_after_it_while_the_successor_is_unused() {
    let minute = 60_000;
    let (unused, used) = (found(spent), found(used));
    for offset in [0, 1, minute] {
        assert_eq!(
            judge(&unused, false, moment(SPENT + offset)),
            Verdict::Repeat
        );
        assert_eq!(judge(&used, false, moment(SPENT + offset)), Verdict::Repeat);
    }
    let late = moment(SPENT + minute + 1);
    assert_eq!(judge(&unused, false, late), Verdict::Repeat);
    assert_eq!(judge(&used, false, late), Verdict::Reuse);
    assert_eq!(
        judge(&unused, false, moment(TOKEN_ENDS - 1)),
        Verdict::Repeat
    );
    assert!(is_refused(judge(&unused, false, moment(TOKEN_ENDS))));
    assert_eq!(judge(&used, false, moment(TOKEN_ENDS)), Verdict::Reuse);
}

#[test]
fn strict_rotation_takes_every_repeat_for_a_reuse() {
    for state in [found(spent), found(used)] {
        assert_eq!(judge(&state, true, moment(SPENT)), Verdict::Reuse);
        assert_eq!(judge(&state, false, moment(SPENT)), Verdict::Repeat);
    }
}

#[test]
fn an_ended_family_and_a_disabled_person_get_nothing_whatever_the_token_says() {
    for change in [(|_| {}) as fn(&mut FoundRefreshToken), spent, used] {
        let good = found(change);
        assert!(!is_refused(judge(&good, false, moment(SPENT))));
        let disabled = found(|found| {
            change(found);
            found.user_disabled = true;
        });
        assert!(is_refused(judge(&disabled, false, moment(SPENT))));
        for reason in [
            FamilyEnd::Revoked,
            FamilyEnd::CodeReplay,
            FamilyEnd::ClientBlocked,
        ] {
            let ended = found(|found| {
                change(found);
                found.family.ended = Some((moment(1), reason));
            });
            assert!(
                is_refused(judge(&ended, false, moment(SPENT))),
                "{reason:?}"
            );
        }
        // Whoever kept the token learns that it was copied, even much later.
        let reused = found(|found| {
            change(found);
            found.family.ended = Some((moment(1), FamilyEnd::RefreshTokenReuse));
        });
        assert_eq!(
            judge(&reused, false, moment(FAMILY_ENDS + 1)),
            Verdict::EndedByReuse
        );
    }
}

#[test]
fn a_token_spent_by_a_clock_that_was_ahead_is_refused_when_used_up_and_ends_no_family() {
    let (unused, used) = (found(spent), found(used));
    let minute = 60_000;
    // Clocks of two nodes differ by less.
    assert_eq!(judge(&used, false, moment(SPENT - minute)), Verdict::Repeat);
    let day_before = moment(SPENT - 24 * 60 * minute);
    assert!(is_refused(judge(&used, false, day_before)));
    // Nobody has seen its successor: the client is not locked out.
    assert_eq!(judge(&unused, false, day_before), Verdict::Repeat);
}

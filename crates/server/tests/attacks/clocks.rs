use std::time::Duration;

use http::StatusCode;

use crate::support::World;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the clock seemed to have ended is cleared away a day later at the earliest.
#[tokio::test]
async fn a_clock_that_was_a_day_ahead_for_a_while_has_ended_nothing_when_it_is_right_again() {
    for (ahead, lives) in [(DAY - Duration::from_secs(1), true), (60 * DAY, false)] {
        let world = World::new().await;
        let (client, tokens) = world.connected().await;
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let server = world.authority.server("todo").unwrap();
        let lifetime = Duration::from_secs(server.server.settings.refresh_token_seconds);
        // It has a second left.
        world.clock.advance(lifetime - Duration::from_secs(1));
        let almost = world.now();
        world.clock.advance(ahead);
        world.refresh(&client, refresh).await.assert_status(400);
        world.store.purge_expired(world.now(), 1000).await.unwrap();
        world.clock.set(almost);
        let answer = world.refresh(&client, refresh).await;
        assert_eq!(answer.status == StatusCode::OK, lives, "{}", answer.text);
    }
}

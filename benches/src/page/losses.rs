//! Where a peer is ahead of ours.

use super::contest::{Contest, OURS, OfWork, by_work, more_is_better};
use super::words::{Table, case, figure};
use crate::results::{Key, Row};

/// By so much a peer must be ahead: less is nothing, on a machine that does anything else.
const AHEAD: f64 = 1.1;

/// A case in which peers are ahead.
struct Loss<'r> {
    key: &'r Key,
    ours: &'r Row,
    /// By how much each is, the best first.
    peers: Vec<(&'r Row, f64)>,
}

/// As Markdown, the worst first.
pub fn text(rows: &[Row]) -> String {
    let works = by_work(rows);
    let contests: Vec<Contest<'_>> = works.iter().flat_map(OfWork::contests).collect();
    let compared = contests.iter().filter(|it| it.ours().is_some() && it.best_peer().is_some());
    let losses = losses(&contests);
    let mut text = format!(
        "Of {} cases in which {} has peers, there are {} in which a peer is ahead of it by more than {:.0} %. \
         How many times so good each such peer is:\n\n",
        compared.count(),
        OURS.map(|it| format!("`{it}`")).join(" or "),
        losses.len(),
        (AHEAD - 1.0) * 100.0
    );
    let mut table = Table::new(3, &["work", "case", "ahead", "median of ours"]);
    for loss in &losses {
        let peers = loss.peers.iter().map(|(peer, by)| format!("{} {by:.2}", peer.subject));
        table.row(&[
            loss.key.work.clone(),
            case(loss.key),
            peers.collect::<Vec<_>>().join(", "),
            figure(loss.ours.median(), loss.ours.unit),
        ]);
    }
    text += &table.text();
    text
}

fn losses<'r>(contests: &[Contest<'r>]) -> Vec<Loss<'r>> {
    let loss = |contest: &Contest<'r>| {
        let ours = contest.ours()?;
        let ahead = |peer: &'r Row| {
            let by = if more_is_better(contest.key) { peer.ratio(ours) } else { ours.ratio(peer) };
            (peer, by)
        };
        let mut peers: Vec<_> = contest.peers().map(ahead).filter(|it| it.1 > AHEAD).collect();
        peers.sort_by(|a, b| b.1.total_cmp(&a.1));
        (!peers.is_empty()).then_some(Loss { key: contest.key, ours, peers })
    };
    let mut losses: Vec<Loss<'r>> = contests.iter().filter_map(loss).collect();
    losses.sort_by(|a, b| b.peers[0].1.total_cmp(&a.peers[0].1));
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Kind, Work};
    use crate::page::contest::tests::row;

    /// Of each loss the work and the peers.
    fn lost(rows: &[Row]) -> Vec<(&str, Vec<&str>)> {
        let works = by_work(rows);
        let contests: Vec<Contest<'_>> = works.iter().flat_map(OfWork::contests).collect();
        losses(&contests)
            .into_iter()
            .map(|it| (&*it.key.work, it.peers.iter().map(|it| &*it.0.subject).collect()))
            .collect()
    }

    #[test]
    fn what_is_lost_by_more_than_a_tenth_is_told_and_the_worst_first() {
        let key = |work| Key::new(work, Kind::Threads, 1);
        let rows = [
            row(&key(Work::Churn), "published", &[10.0]),
            row(&key(Work::Churn), "private", &[1.0]),
            row(&key(Work::Churn), "noop", &[1.0]),
            row(&key(Work::Churn), "glibc", &[8.0]),
            row(&key(Work::Churn), "jemalloc", &[5.0]),
            row(&key(Work::Churn), "mimalloc", &[9.2]),
            row(&key(Work::Find), "sharena", &[30.0]),
            row(&key(Work::Find), "hashbrown", &[10.0]),
            row(&key(Work::Larson), "published", &[10.0]),
            row(&key(Work::Larson), "glibc", &[20.0]),
        ];
        let all = lost(&rows);
        assert_eq!(all, [("find", vec!["hashbrown"]), ("churn", vec!["jemalloc", "glibc"])]);
        let text = text(&rows);
        assert!(text.starts_with("Of 3 cases"), "{text}");
        assert!(text.contains("| churn | 1 thread | jemalloc 2.00, glibc 1.25 | 10.00 ns |"));
    }

    #[test]
    fn a_loss_is_a_matter_of_rounds() {
        let key = Key::new(Work::Churn, Kind::Threads, 1);
        // The machine was ten times slower in the second round of one, and in the third of the other.
        let rows =
            [row(&key, "published", &[10.0, 100.0, 10.0]), row(&key, "glibc", &[10.0, 100.0, 1.0])];
        assert!(lost(&rows).is_empty());
    }

    #[test]
    fn to_give_back_more_is_better() {
        let key = Key::new(Work::GivenBack, Kind::Threads, 1);
        let with = |ours, peer| {
            let rows = [row(&key, "sharena", &[ours]), row(&key, "boost", &[peer])];
            lost(&rows).len()
        };
        assert_eq!((with(99.0, 50.0), with(50.0, 99.0)), (0, 1));
    }
}

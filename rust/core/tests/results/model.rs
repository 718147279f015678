use std::collections::HashMap;

use oxtask_core::results::pack::{Options, Patience};
use proptest::prelude::*;

use crate::support::{Folder, NOW, get, put, sealed};

#[derive(Debug, Clone)]
enum Step {
    Put { key: u8, size: usize, expires: Option<u64> },
    PutMany { keys: Vec<u8>, size: usize },
    Get { key: u8 },
    Remove { key: u8 },
    Pass { time: u64 },
    Prune,
    Reopen,
    Upkeep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u8..8;
    let size = prop_oneof![0_usize..20, 900_usize..1100, 4000_usize..9000];
    let step = prop_oneof![
        6 => (key.clone(), size.clone(), prop::option::of(0_u64..20))
            .prop_map(|(key, size, expires)| Step::Put { key, size, expires }),
        2 => (prop::collection::hash_set(key.clone(), 1..4), size)
            .prop_map(|(keys, size)| Step::PutMany { keys: keys.into_iter().collect(), size }),
        6 => key.clone().prop_map(|key| Step::Get { key }),
        2 => key.prop_map(|key| Step::Remove { key }),
        2 => (1_u64..10).prop_map(|time| Step::Pass { time }),
        1 => Just(Step::Prune),
        1 => Just(Step::Reopen),
        1 => Just(Step::Upkeep),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_pack_does_what_a_map_does(steps in steps()) {
        let folder = Folder::new();
        // Small enough that many records get a file.
        let options = Options { max_inline: 1200, ..Options::default() };
        let mut pack = folder.open(options.clone());
        let mut model: HashMap<u8, (Vec<u8>, Option<u64>)> = HashMap::new();
        let mut now = NOW;
        for (number, step) in steps.into_iter().enumerate() {
            let value = |size: usize| vec![u8::try_from(number).unwrap(); size];
            match step {
                Step::Put { key, size, expires } => {
                    let expires = expires.map(|after| now + after);
                    let mut record = sealed(&key.to_string(), &value(size), expires);
                    if pack.put(&key.to_string(), &mut record, now, Patience::Waits).unwrap() {
                        pack.upkeep().unwrap();
                    }
                    model.insert(key, (value(size), expires));
                }
                Step::PutMany { keys, size } => {
                    let staged = keys.iter().map(|key| {
                        let key = key.to_string();
                        pack.stage(&key, sealed(&key, &value(size), None)).unwrap()
                    });
                    let staged = staged.collect();
                    pack.publish(staged, now).unwrap();
                    model.extend(keys.into_iter().map(|key| (key, (value(size), None))));
                }
                Step::Get { key } => {
                    let expected = model.get(&key);
                    let expected = expected.filter(|(_, at)| at.is_none_or(|at| at > now));
                    prop_assert_eq!(
                        get(&pack, &key.to_string(), now),
                        expected.map(|(value, _)| value.clone())
                    );
                    prop_assert_eq!(
                        pack.contains(&key.to_string(), now).unwrap(),
                        expected.is_some()
                    );
                }
                Step::Remove { key } => {
                    let was_there = model.remove(&key).is_some();
                    prop_assert_eq!(pack.remove(&key.to_string()).unwrap(), was_there);
                }
                Step::Pass { time } => now += time,
                Step::Prune => {
                    pack.prune(now).unwrap();
                    model.retain(|_, (_, at)| at.is_none_or(|at| at > now));
                }
                Step::Upkeep => pack.upkeep().unwrap(),
                Step::Reopen => {
                    drop(pack);
                    pack = folder.open(options.clone());
                }
            }
            let large = model.values().filter(|(value, _)| value.len() > 1200).count();
            prop_assert_eq!(folder.files("files").len(), large);
            prop_assert_eq!(folder.files("new").len(), 0);
        }
        let mut listed: Vec<_> = pack.list("").unwrap().into_iter().map(|entry| entry.key).collect();
        let mut expected: Vec<_> = model.keys().map(u8::to_string).collect();
        listed.sort();
        expected.sort();
        prop_assert_eq!(listed, expected);
        prop_assert_eq!(pack.verify().unwrap().damaged, 0);
    }
}

#[test]
fn many_threads_never_read_what_was_not_written() {
    let folder = Folder::new();
    let pack = folder.open(Options { max_inline: 1000, ..Options::default() });
    std::thread::scope(|scope| {
        for number in 0..4_u8 {
            let pack = &pack;
            scope.spawn(move || {
                for turn in 0..200_usize {
                    let key = format!("{}", (turn + usize::from(number)) % 7);
                    let size = if turn % 5 == 0 { 2000 } else { 10 };
                    match turn % 3 {
                        0 => put(pack, &key, &vec![number; size], NOW),
                        1 if turn % 20 == 1 => drop(pack.remove(&key).unwrap()),
                        _ => {
                            let found = get(pack, &key, NOW).unwrap_or_default();
                            assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
                        }
                    }
                }
            });
        }
    });
    let large = pack.stats().unwrap().files;
    assert_eq!(folder.files("files").len() as u64, large);
    assert_eq!(folder.files("new").len(), 0);
    assert_eq!(pack.verify().unwrap().damaged, 0);
}

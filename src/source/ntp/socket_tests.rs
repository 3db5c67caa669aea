use std::sync::atomic::{AtomicU32, Ordering};

use super::super::authenticator::{Established, KeyExchange, NtsError};
use super::super::packet::HEADER;
use super::*;

/// Gives keys at every asking, which the server then does not accept.
#[derive(Default)]
struct Useless(AtomicU32);

impl KeyExchange for Useless {
    fn establish(&self, _: &str, _: u16) -> Result<Established, NtsError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let authenticator = Box::new(Refused);
        Ok(Established { host: "127.0.0.1".to_owned(), port: 9, authenticator })
    }
}

struct Refused;

impl Authenticator for Refused {
    fn seal(&mut self, _: &[u8; HEADER]) -> Result<Vec<u8>, NtsError> {
        Err(NtsError::Refused)
    }

    fn open(&mut self, _: &[u8]) -> Result<(), NtsError> {
        Err(NtsError::Refused)
    }
}

fn server(keys: Option<Arc<dyn KeyExchange>>) -> Server {
    let (name, host) = ("a server".into(), "127.0.0.1".to_owned());
    Server { name, host, port: 9, scale: RealtimeScale::Utc, keys }
}

#[test]
fn keys_that_are_refused_are_agreed_on_again_later_each_time() {
    let keys = Arc::new(Useless::default());
    let client = Client::new(vec![server(Some(keys.clone()))], &Settings::default(), None);
    let (index, group) = client.unstarted.lock().pop().expect("a group");
    let mut worker = Worker::new(client.shared.clone(), index, group);
    for (exchanges, wait_s) in [(1, 1), (2, 2), (3, 4)] {
        // The wait is over.
        worker.retry_at_ns = 0;
        worker.find_servers();
        assert_eq!(keys.0.load(Ordering::Relaxed), exchanges);
        let now_ns = worker.now_ns();
        let sealed = worker.associations[0].begin([1, 2], now_ns, 0);
        assert_eq!(sealed, Err(NtsError::Refused), "never without the authenticator");
        worker.find_servers();
        assert_eq!(keys.0.load(Ordering::Relaxed), exchanges, "not at once");
        assert!(worker.list_at_ns() >= now_ns + wait_s * 1_000_000_000, "{wait_s}");
        assert!(worker.associations.is_empty(), "it is not asked meanwhile");
        let trouble = client.words()[0].trouble.clone().expect("a reason");
        assert!(trouble.contains("NTSN"), "{trouble}");
    }
}

#[test]
fn keys_are_for_one_server_and_not_for_each_address_of_its_name() {
    let keys: Arc<dyn KeyExchange> = Arc::new(Useless::default());
    let settings = Settings { asks_each_address: true, ..Settings::default() };
    let client = Client::new(vec![server(Some(keys)), server(None)], &settings, None);
    let asks_each: Vec<bool> =
        client.unstarted.lock().iter().map(|(_, group)| group.asks_each).collect();
    assert_eq!(asks_each, [false, true]);
}

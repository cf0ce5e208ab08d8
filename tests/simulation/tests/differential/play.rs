//! One script on both servers, in a namespace of its own.

use std::collections::BTreeSet;

use control_plane::ControlPlane;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};
use simulation::kubernetes::{Answer, Cluster, Request, Served, shape::shape};

use crate::{
    alike::{Side, differences, only},
    ask::{Ask, Paths, get, post},
    real,
};

pub struct Play {
    name: String,
    client: Client,
    memory: Cluster,
    real_side: Side,
    memory_side: Side,
    pub paths: Paths,
    asked: BTreeSet<String>,
    /// For people who have to find out what came before.
    log: Vec<String>,
}

impl Play {
    /// Begins with an empty namespace on both.
    pub async fn new(control_plane: &ControlPlane, name: &str) -> Self {
        let client = control_plane.admin().client().await.unwrap();
        let namespace = format!("{name}-{:08x}", fastrand::u32(..));
        let mut play = Self {
            name: name.to_owned(),
            client,
            memory: Cluster::new(),
            real_side: Side::default(),
            memory_side: Side::default(),
            paths: Paths(namespace.clone()),
            asked: BTreeSet::new(),
            log: Vec::new(),
        };
        let body = json!({"metadata": {"name": namespace}});
        play.ask(post("/api/v1/namespaces", body)).await;
        play
    }

    /// Everything that was asked, by its shape.
    pub fn asked(self) -> BTreeSet<String> {
        self.asked
    }

    /// Asks both the same; returns the number of the answer, and its code.
    pub async fn ask(&mut self, request: Request) -> usize {
        self.ask_each(Box::new(move |_| request.clone())).await
    }

    /// The same with what each has answered before.
    pub async fn ask_with(&mut self, ask: impl Fn(&Side) -> Request) -> usize {
        self.ask_each(Box::new(ask)).await
    }

    async fn ask_each(&mut self, ask: Ask<'_>) -> usize {
        let real_request = ask(&self.real_side);
        let memory_request = ask(&self.memory_side);
        self.note(&memory_request);
        let real = real::ask(&self.client, &real_request).await;
        let memory = self.in_memory(&memory_request);
        self.compare(&real.body, &memory.body, real.code, memory.code);
        self.real_side.answers.push(real);
        self.memory_side.answers.push(memory);
        self.real_side.answers.len() - 1
    }

    /// Asks, and makes sure that a script does what it is about.
    pub async fn expect(&mut self, code: u16, request: Request) -> usize {
        let number = self.ask(request).await;
        self.is(number, code)
    }

    /// The same with what each has answered before.
    pub async fn expect_with(&mut self, code: u16, ask: impl Fn(&Side) -> Request) -> usize {
        let number = self.ask_with(ask).await;
        self.is(number, code)
    }

    fn is(&self, number: usize, code: u16) -> usize {
        let answer = &self.real_side.answers[number];
        assert_eq!(
            answer.code,
            code,
            "{}: {answer:#?}\n{}",
            self.name,
            self.recent()
        );
        number
    }

    pub fn code(&self, number: usize) -> u16 {
        self.real_side.answers[number].code
    }

    /// Lists everything from its first page on, and compares what of it is of this script.
    pub async fn list_all(&mut self, first: Request) {
        let (mut tokens, mut pages) = ([String::new(), String::new()], [vec![], vec![]]);
        let mut done = [false; 2];
        while done != [true; 2] {
            for side in [0, 1] {
                if done[side] {
                    continue;
                }
                let mut request = first.clone();
                if !tokens[side].is_empty() {
                    request
                        .query
                        .insert("continue".to_owned(), tokens[side].clone());
                }
                self.note(&request);
                let answer = match side {
                    0 => real::ask(&self.client, &request).await,
                    _ => self.in_memory(&request),
                };
                assert_eq!(answer.code, 200, "{}: {answer:#?}", self.name);
                let token = &answer.body["metadata"]["continue"];
                tokens[side] = token.as_str().map(ToOwned::to_owned).unwrap_or_default();
                done[side] = tokens[side].is_empty();
                let items = answer.body["items"].as_array().cloned();
                pages[side].extend(only(&items.unwrap_or_default(), &self.paths.0));
            }
        }
        let [real, memory] = pages.map(Value::Array);
        self.compare(&real, &memory, 200, 200);
    }

    /// Watches a kind from the version of an earlier answer until the object `end` appears, which it makes.
    pub async fn watch(&mut self, watched: &str, made: &str, from: usize, end: Value) {
        let name = end["metadata"]["name"].clone();
        let expected = self.ask(post(made, end)).await;
        self.is(expected, 201);
        let request = |side: &Side| {
            let version = side.of(from, "resourceVersion");
            get(&format!(
                "{watched}?watch=true&timeoutSeconds=290&allowWatchBookmarks=true&resourceVersion={version}"
            ))
        };
        let (real_request, memory_request) = (request(&self.real_side), request(&self.memory_side));
        self.note(&memory_request);
        let is_end =
            |line: &Value| line["type"] == "ADDED" && line["object"]["metadata"]["name"] == name;
        let real = real::watch(&self.client, &real_request, is_end).await;
        let mut watch = self.opened(&memory_request);
        let memory = std::iter::from_fn(|| self.memory.next(&mut watch)).collect::<Vec<_>>();
        assert!(!self.memory.pending(&watch));
        let ours = |lines: Vec<Value>| -> Vec<Value> {
            lines
                .into_iter()
                .filter(|line| line["type"] != "BOOKMARK")
                .filter(|line| !only(&[line["object"].clone()], &self.paths.0).is_empty())
                .collect()
        };
        let (real, memory) = (Value::Array(ours(real)), Value::Array(ours(memory)));
        self.compare(&real, &memory, 200, 200);
    }

    /// The first line of a watch that is not about what happened: of one that is too late, or of one that waits.
    pub async fn first_line(&mut self, real_path: &str, memory_path: &str, bookmark: bool) {
        let real_request = get(real_path);
        let real = real::watch(&self.client, &real_request, |_| true)
            .await
            .remove(0);
        let mut watch = self.opened(&get(memory_path));
        let memory = match bookmark {
            true => self.memory.bookmark(&mut watch),
            false => self.memory.next(&mut watch).unwrap(),
        };
        self.compare(&real, &memory, 200, 200);
    }

    /// The version that an answer of the real server shows.
    pub fn real_version(&self, number: usize) -> String {
        self.real_side.of(number, "resourceVersion")
    }

    /// The version that an answer of the one in memory shows.
    pub fn memory_version(&self, number: usize) -> String {
        self.memory_side.of(number, "resourceVersion")
    }

    /// Forgets what was before now, where that can be asked for.
    pub fn compact_memory(&mut self) {
        self.memory.compact(self.memory.version());
    }

    fn opened(&mut self, request: &Request) -> simulation::kubernetes::Watch {
        match self.memory.serve(self.now(), &self.name, request) {
            Served::Watch(watch) => watch,
            Served::Answer(answer) => panic!("{}: {answer:#?}", self.name),
        }
    }

    fn in_memory(&mut self, request: &Request) -> Answer {
        match self.memory.serve(self.now(), &self.name, request) {
            Served::Answer(answer) => answer,
            Served::Watch(_) => panic!("{} is a watch", request.path),
        }
    }

    /// A second for each request.
    fn now(&self) -> Timestamp {
        let asked = i64::try_from(self.log.len()).unwrap();
        Timestamp::from_second(1_800_000_000 + asked).unwrap()
    }

    fn note(&mut self, request: &Request) {
        let query = request.query.keys().map(String::as_str);
        let (content_type, accept) = (&request.content_type, &request.accept);
        let shape = shape(&request.method, &request.path, query, content_type, accept);
        self.log.push(format!("{shape} {}", request.body));
        self.asked.insert(shape);
    }

    fn compare(&mut self, real: &Value, memory: &Value, real_code: u16, memory_code: u16) {
        let told = (self.real_side.told(real), self.memory_side.told(memory));
        let differences = differences(&told.0, &told.1);
        let order = (self.real_side.order(), self.memory_side.order());
        let alike = differences.is_empty() && real_code == memory_code && order.0 == order.1;
        assert!(
            alike,
            "{}: real {real_code}, in memory {memory_code}; (real, in memory): {differences:#?}\norder of versions: {order:?}\n{}",
            self.name,
            self.recent()
        );
    }

    /// What was asked lately, for people.
    fn recent(&self) -> String {
        self.log[self.log.len().saturating_sub(12)..].join("\n")
    }
}

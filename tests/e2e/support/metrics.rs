//! A scrape, and questions to it.

/// The samples of one scrape.
#[derive(Debug, Clone)]
pub struct Metrics(Vec<Sample>);

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Metrics {
    /// Reads Prometheus' text format. Label values of the tests hold neither commas nor braces.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(samples.map(parse_sample).collect())
    }

    /// The sum over all samples of this name that carry these labels. `name` without the prefix
    /// `gaugeway_` is completed.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let full = if name.starts_with("process_") || name.starts_with("gaugeway_") {
            name.to_owned()
        } else {
            format!("gaugeway_{name}")
        };
        assert!(self.0.iter().any(|sample| sample.name == full), "there is no metric {full}");
        let wanted = self.0.iter().filter(|sample| sample.name == full && sample.has(labels));
        wanted.map(|sample| sample.value).sum()
    }

    /// Label sets of this name whose value is not zero, as `label=value` strings.
    pub fn nonzero(&self, name: &str) -> Vec<String> {
        let name = format!("gaugeway_{name}");
        let samples = self.0.iter().filter(|sample| sample.name == name && sample.value != 0.0);
        samples
            .map(|sample| {
                let labels = sample.labels.iter().map(|(key, value)| format!("{key}={value}"));
                format!("{} {}", labels.collect::<Vec<_>>().join(","), sample.value)
            })
            .collect()
    }

    /// opened − disconnects = connections, accepted = opened: for every endpoint together.
    #[track_caller]
    pub fn check_sums(&self) {
        let [opened, disconnects, connections] =
            ["connections_opened_total", "disconnects_total", "connections"]
                .map(|name| self.sum(name, &[]));
        let accepted = self.sum("handshakes_total", &[("outcome", "accepted")]);
        assert_eq!(opened - disconnects, connections, "opened − disconnects = connections");
        assert_eq!(accepted, opened, "accepted = opened");
    }
}

impl Sample {
    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(key, value)| {
            self.labels.iter().any(|(own_key, own_value)| own_key == key && own_value == value)
        })
    }
}

#[track_caller]
fn parse_sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
    let (name, labels) = match series.split_once('{') {
        None => (series, Vec::new()),
        Some((name, rest)) => {
            let inner = rest.strip_suffix('}').unwrap();
            let pairs = inner.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
                let (key, value) = pair.split_once('=').unwrap();
                (key.to_owned(), value.trim_matches('"').to_owned())
            });
            (name, pairs.collect())
        }
    };
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
}

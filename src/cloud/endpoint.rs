//! Where each service answers, by region and network.

use std::{collections::BTreeMap, str::FromStr};

use reqwest::Url;

use super::call::Service;

/// The endpoints that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// From anywhere.
    Public,
    /// From inside a VPC.
    Vpc,
}

/// Endpoints that replace the table's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(BTreeMap<Product, String>);

/// The product that an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Product {
    /// Every product without an endpoint of its own.
    All,
    /// An API.
    Of(Service),
    /// The metadata service of the instance.
    Metadata,
}

impl Product {
    fn named(name: &str) -> Option<Self> {
        match name {
            "*" => Some(Self::All),
            "metadata" => Some(Self::Metadata),
            name => Service::ALL
                .into_iter()
                .find(|service| service.name() == name)
                .map(Self::Of),
        }
    }
}

/// The metadata service of the instance. Source: ECS, "Instance metadata".
const METADATA: &str = "http://100.100.100.200/";

/// An endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// It does not have the form `PRODUCT=URL`.
    #[error(
        "{0:?} is not of the form PRODUCT=URL, such as ess=https://ess.example.com or *=http://127.0.0.1:8080"
    )]
    Form(String),
    /// There is no such product.
    #[error(
        "{0:?} is no product; use one of ess, slb, alb, nlb, gwlb, ecs, sts, metadata, or * for all"
    )]
    Product(String),
    /// The URL cannot be used.
    #[error("{0:?} is not a URL with http or https, a host, and no query")]
    Url(String),
}

impl Endpoints {
    /// Adds `other`, which wins.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The URL of `service` in `region`; `None` if the region makes no host. `xn--a` makes none, because it is read as
    /// the encoding of another name.
    #[must_use]
    pub fn url(&self, service: Service, region: &str, network: Network) -> Option<Url> {
        let url = match self.replaced(Product::Of(service)) {
            Some(url) => url.replace("{region}", region),
            None => format!("https://{}/", host(service, region, network)),
        };
        url.parse().ok()
    }

    /// The URL of `path` at the metadata service.
    #[must_use]
    pub fn metadata(&self, path: &str) -> Option<Url> {
        let url = self
            .replaced(Product::Metadata)
            .map_or(METADATA, String::as_str);
        format!("{}/{path}", url.trim_end_matches('/')).parse().ok()
    }

    fn replaced(&self, product: Product) -> Option<&String> {
        self.0.get(&product).or_else(|| self.0.get(&Product::All))
    }
}

impl FromStr for Endpoints {
    type Err = InvalidEndpoint;

    /// Reads `PRODUCT=URL`, or several separated by commas.
    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        text.split(',')
            .filter(|part| !part.trim().is_empty())
            .map(one)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn one(text: &str) -> Result<(Product, String), InvalidEndpoint> {
    let (product, url) = text
        .trim()
        .split_once('=')
        .ok_or_else(|| InvalidEndpoint::Form(text.to_owned()))?;
    let product =
        Product::named(product).ok_or_else(|| InvalidEndpoint::Product(product.to_owned()))?;
    let sample: Url = url
        .replace("{region}", "cn-hangzhou")
        .parse()
        .map_err(|_| InvalidEndpoint::Url(shown(url)))?;
    let usable = matches!(sample.scheme(), "http" | "https") && sample.has_host();
    let plain = sample.query().is_none()
        && sample.fragment().is_none()
        && sample.username().is_empty()
        && sample.password().is_none();
    if !usable || !plain {
        return Err(InvalidEndpoint::Url(shown(url)));
    }
    Ok((product, url.to_owned()))
}

/// The URL without a user and password, which do not belong there, and still less into a message.
fn shown(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, rest)) => format!("***@{rest}"),
        None => url.to_owned(),
    }
}

/// The published host.
fn host(service: Service, region: &str, network: Network) -> String {
    let name = service.name();
    match network {
        Network::Vpc => format!("{name}-vpc.{region}.aliyuncs.com"),
        Network::Public
            if CENTRAL.contains(&region) && matches!(service, Service::Ess | Service::Slb) =>
        {
            format!("{name}.aliyuncs.com")
        }
        Network::Public if region == "cn-nanjing" && service == Service::Ess => {
            "ess.aliyuncs.com".to_owned()
        }
        // As the SDKs have it, from before hosts were named by region.
        Network::Public if region == "cn-hangzhou" && service == Service::Ecs => {
            "ecs-cn-hangzhou.aliyuncs.com".to_owned()
        }
        Network::Public => format!("{name}.{region}.aliyuncs.com"),
    }
}

/// Regions that share one host for ESS and SLB. Source: endpoint tables of the official SDKs.
const CENTRAL: [&str; 11] = [
    "cn-qingdao",
    "cn-beijing",
    "cn-hangzhou",
    "cn-shanghai",
    "cn-shenzhen",
    "cn-hongkong",
    "ap-southeast-1",
    "us-east-1",
    "us-west-1",
    "cn-fujian",
    "cn-wuhan",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn url(endpoints: &str, service: Service, region: &str, network: Network) -> String {
        endpoints
            .parse::<Endpoints>()
            .unwrap()
            .url(service, region, network)
            .unwrap()
            .to_string()
    }

    #[test]
    fn a_region_that_makes_no_host_has_no_url() {
        for region in ["xn--pokxncvks", "xn--a", "xn--0"] {
            let url = Endpoints::default().url(Service::Gwlb, region, Network::Public);
            assert_eq!(url, None, "{region}");
        }
    }

    #[test]
    fn the_table_knows_region_and_network() {
        for (service, region, network, expected) in [
            (
                Service::Ess,
                "cn-hangzhou",
                Network::Public,
                "https://ess.aliyuncs.com/",
            ),
            (
                Service::Ess,
                "cn-nanjing",
                Network::Public,
                "https://ess.aliyuncs.com/",
            ),
            (
                Service::Slb,
                "cn-nanjing",
                Network::Public,
                "https://slb.cn-nanjing.aliyuncs.com/",
            ),
            (
                Service::Ess,
                "eu-central-1",
                Network::Public,
                "https://ess.eu-central-1.aliyuncs.com/",
            ),
            (
                Service::Gwlb,
                "cn-hangzhou",
                Network::Public,
                "https://gwlb.cn-hangzhou.aliyuncs.com/",
            ),
            (
                Service::Alb,
                "cn-hangzhou",
                Network::Vpc,
                "https://alb-vpc.cn-hangzhou.aliyuncs.com/",
            ),
            (
                Service::Sts,
                "cn-hangzhou",
                Network::Public,
                "https://sts.cn-hangzhou.aliyuncs.com/",
            ),
        ] {
            assert_eq!(url("", service, region, network), expected);
        }
    }

    #[test]
    fn an_override_wins_and_its_path_is_kept() {
        let given = "*=http://127.0.0.1:1/all,ess=https://ess.{region}.example.com/api/{region}";
        assert_eq!(
            url(given, Service::Gwlb, "r-1", Network::Vpc),
            "http://127.0.0.1:1/all"
        );
        assert_eq!(
            url(given, Service::Ess, "r-1", Network::Vpc),
            "https://ess.r-1.example.com/api/r-1"
        );
    }

    #[test]
    fn the_metadata_service_is_a_product_too() {
        let metadata = |endpoints: &str| {
            let endpoints = endpoints.parse::<Endpoints>().unwrap();
            endpoints.metadata("latest/x").unwrap().to_string()
        };
        assert_eq!(metadata("sts=http://a"), "http://100.100.100.200/latest/x");
        assert_eq!(metadata("*=http://a/b"), "http://a/b/latest/x");
        assert_eq!(
            metadata("*=http://a,metadata=http://c/"),
            "http://c/latest/x"
        );
    }

    #[test]
    fn a_bad_override_is_refused_with_what_is_wrong() {
        let refused = |text: &str| text.parse::<Endpoints>().unwrap_err();
        assert!(matches!(refused("http://x"), InvalidEndpoint::Form(_)));
        assert!(matches!(
            refused("s3=http://x"),
            InvalidEndpoint::Product(_)
        ));
        for bad in [
            "ess=ftp://x",
            "ess=x",
            "ess=http://x/?a=b",
            "ess=http://user@x/",
            "ess=http://:canary@x/",
        ] {
            assert!(matches!(refused(bad), InvalidEndpoint::Url(_)), "{bad}");
            assert!(!refused(bad).to_string().contains("canary"), "{bad}");
        }
    }
}

//! Accounts, roles, temporary keys, permissions, and the metadata of an instance.

use serde_json::{Value, json};
use server_group_sim::world::Product;

use crate::{
    client::{Request, exchange},
    cloud::{Cloud, ECS, GWLB, STS},
};

#[tokio::test]
async fn the_account_of_the_key_is_told() {
    let cloud = Cloud::new().await;
    let who = cloud.call(STS, "GetCallerIdentity", json!({})).await.ok();
    assert_eq!(who["AccountId"], "1000000000000001");
}

#[tokio::test]
async fn a_role_is_assumed_for_a_while_and_its_key_needs_its_token() {
    let cloud = Cloud::new().await;
    let role = json!({
        "RoleArn": "acs:ram::2:role/sgo", "RoleSessionName": "sgo", "DurationSeconds": 900, "ExternalId": "team-a",
    });
    let assumed = cloud.call(STS, "AssumeRole", role).await.ok();
    let given = &assumed["Credentials"];
    let text = |name: &str| given[name].as_str().unwrap().to_owned();
    let call = |token: Option<String>| Request {
        key: text("AccessKeyId"),
        secret: text("AccessKeySecret"),
        token,
        ..Request::new(STS, "GetCallerIdentity", &json!({}))
    };
    let who = cloud.send(&call(Some(text("SecurityToken")))).await.ok();
    assert_eq!(who["AccountId"], "2");
    let older = call(Some(text("SecurityToken")));
    exchange(cloud.host, &older.v1(cloud.host))
        .await
        .unwrap()
        .ok();
    let without = cloud.send(&call(None)).await;
    assert_eq!(without.refusal(), "400 MissingSecurityToken");
    let other = cloud.send(&call(Some("another".into()))).await;
    assert_eq!(
        other.refusal(),
        "400 InvalidSecurityToken.MismatchWithAccessKey"
    );
    for key in cloud.simulator.world().keys.values_mut() {
        key.expires = key.expires.map(|at| at - 900);
    }
    let late = cloud.send(&call(Some(text("SecurityToken")))).await;
    assert_eq!(late.refusal(), "400 InvalidSecurityToken.Expired");
}

#[tokio::test]
async fn whoever_calls_is_told_to_be_a_user_or_the_role_that_was_assumed() {
    let cloud = Cloud::new().await;
    let who = cloud.call(STS, "GetCallerIdentity", json!({})).await.ok();
    assert_eq!(who["IdentityType"], "RAMUser");
    assert_eq!(who["Arn"], "acs:ram::1000000000000001:user/operator");
    let role = json!({"RoleArn": "acs:ram::2:role/sgo", "RoleSessionName": "night"});
    let assumed = cloud.call(STS, "AssumeRole", role).await.ok();
    let given = |name: &str| assumed["Credentials"][name].as_str().unwrap().to_owned();
    let as_role = Request {
        key: given("AccessKeyId"),
        secret: given("AccessKeySecret"),
        token: Some(given("SecurityToken")),
        ..Request::new(STS, "GetCallerIdentity", &json!({}))
    };
    let who = cloud.send(&as_role).await.ok();
    assert_eq!(who["IdentityType"], "AssumedRoleUser");
    assert_eq!(who["Arn"], assumed["AssumedRoleUser"]["Arn"]);
    assert_eq!(who["Arn"], "acs:ram::2:assumed-role/sgo/night");
}

#[tokio::test]
async fn a_role_is_asked_for_by_the_rules() {
    let cloud = Cloud::new().await;
    let role = json!({"RoleArn": "acs:ram::2:role/sgo", "RoleSessionName": "sgo"});
    for (name, wrong) in [
        ("RoleArn", "sgo"),
        ("RoleSessionName", "s"),
        ("RoleSessionName", "white space"),
        ("DurationSeconds", "899"),
        ("ExternalId", "x"),
        ("Policy", &"p".repeat(2049)),
    ] {
        let mut params = role.clone();
        params[name] = json!(wrong);
        let answer = cloud.call(STS, "AssumeRole", params).await;
        assert_eq!(answer.refusal(), "400 InvalidParameter", "{name}={wrong}");
    }
    let mut narrowed = role;
    narrowed["Policy"] = json!("p".repeat(2048));
    cloud.call(STS, "AssumeRole", narrowed).await.ok();
}

#[tokio::test]
async fn a_role_is_assumed_by_a_projected_token_without_a_signature() {
    let cloud = Cloud::new().await;
    let query = "Action=AssumeRoleWithOIDC&Format=JSON&Version=2015-04-01&Timestamp=2026-01-01T00%3A00%3A00Z\
        &RoleArn=acs%3Aram%3A%3A2%3Arole%2Fsgo&OIDCProviderArn=acs%3Aram%3A%3A2%3Aoidc-provider%2Fack\
        &RoleSessionName=sgo&OIDCToken=header.payload.signature";
    for method in ["GET", "POST"] {
        let wire = format!(
            "{method} /?{query} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            cloud.host
        );
        let answer = exchange(cloud.host, &wire).await.unwrap().ok();
        assert!(answer["Credentials"]["SecurityToken"].is_string());
    }
    let log = format!("{:?}", cloud.simulator.world().audit);
    assert!(
        !log.contains("header.payload.signature"),
        "the token is not for the log"
    );
}

#[tokio::test]
async fn what_is_not_permitted_is_said_with_the_products_code() {
    let cloud = Cloud::with(|world| {
        world.denied = [
            "DescribeScalingGroups",
            "ListServerGroups",
            "sts:GetCallerIdentity",
        ]
        .map(str::to_owned)
        .into();
    })
    .await;
    let ess = cloud.ess("DescribeScalingGroups", json!({})).await;
    assert_eq!(ess.refusal(), "403 Forbidden.Unauthorized");
    let nlb = cloud.nlb("ListServerGroups", json!({})).await;
    assert_eq!(nlb.refusal(), "403 Forbidden.NoPermission");
    let alb = cloud.alb("ListServerGroups", json!({})).await;
    assert_eq!(
        alb.body()["AccessDeniedDetail"]["AuthAction"],
        "alb:ListServerGroups"
    );
    assert_eq!(alb.refusal(), "403 Forbidden.RAM");
    let sts = cloud.call(STS, "GetCallerIdentity", json!({})).await;
    assert_eq!(sts.refusal(), "403 Forbidden.RAM");
}

#[tokio::test]
async fn another_account_sees_none_of_it() {
    let cloud = Cloud::with(|world| {
        world.create_group(Product::Gwlb, "sgp-1").account = Some("2".into());
        world.create_group(Product::Clb, "rsp-1").account = Some("2".into());
        world.create_scaling_group("asg-1", []).account = Some("2".into());
    })
    .await;
    let list = json!({"ServerGroupId": "sgp-1"});
    let members = cloud.call(GWLB, "ListServerGroupServers", list).await;
    assert_eq!(members.refusal(), "404 ResourceNotFound.ServerGroup");
    let groups = cloud.gwlb("ListServerGroups", json!({})).await.ok();
    assert_eq!(groups["TotalCount"], 0);
    let scaling = cloud.ess("DescribeScalingGroups", json!({})).await.ok();
    assert_eq!(scaling["TotalCount"], 0);
    let clb = cloud
        .slb(
            "DescribeVServerGroupAttribute",
            json!({"VServerGroupId": "rsp-1"}),
        )
        .await;
    assert_eq!(clb.refusal(), "404 InvalidParameter");
}

#[tokio::test]
async fn an_instance_learns_its_keys_in_hardened_mode_only() {
    let cloud = Cloud::new().await;
    let ask = async |method: &str, path: &str, header: &str| {
        let wire = format!(
            "{method} {path} HTTP/1.1\r\nhost: metadata\r\n{header}\r\nconnection: close\r\n\r\n"
        );
        exchange(cloud.host, &wire).await.unwrap()
    };
    let keys = "/latest/meta-data/ram/security-credentials/";
    assert_eq!(ask("GET", keys, "x-other: 1").await.status, 403);
    let lasting = "X-aliyun-ecs-metadata-token-ttl-seconds: 21600";
    let token = ask("PUT", "/latest/api/token", lasting).await.text;
    let header = format!("X-aliyun-ecs-metadata-token: {token}");
    let role = ask("GET", keys, &header).await.text;
    let given = ask("GET", &format!("{keys}{role}"), &header).await.ok();
    assert_eq!(given["Code"], "Success");
    let text = |name: &str| given[name].as_str().unwrap().to_owned();
    let call = Request {
        key: text("AccessKeyId"),
        secret: text("AccessKeySecret"),
        token: Some(text("SecurityToken")),
        ..Request::new(STS, "GetCallerIdentity", &json!({}))
    };
    cloud.send(&call).await.ok();
}

#[tokio::test]
async fn instances_exist_unless_they_were_made_bad() {
    let cloud = Cloud::with(|world| _ = world.bad_servers.insert("i-2".into())).await;
    let params = json!({"RegionId": "cn-hangzhou", "InstanceIds": r#"["i-1","i-2"]"#});
    let found = cloud.call(ECS, "DescribeInstances", params).await.ok();
    assert_eq!(found["TotalCount"], 1);
    assert_eq!(found["Instances"]["Instance"][0]["InstanceId"], "i-1");
}

#[tokio::test]
async fn a_page_of_instances_has_ten_to_a_hundred_of_them() {
    let cloud = Cloud::new().await;
    for (size, taken) in [(9, false), (10, true), (100, true), (101, false)] {
        let params = json!({"RegionId": "cn-hangzhou", "MaxResults": size});
        let answer = cloud.call(ECS, "DescribeInstances", params).await;
        match taken {
            true => assert_eq!(answer.ok()["PageSize"], size),
            false => assert_eq!(answer.refusal(), "400 InvalidParameter", "{size}"),
        }
    }
}

#[tokio::test]
async fn network_interfaces_exist_unless_they_were_made_bad_and_have_the_addresses_of_their_memberships()
 {
    let cloud = Cloud::with(|world| {
        world.bad_servers.insert("eni-bad".into());
        world.create_group(Product::Nlb, "sgp-1");
        world.put_member("sgp-1", "eni-2", "192.0.2.7", 80, 100);
        world.put_member("sgp-1", "i-1", "", 80, 100);
    })
    .await;
    let found = async |mut params: Value| {
        params["RegionId"] = json!("cn-hangzhou");
        let found = cloud.call(ECS, "DescribeNetworkInterfaces", params).await;
        found.ok()["NetworkInterfaceSets"]["NetworkInterfaceSet"].take()
    };
    let ids = |rows: Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["NetworkInterfaceId"].as_str().unwrap().to_owned())
            .collect()
    };
    let asked = json!({"NetworkInterfaceId": ["eni-1", "eni-2", "eni-bad", "i-1"]});
    assert_eq!(ids(found(asked).await), ["eni-1", "eni-2"]);
    assert_eq!(ids(found(json!({})).await), ["eni-2"], "those of groups");
    let rows = found(json!({"PrivateIpAddress": ["192.0.2.7", "192.0.2.8"]})).await;
    let addresses = rows[0]["PrivateIpSets"]["PrivateIpSet"].as_array().unwrap();
    let primary = addresses.iter().find(|row| row["Primary"] == true).unwrap();
    assert_eq!(primary["PrivateIpAddress"], rows[0]["PrivateIpAddress"]);
    assert_eq!(addresses.len(), 2);
    assert_eq!(ids(rows), ["eni-2"]);
    for (filter, fits, other) in [
        ("VpcId", "vpc-sim", "vpc-other"),
        ("VSwitchId", "vsw-sim", "vsw-other"),
        ("InstanceId", "i-sim", "i-1"),
        ("Status", "InUse", "Available"),
    ] {
        assert_eq!(ids(found(json!({filter: fits})).await), ["eni-2"]);
        assert!(ids(found(json!({filter: other})).await).is_empty());
    }
    assert!(ids(found(json!({"Tag": [{"Key": "team"}]})).await).is_empty());
}

#[tokio::test]
async fn network_interfaces_come_in_pages_of_ten_to_five_hundred() {
    let cloud = Cloud::new().await;
    let asked: Vec<_> = (0..100).map(|number| format!("eni-{number:03}")).collect();
    let mut params =
        json!({"RegionId": "cn-hangzhou", "NetworkInterfaceId": asked, "MaxResults": 60});
    let ask = async |params: &Value| {
        cloud
            .call(ECS, "DescribeNetworkInterfaces", params.clone())
            .await
    };
    let rows = |page: &Value| {
        let rows = &page["NetworkInterfaceSets"]["NetworkInterfaceSet"];
        rows.as_array().unwrap().len()
    };
    let first = ask(&params).await.ok();
    assert_eq!((rows(&first), &first["TotalCount"]), (60, &json!(100)));
    params["NextToken"] = first["NextToken"].clone();
    let second = ask(&params).await.ok();
    assert_eq!((rows(&second), &second["NextToken"]), (40, &json!("")));
    for size in [9, 501] {
        params["MaxResults"] = json!(size);
        assert_eq!(ask(&params).await.refusal(), "400 InvalidParameter");
    }
    for list in ["NetworkInterfaceId", "PrivateIpAddress"] {
        let many: Vec<_> = (0..101).map(|number| format!("eni-{number}")).collect();
        let many = ask(&json!({"RegionId": "cn-hangzhou", list: many})).await;
        assert_eq!(many.refusal(), "400 InvalidParameter");
    }
}

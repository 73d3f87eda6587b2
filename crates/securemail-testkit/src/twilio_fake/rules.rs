//! What Twilio takes and refuses, after its API description (2010-04-01) and its test numbers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::TwilioAccount;

/// Every field of the form that the API description has.
const FIELDS: [&str; 25] = [
    "AddressRetention",
    "ApplicationSid",
    "Attempt",
    "Body",
    "ContentRetention",
    "ContentSid",
    "ContentVariables",
    "FallbackFrom",
    "ForceDelivery",
    "From",
    "MaxPrice",
    "MediaUrl",
    "MessagingServiceSid",
    "PersistentAction",
    "ProvideFeedback",
    "RiskCheck",
    "ScheduleType",
    "SendAsMms",
    "SendAt",
    "ShortenUrls",
    "SmartEncoded",
    "StatusCallback",
    "To",
    "TrafficType",
    "ValidityPeriod",
];

/// One HTTP request, as far as it matters.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) content_type: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// A text that the fake took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TakenText {
    /// Its id.
    pub sid: String,
    /// `To`.
    pub to: String,
    /// `From`, or `MessagingServiceSid`.
    pub from: String,
    /// `Body`.
    pub body: String,
    /// `StatusCallback`.
    pub status_callback: Option<String>,
    /// `ValidityPeriod`.
    pub validity_secs: Option<u32>,
    /// How it stands.
    pub status: String,
}

/// A refusal, in the form of Twilio's errors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Twilio's error code.
    pub code: u32,
    /// What it says.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn rate_limit() -> Self {
        Self::new(429, 20_429, "Too Many Requests")
    }

    pub(super) fn to_json(&self) -> String {
        json!({
            "code": self.code,
            "message": self.message,
            "more_info": format!("https://www.twilio.com/docs/errors/{}", self.code),
            "status": self.status,
        })
        .to_string()
    }
}

impl TakenText {
    /// The message resource of the API description.
    pub(super) fn resource(&self, account: &str) -> String {
        let service = self.from.starts_with("MG").then_some(&self.from);
        json!({
            "account_sid": account,
            "api_version": "2010-04-01",
            "body": self.body,
            "date_created": "Sat, 21 Nov 2026 12:00:00 +0000",
            "date_sent": null,
            "date_updated": "Sat, 21 Nov 2026 12:00:00 +0000",
            "direction": "outbound-api",
            "error_code": null,
            "error_message": null,
            "from": if service.is_some() { None } else { Some(&self.from) },
            "messaging_service_sid": service,
            "num_media": "0",
            "num_segments": "1",
            "price": null,
            "price_unit": "USD",
            "sid": self.sid,
            "status": self.status,
            "subresource_uris": {
                "media": format!("/2010-04-01/Accounts/{account}/Messages/{}/Media.json", self.sid),
            },
            "to": self.to,
            "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", self.sid),
        })
        .to_string()
    }
}

/// Takes a call, or refuses it as Twilio does.
pub(super) fn check(
    account: &TwilioAccount,
    call: &Call<'_>,
    sid: String,
) -> Result<TakenText, Refusal> {
    let wanted = STANDARD.encode(format!("{}:{}", account.sid, account.auth_token));
    if call.authorization != Some(&format!("Basic {wanted}")) {
        return Err(Refusal::new(401, 20_003, "Authenticate"));
    }
    let path = format!("/2010-04-01/Accounts/{}/Messages.json", account.sid);
    if call.method != "POST" || call.path != path {
        let message = format!("The requested resource {} was not found", call.path);
        return Err(Refusal::new(404, 20_404, message));
    }
    if call.content_type != Some("application/x-www-form-urlencoded") {
        return Err(Refusal::new(415, 20_415, "Unsupported Media Type"));
    }
    let form = Form(
        form_urlencoded::parse(call.body)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
    );
    form.check_names()?;
    Ok(TakenText {
        sid,
        to: form.to()?,
        from: form.from(account)?,
        body: form.body()?,
        status_callback: form.status_callback()?,
        validity_secs: form.validity()?,
        status: "queued".to_owned(),
    })
}

struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, wanted: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, value)| name == wanted && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The real one ignores what it does not know; then a misspelt field is never noticed.
    fn check_names(&self) -> Result<(), Refusal> {
        for (at, (name, _)) in self.0.iter().enumerate() {
            let again = self.0.iter().skip(at + 1).any(|(other, _)| other == name);
            if again || !FIELDS.contains(&name.as_str()) {
                let message = format!("Unknown or repeated parameter: {name}");
                return Err(Refusal::new(400, 20_001, message));
            }
        }
        Ok(())
    }

    /// Refused numbers are those of Twilio's test credentials.
    fn to(&self) -> Result<String, Refusal> {
        let to = self
            .get("To")
            .ok_or_else(|| Refusal::new(400, 21_604, "A 'To' phone number is required."))?;
        let refusal =
            |code, message: &str| Err(Refusal::new(400, code, message.replace("{to}", to)));
        match to {
            "+15005550001" => refusal(21_211, "The 'To' number {to} is not a valid phone number."),
            "+15005550002" => refusal(21_612, "The 'To' number {to} is not reachable via SMS."),
            "+15005550003" => refusal(
                21_408,
                "Permission to send an SMS has not been enabled for the region indicated by the 'To' number: {to}.",
            ),
            "+15005550004" => refusal(21_610, "Attempt to send to unsubscribed recipient"),
            "+15005550009" => refusal(21_614, "'To' number {to} is not a valid mobile number"),
            _ if is_e164(to) => Ok(to.to_owned()),
            _ => refusal(21_211, "The 'To' number {to} is not a valid phone number."),
        }
    }

    fn from(&self, account: &TwilioAccount) -> Result<String, Refusal> {
        let Some(from) = self.get("From").or(self.get("MessagingServiceSid")) else {
            let message = "A 'From' phone number is required.";
            return Err(Refusal::new(400, 21_603, message));
        };
        match from {
            "+15005550001" => Err(Refusal::new(400, 21_212, "Invalid From Number (caller ID)")),
            "+15005550008" => Err(Refusal::new(
                429,
                21_611,
                "This 'From' number has exceeded the maximum number of queued messages",
            )),
            _ if account.senders.iter().any(|sender| sender == from) => Ok(from.to_owned()),
            _ if from.starts_with("MG") => Err(Refusal::new(
                404,
                21_701,
                "The Messaging Service does not exist",
            )),
            _ => Err(Refusal::new(
                400,
                21_606,
                "The 'From' phone number provided is not a valid message-capable Twilio phone number for this destination/account",
            )),
        }
    }

    fn body(&self) -> Result<String, Refusal> {
        let body = self
            .get("Body")
            .ok_or_else(|| Refusal::new(400, 21_602, "Message body is required."))?;
        if body.chars().count() > 1600 {
            let message = "The concatenated message body exceeds the 1600 character limit.";
            return Err(Refusal::new(400, 21_617, message));
        }
        Ok(body.to_owned())
    }

    fn status_callback(&self) -> Result<Option<String>, Refusal> {
        match self.get("StatusCallback") {
            Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => Err(
                Refusal::new(400, 21_609, "The 'StatusCallback' URL is not a valid URL."),
            ),
            url => Ok(url.map(str::to_owned)),
        }
    }

    fn validity(&self) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.get("ValidityPeriod") else {
            return Ok(None);
        };
        text.parse()
            .ok()
            .filter(|seconds| (1..=36_000).contains(seconds))
            .map(Some)
            .ok_or_else(|| Refusal::new(400, 20_001, "ValidityPeriod is not from 1 to 36000"))
    }
}

fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (8..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

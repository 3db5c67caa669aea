//! The stored form of a [`Grantor`]: read whole, or not at all.
//!
//! A state that lacks `current` or `quiet_until` would say that nothing is granted, and the
//! grantor would grant at once. serde reads a missing `Option` as `None`, ignores fields that
//! it does not know, and knows nothing of versions. So all three are done here: each field
//! is required, `null` has to be written out, unknown fields are refused, and so is every
//! version but this one. What a grantor cannot have written is refused too.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::answers::{Answered, Answers};
use super::grant_error::GrantError;
use super::granted::Granted;
use super::grantor::Grantor;
use super::holder_id::HolderId;
use super::lease_state::{CurrentLease, LeaseState};
use super::message::{Command, Decision, Grant};
use super::term::Term;
use crate::fence::FencingToken;
use crate::timestamp::Timestamp;

/// Rises when the meaning of a stored state changes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename = "Grantor", deny_unknown_fields)]
struct GrantorForm {
    version: u32,
    term: Term,
    longest: Term,
    last_token: FencingToken,
    #[serde(deserialize_with = "written_out")]
    current: Option<CurrentForm>,
    #[serde(deserialize_with = "written_out")]
    quiet_until: Option<Timestamp>,
    forgotten: FencingToken,
    answers: Vec<AnsweredForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrentForm {
    holder: HolderId,
    expires: Timestamp,
    #[serde(with = "crate::decimal")]
    progress: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnsweredForm {
    command: Command,
    answer: Result<Decision, GrantError>,
}

/// Reads a field that must be there, even if it is `None`.
fn written_out<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<T, D::Error> {
    T::deserialize(input)
}

impl Serialize for Grantor {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let LeaseState { last_token, current, quiet_until, ref answers } = self.state;
        let current = current.map(|CurrentLease { holder, expires, progress }| CurrentForm {
            holder,
            expires,
            progress,
        });
        let answered = answers.last().iter().map(|&Answered { command, answer }| AnsweredForm {
            command,
            answer: answer.map(|decision| decision.map(Grant::from)),
        });
        let form = GrantorForm {
            version: VERSION,
            term: self.term,
            longest: self.longest,
            last_token,
            current,
            quiet_until,
            forgotten: answers.forgotten(),
            answers: answered.collect(),
        };
        form.serialize(output)
    }
}

impl<'de> Deserialize<'de> for Grantor {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Grantor, D::Error> {
        let form = GrantorForm::deserialize(input)?;
        form.read().map_err(D::Error::custom)
    }
}

impl GrantorForm {
    /// The grantor that wrote this, or why no grantor did.
    fn read(self) -> Result<Grantor, String> {
        let GrantorForm { version, term, longest, last_token, quiet_until, forgotten, .. } = self;
        if version != VERSION {
            return Err(format!(
                "the grantor's state has version {version}, and this program reads version \
                 {VERSION}: use the program that wrote it"
            ));
        }
        if longest < term {
            return Err("the grantor's longest term is shorter than its term: the state is \
                        damaged, so start with `Grantor::after_restart`"
                .to_owned());
        }
        if self.current.is_some() && last_token == FencingToken::MIN {
            return Err(
                "the grantor's present lease has no token: the state is damaged, so start \
                        with `Grantor::after_restart`"
                    .to_owned(),
            );
        }
        let current = self.current.map(|CurrentForm { holder, expires, progress }| CurrentLease {
            holder,
            expires,
            progress,
        });
        let answered = self.answers.into_iter().map(|AnsweredForm { command, answer }| Answered {
            command,
            answer: answer.map(|decision| decision.map(Granted::from)),
        });
        let answers = Answers::restored(answered.collect(), forgotten).ok_or(
            "the grantor's answers are too many, or two are to one sender: the state is damaged, \
             so start with `Grantor::after_restart`",
        )?;
        let state = LeaseState { last_token, current, quiet_until, answers };
        Ok(Grantor { term, longest, state })
    }
}

impl From<Grant> for Granted<Timestamp> {
    fn from(grant: Grant) -> Granted<Timestamp> {
        let Grant { holder, token, expires } = grant;
        Granted { holder, token, expires }
    }
}

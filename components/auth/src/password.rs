//! Passwords: which are accepted, and how they are kept.
//!
//! Argon2id with OWASP's parameters (Password Storage Cheat Sheet: 19 MiB, 2 passes, 1 lane). The
//! policy is NIST SP 800-63B's: long enough, not one that everyone tries first, nothing else. Variables
//! may raise the parameters; whoever signs in then gets a new hash. Until then a wrong password is made
//! to cost what it costs where there is no account.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use nokube_domain::Invalid;
use nokube_guest::{Ctx, Error};
use zeroize::Zeroizing;

use crate::common::is_listed;
use crate::error::AuthError;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 1_024;
/// OWASP: m = 19456 KiB (19 MiB), t = 2, p = 1.
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// RFC 9106's second choice is 64 MiB; an instance has 128.
const MOST_MEMORY_KIB: u32 = 64 * 1_024;
/// 16 passes over 64 MiB take seconds in a guest: nobody waits longer.
const MOST_PASSES: u32 = 16;

/// Lower case, one per line.
const COMMON: &str = include_str!("common_passwords.txt");

/// What a new hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// As the variables `password_memory_kib` and `password_passes` say, OWASP's without them.
    ///
    /// # Errors
    /// When one is set below OWASP's, or higher than a guest can bear.
    pub(crate) fn of_platform(cx: &Ctx) -> Result<Self, AuthError> {
        let within = |name: &'static str, least: u32, most: u32| {
            let number = cx.number_variable(name, u64::from(least))?;
            u32::try_from(number)
                .ok()
                .filter(|number| (least..=most).contains(number))
                .ok_or(Error::Configuration(name))
        };
        Ok(Self {
            memory_kib: within("password_memory_kib", MEMORY_KIB, MOST_MEMORY_KIB)?,
            passes: within("password_passes", PASSES, MOST_PASSES)?,
        })
    }

    /// Whether a hash was made with less.
    pub(crate) fn is_above(self, hash: &str) -> Result<bool, AuthError> {
        let parsed = PasswordHash::new(hash).map_err(failed)?;
        let made_with = Self::of(&parsed)?;
        let is_current = parsed.algorithm == Algorithm::Argon2id.ident()
            && made_with.memory_kib >= self.memory_kib
            && made_with.passes >= self.passes;
        Ok(!is_current)
    }

    /// What a hash was made with.
    fn of(hash: &PasswordHash<'_>) -> Result<Self, AuthError> {
        let params = Params::try_from(hash).map_err(failed)?;
        Ok(Self {
            memory_kib: params.m_cost(),
            passes: params.t_cost(),
        })
    }

    /// KiB that are written: what the time of a hash follows.
    fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }

    /// The time for a hash of this cost where one of the least cost takes `time`, rounded up to a multiple of that.
    pub(crate) fn scaled(self, time: u64) -> u64 {
        let least = u64::from(MEMORY_KIB) * u64::from(PASSES);
        time * self.work().div_ceil(least)
    }

    /// What is missing when a hash of `cheaper` was computed instead of one of this cost: as many passes
    /// over as much less memory, so never more than one of this cost.
    fn beyond(self, cheaper: Self) -> Option<Self> {
        let missing = self.work().checked_sub(cheaper.work())?;
        let memory_kib = u32::try_from(missing.div_ceil(u64::from(self.passes))).ok()?;
        (memory_kib > 0).then_some(Self {
            memory_kib: memory_kib.max(Params::MIN_M_COST),
            passes: self.passes,
        })
    }

    /// The hash of nothing anyone can type: verified against when there is no such user, so that the
    /// answer takes as long as for a wrong password.
    fn decoy(self) -> String {
        let Self { memory_kib, passes } = self;
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={LANES}${salt}${hash}")
    }

    fn argon2(self) -> Result<Argon2<'static>, AuthError> {
        let params = Params::new(self.memory_kib, self.passes, LANES, None)
            .map_err(|error| AuthError::Hashing(error.to_string()))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

fn failed(error: argon2::password_hash::Error) -> AuthError {
    AuthError::Hashing(error.to_string())
}

/// A password in the clear, wiped when dropped. It has no `Debug`.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// A password that shall be set.
    pub(crate) fn parse_new(text: &str) -> Result<Self, Invalid> {
        let chars = text.chars().count();
        if chars < MIN_CHARS {
            return Err(Invalid::new("must have at least 8 characters"));
        }
        if chars > MAX_CHARS {
            return Err(Invalid::new("must have at most 1024 characters"));
        }
        if is_common(text) {
            return Err(Invalid::new("is one of the most common passwords"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// A password that shall be compared: one that could never be set is just wrong.
    pub(crate) fn parse_given(text: &str) -> Result<Self, Invalid> {
        if text.chars().count() > MAX_CHARS {
            return Err(Invalid::new("must have at most 1024 characters"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether it says what everyone knows of its user.
    pub(crate) fn is_name_of_its_user(&self, username: &str, email: Option<&str>) -> bool {
        let password = self.0.to_lowercase();
        password == username || email.is_some_and(|email| password == email)
    }

    /// Whether it is the same as another that was just given.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    /// The hash to keep (PHC string). `salt` is fresh randomness.
    pub(crate) fn hash(&self, salt: [u8; SALT_BYTES], cost: Cost) -> Result<String, AuthError> {
        let salt = SaltString::encode_b64(&salt).map_err(failed)?;
        let argon2 = cost.argon2()?;
        let hash = argon2.hash_password(self.0.as_bytes(), &salt);
        Ok(hash.map_err(failed)?.to_string())
    }

    /// Whether it is the one that was hashed. Without a hash: no, after the same time.
    pub(crate) fn verify(&self, hash: Option<&str>, cost: Cost) -> Result<bool, AuthError> {
        let decoy = cost.decoy();
        let parsed = PasswordHash::new(hash.unwrap_or(&decoy)).map_err(failed)?;
        let made_with = Cost::of(&parsed)?;
        computed(made_with);
        // By the parameters of the hash itself.
        let same = cost
            .argon2()?
            .verify_password(self.0.as_bytes(), &parsed)
            .is_ok();
        // A hash from before the parameters were raised would tell by time that there is an account.
        if !same && let Some(missing) = cost.beyond(made_with) {
            self.compute(missing)?;
        }
        Ok(same && hash.is_some())
    }

    /// Takes as long as a hash of this cost, for nothing.
    fn compute(&self, cost: Cost) -> Result<(), AuthError> {
        computed(cost);
        let mut nothing = [0; 32];
        cost.argon2()?
            .hash_password_into(self.0.as_bytes(), &[0; SALT_BYTES], &mut nothing)
            .map_err(|error| AuthError::Hashing(error.to_string()))?;
        // Whoever compiles this must not find out that nobody looks at it.
        std::hint::black_box(nothing);
        Ok(())
    }
}

/// Tests count what was computed: time itself is no test.
#[cfg(test)]
fn computed(cost: Cost) {
    tests::COMPUTED.with_borrow_mut(|all| all.push(cost));
}

#[cfg(not(test))]
fn computed(_: Cost) {}

/// On the list, or one character or a short pattern over and over, or a run of the alphabet or the digits.
fn is_common(text: &str) -> bool {
    let lower = text.to_lowercase();
    if is_listed(COMMON, &lower) {
        return true;
    }
    let chars: Vec<char> = lower.chars().collect();
    let repeats = |period: usize| chars.iter().zip(&chars[period..]).all(|(a, b)| a == b);
    let steps = |step: i64| {
        chars
            .windows(2)
            .all(|pair| i64::from(u32::from(pair[1])) - i64::from(u32::from(pair[0])) == step)
    };
    (1..=2).any(repeats) || steps(1) || steps(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: Cost = Cost {
        memory_kib: MEMORY_KIB,
        passes: PASSES,
    };

    thread_local! {
        /// What this test's thread computed.
        pub(super) static COMPUTED: std::cell::RefCell<Vec<Cost>> = const {
            std::cell::RefCell::new(Vec::new())
        };
    }

    #[test]
    fn a_wrong_password_costs_the_same_whatever_the_hash_was_made_with() {
        let password = Password::parse_new("correct horse").ok().unwrap();
        let wrong = Password::parse_given("correct horsf").ok().unwrap();
        let old = password.hash([7; SALT_BYTES], COST).unwrap();
        for (memory_kib, passes) in [
            (MEMORY_KIB, PASSES),
            (MEMORY_KIB + 1_024, PASSES),
            (MEMORY_KIB, PASSES + 1),
            (MEMORY_KIB + 777, PASSES + 3),
        ] {
            let cost = Cost { memory_kib, passes };
            let spent = |hash: Option<&str>| {
                COMPUTED.take();
                assert!(!wrong.verify(hash, cost).unwrap());
                let all = COMPUTED.take();
                assert!(all.iter().all(|one| one.memory_kib <= memory_kib));
                all.into_iter().map(Cost::work).sum::<u64>()
            };
            let (of_old, of_none) = (spent(Some(&old)), spent(None));
            assert_eq!(of_none, cost.work());
            // Rounded up to a whole KiB in each pass.
            let rounding = of_old.checked_sub(of_none).unwrap();
            assert!(rounding < u64::from(passes), "{cost:?}: {rounding}");
            COMPUTED.take();
            assert!(password.verify(Some(&old), cost).unwrap());
            assert_eq!(COMPUTED.take(), [COST], "who is right waits for no more");
        }
    }

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let password = Password::parse_new("correct horse").ok().unwrap();
        let hash = password.hash([7; SALT_BYTES], COST).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(password.verify(Some(&hash), COST).unwrap());
        let other = Password::parse_given("correct horsf").ok().unwrap();
        assert!(!other.verify(Some(&hash), COST).unwrap());
    }

    #[test]
    fn nobody_signs_in_where_there_is_no_hash() {
        for text in ["", "anything at all"] {
            assert!(
                !Password::parse_given(text)
                    .ok()
                    .unwrap()
                    .verify(None, COST)
                    .unwrap()
            );
        }
    }

    #[test]
    fn a_hash_is_renewed_when_it_was_made_with_less() {
        let password = Password::parse_new("correct horse").ok().unwrap();
        let higher = Cost {
            memory_kib: MEMORY_KIB + 1_024,
            passes: PASSES,
        };
        let (old, new) = (
            password.hash([7; SALT_BYTES], COST).unwrap(),
            password.hash([7; SALT_BYTES], higher).unwrap(),
        );
        assert!(higher.is_above(&old).unwrap() && !higher.is_above(&new).unwrap());
        assert!(!COST.is_above(&old).unwrap() && !COST.is_above(&new).unwrap());
        // Whatever it was made with, it verifies.
        assert!(password.verify(Some(&old), higher).unwrap());
        assert!(password.verify(Some(&new), COST).unwrap());
        let decoy = higher.decoy();
        assert!(!higher.is_above(&decoy).unwrap() && COST != higher);
    }

    #[test]
    fn short_long_and_common_passwords_are_refused() {
        for bad in [
            "",
            "short",
            "Password1",
            "12345678",
            "abcdefghij",
            "aaaaaaaaaa",
            "ababababab",
            "98765432",
        ] {
            assert!(Password::parse_new(bad).is_err(), "{bad}");
        }
        assert!(Password::parse_new(&"é".repeat(1_025)).is_err());
        assert!(Password::parse_new("pass word 7").is_ok());
        assert!(Password::parse_new("日本語のパスワード").is_ok());
    }
}

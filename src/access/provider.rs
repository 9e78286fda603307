//! The OpenID provider: where people are sent, and what its word is worth.
//!
//! Comes in: an authorization code that a browser brought back. Goes out: the name of a person, as the provider vouches
//! for it. Promises: nothing counts but an ID token that this provider signed for this client and this very sign-in (issuer,
//! audience, expiry, nonce and signature, OpenID Connect Core 1.0, section 3.1.3.7), with a public key of its own and never with
//! a shared secret or none; an e-mail address counts only where the provider says that it is verified. Answers are bounded in
//! time and size, and no redirect is followed.
//!
//! May fail: the provider is away. Nobody can sign in then; who is signed in stays so.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use openidconnect::core::{
    CoreAuthPrompt, CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod,
    CoreErrorResponseType, CoreJwsSigningAlgorithm as Signed, CoreProviderMetadata,
    CoreRequestTokenError, CoreUserInfoClaims,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, SignatureVerificationError, TokenResponse as _, UserInfoError,
};
use thiserror::Error;
use tokio_rustls::rustls;
use zeroize::Zeroizing;

use crate::config::Access;
use crate::config::access::Oidc;
use crate::config::settings::OidcClaim;
use crate::secret::{self, SecretError};

/// How long the provider may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of an answer; a provider's keys are a few thousand.
const MAX_ANSWER: usize = 1 << 20;

/// Bytes of a client's secret that are read.
const MAX_SECRET: u64 = 4_096;

/// How long is believed what the provider says of itself.
const FRESH: Duration = Duration::from_secs(3_600);

/// How long it is not asked again after it failed, and how old its keys are at least before a token has them read again.
const PAUSE: Duration = Duration::from_secs(5);

/// Public-key signatures alone (RFC 7518, section 3.1; RFC 8037). HMAC would be signed by whoever knows the client's secret.
const SIGNED: [Signed; 9] = [
    Signed::RsaSsaPkcs1V15Sha256,
    Signed::RsaSsaPkcs1V15Sha384,
    Signed::RsaSsaPkcs1V15Sha512,
    Signed::RsaSsaPssSha256,
    Signed::RsaSsaPssSha384,
    Signed::RsaSsaPssSha512,
    Signed::EcdsaP256Sha256,
    Signed::EcdsaP384Sha384,
    Signed::EdDsa,
];

/// Why nobody could ever sign in.
#[derive(Debug, Error)]
pub enum SetUpError {
    /// The file of the client's secret cannot be read, or others than its owner may read it.
    #[error("access.oidc_secret_file")]
    Secret(#[from] SecretError),
    /// It holds nothing, or more than a line.
    #[error("access.oidc_secret_file {path} does not hold one line", path = path.display())]
    NoLine {
        /// The file.
        path: PathBuf,
    },
    /// Something that the configuration let through is no address after all.
    #[error("access.oidc_issuer or access.url")]
    Url(#[from] openidconnect::url::ParseError),
    /// TLS cannot be set up.
    #[error("TLS towards the OpenID provider")]
    Tls(#[from] rustls::Error),
}

/// Why a sign-in did not come about. The texts are for the log, and hold nothing of a person.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// Later perhaps.
    #[error("the OpenID provider cannot be asked: {0}")]
    Away(String),
    /// The provider's word does not hold.
    #[error("the OpenID provider's answer is not believed: {0}")]
    Unbelieved(String),
    /// It vouches for somebody, but not by the name that counts here.
    #[error("the OpenID provider does not say {0}; see access.oidc_claim")]
    Unnamed(&'static str),
}

#[derive(Debug, Error)]
enum FetchError {
    #[error("{0}")]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error("its answer cannot be read")]
    Body,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
}

type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

type Party = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What the provider says of itself.
enum Known {
    Nothing,
    /// It could not be asked.
    Failed(Instant),
    Metadata(Instant, Arc<CoreProviderMetadata>),
}

/// The provider of the configuration.
pub(super) struct Provider {
    rules: Oidc,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    secret: Option<ClientSecret>,
    http: Http,
    known: tokio::sync::Mutex<Known>,
}

/// The numbers of one sign-in, which only its browser and this process can make.
pub(super) struct Attempt {
    pub(super) state: String,
    pub(super) nonce: String,
    /// 43 characters (RFC 7636, section 4.1).
    pub(super) verifier: String,
}

impl Provider {
    /// The provider in mode `oidc`; none in other modes. Blocking; asks nobody yet.
    pub(super) fn of(access: &Access) -> Result<Option<Provider>, SetUpError> {
        let (Some(rules), Some(url)) = (&access.oidc, &access.url) else {
            return Ok(None);
        };
        let secret = rules.secret_file.as_deref().map(read_secret).transpose()?;
        let issuer = IssuerUrl::new(rules.issuer.clone())?;
        let is_https = issuer.url().scheme() == "https";
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls()?);
        let builder = match is_https {
            true => builder.https_only(),
            false => builder.https_or_http(),
        };
        let http = Client::builder(TokioExecutor::new()).build(builder.enable_http1().build());
        Ok(Some(Provider {
            rules: rules.clone(),
            issuer,
            redirect: RedirectUrl::from_url(url.join("/oidc/callback")?),
            secret,
            http,
            known: tokio::sync::Mutex::new(Known::Nothing),
        }))
    }

    /// Returns where the browser is sent.
    ///
    /// # Errors
    /// [`Fault::Away`].
    pub(super) async fn way(&self, attempt: &Attempt, is_again: bool) -> Result<String, Fault> {
        let metadata = self.metadata(FRESH).await?;
        let party = self.party(&metadata);
        let verifier = PkceCodeVerifier::new(attempt.verifier.clone());
        let (state, nonce) = (attempt.state.clone(), attempt.nonce.clone());
        let mut request = party
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(nonce),
            )
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let scope = match self.rules.claim {
            OidcClaim::Email => Some("email"),
            OidcClaim::PreferredUsername => Some("profile"),
            OidcClaim::Sub => None,
        };
        if let Some(scope) = scope {
            request = request.add_scope(Scope::new(scope.into()));
        }
        if is_again {
            request = request.add_prompt(CoreAuthPrompt::Login);
        }
        let (url, _, _) = request.url();
        let is_safe = url.scheme() == "https" || self.issuer.url().scheme() == "http";
        match is_safe {
            true => Ok(url.into()),
            false => Err(Fault::Unbelieved(
                "it would have people sign in without TLS".into(),
            )),
        }
    }

    /// Trades the code for the name of whoever signed in.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn name(&self, code: String, attempt: &Attempt) -> Result<String, Fault> {
        let metadata = self.metadata(FRESH).await?;
        let party = self.party(&metadata);
        let http = |request| fetch(self.http.clone(), request);
        let request = party
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| Fault::Away(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(attempt.verifier.clone()));
        let tokens = request.request_async(&http).await.map_err(of_tokens)?;
        let token = tokens
            .id_token()
            .ok_or_else(|| Fault::Unbelieved("no ID token".into()))?;
        let nonce = Nonce::new(attempt.nonce.clone());
        let claims = match token.claims(&verifier(&party), &nonce) {
            // Its keys may be others by now.
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            )) => {
                let metadata = self.metadata(PAUSE).await?;
                let party = self.party(&metadata);
                token.claims(&verifier(&party), &nonce).cloned()
            }
            claims => claims.cloned(),
        };
        let claims = claims.map_err(|error| Fault::Unbelieved(unbelieved(&error)))?;
        let subject = claims.subject().clone();
        let told = Told {
            email: claims.email().map(|email| email.to_string()),
            is_verified: claims.email_verified(),
            username: claims.preferred_username().map(|name| name.to_string()),
        };
        if let Some(name) = told.name(self.rules.claim, subject.as_str()) {
            return Ok(name);
        }
        // Many say it in answer to the access token alone (section 5.3).
        let asked = party
            .user_info(tokens.access_token().clone(), Some(subject.clone()))
            .map_err(|_| Fault::Unnamed(told.lacks(self.rules.claim)))?;
        let claims: CoreUserInfoClaims = asked.request_async(&http).await.map_err(of_user)?;
        let told = Told {
            email: claims.email().map(|email| email.to_string()),
            is_verified: claims.email_verified(),
            username: claims.preferred_username().map(|name| name.to_string()),
        };
        told.name(self.rules.claim, subject.as_str())
            .ok_or_else(|| Fault::Unnamed(told.lacks(self.rules.claim)))
    }

    fn party(&self, metadata: &CoreProviderMetadata) -> Party {
        let id = ClientId::new(self.rules.client_id.clone());
        let party = CoreClient::from_provider_metadata(metadata.clone(), id, self.secret.clone())
            .set_redirect_uri(self.redirect.clone());
        // Basic is what a provider takes that says nothing (OpenID Connect Discovery 1.0, section 3).
        let takes = metadata.token_endpoint_auth_methods_supported();
        let takes_basic =
            takes.is_none_or(|all| all.contains(&CoreClientAuthMethod::ClientSecretBasic));
        match takes_basic {
            true => party,
            false => party.set_auth_type(AuthType::RequestBody),
        }
    }

    /// What the provider says of itself, at most so old.
    async fn metadata(&self, age: Duration) -> Result<Arc<CoreProviderMetadata>, Fault> {
        // The first asks, the others wait for it.
        let mut known = self.known.lock().await;
        match &*known {
            Known::Metadata(at, metadata) if at.elapsed() < age => return Ok(metadata.clone()),
            Known::Failed(at) if at.elapsed() < PAUSE => {
                return Err(Fault::Away("it could not be asked a moment ago".into()));
            }
            Known::Nothing | Known::Failed(_) | Known::Metadata(..) => {}
        }
        let http = |request| fetch(self.http.clone(), request);
        let asked = CoreProviderMetadata::discover_async(self.issuer.clone(), &http).await;
        match asked {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                *known = Known::Metadata(Instant::now(), metadata.clone());
                Ok(metadata)
            }
            Err(error) => {
                *known = Known::Failed(Instant::now());
                let error = anyhow::Error::new(error);
                Err(Fault::Away(format!("{error:#}")))
            }
        }
    }
}

/// What the provider tells of a person.
struct Told {
    email: Option<String>,
    is_verified: Option<bool>,
    username: Option<String>,
}

impl Told {
    fn name(&self, claim: OidcClaim, subject: &str) -> Option<String> {
        match claim {
            OidcClaim::Email if self.is_verified == Some(true) => self.email.clone(),
            OidcClaim::Email => None,
            OidcClaim::PreferredUsername => self.username.clone(),
            OidcClaim::Sub => Some(subject.to_owned()),
        }
    }

    fn lacks(&self, claim: OidcClaim) -> &'static str {
        match claim {
            OidcClaim::Email if self.email.is_some() => "that the e-mail address is verified",
            OidcClaim::Email => "an e-mail address",
            OidcClaim::PreferredUsername => "a preferred_username",
            OidcClaim::Sub => "who it is",
        }
    }
}

fn verifier(party: &Party) -> openidconnect::core::CoreIdTokenVerifier<'_> {
    party.id_token_verifier().set_allowed_algs(SIGNED)
}

/// What was wrong with a token: values of it stand in no log.
fn unbelieved(error: &ClaimsVerificationError) -> String {
    use ClaimsVerificationError as E;
    let what = match error {
        E::Expired(_) => "the ID token has expired",
        E::InvalidAudience(_) => "the ID token is for another client",
        E::InvalidIssuer(_) => "the ID token is of another issuer",
        E::InvalidNonce(_) => "the ID token is of another sign-in",
        E::SignatureVerification(SignatureVerificationError::DisallowedAlg(_)) => {
            "the ID token is not signed by a public key"
        }
        E::SignatureVerification(SignatureVerificationError::NoSignature) => {
            "the ID token is not signed"
        }
        E::SignatureVerification(_) => "the ID token's signature does not hold",
        _ => "the ID token cannot be read",
    };
    what.to_owned()
}

fn of_tokens(error: CoreRequestTokenError<FetchError>) -> Fault {
    match error {
        RequestTokenError::ServerResponse(said)
            if matches!(
                said.error(),
                CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient
            ) =>
        {
            Fault::Away("it does not take access.oidc_client_id and its secret".into())
        }
        // Its code alone (RFC 6749, section 5.2): descriptions may name somebody.
        RequestTokenError::ServerResponse(said) => Fault::Unbelieved(format!("{:?}", said.error())),
        RequestTokenError::Request(error) => Fault::Away(error.to_string()),
        RequestTokenError::Parse(..) => Fault::Away("its tokens cannot be read".into()),
        RequestTokenError::Other(_) => Fault::Away("it gave no tokens".into()),
    }
}

fn of_user(error: UserInfoError<FetchError>) -> Fault {
    match error {
        UserInfoError::Request(error) => Fault::Away(error.to_string()),
        UserInfoError::ClaimsVerification(_) => {
            Fault::Unbelieved("it tells of somebody else".into())
        }
        _ => Fault::Away("what it tells of people cannot be read".into()),
    }
}

/// One request: bounded, and no redirect is followed.
async fn fetch(http: Http, request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let (head, body) = request.into_parts();
    let request = hyper::Request::from_parts(head, Full::new(Bytes::from(body)));
    let answered = tokio::time::timeout(PATIENCE, async {
        let (head, body) = http.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| FetchError::Body)?.to_bytes();
        Ok(HttpResponse::from_parts(head, body.to_vec()))
    });
    answered.await.map_err(|_| FetchError::Late)?
}

fn tls() -> Result<rustls::ClientConfig, SetUpError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (n_good, _) = roots.add_parsable_certificates(found.certs);
    if n_good == 0 {
        tracing::warn!("this machine has no root certificates: no https provider can be asked");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn read_secret(path: &Path) -> Result<ClientSecret, SetUpError> {
    let file = secret::open_private(path)?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_SECRET).read_to_string(&mut text);
    read.map_err(|source| SecretError::Io {
        path: path.to_owned(),
        source,
    })?;
    let line = text.trim();
    match line.is_empty() || line.contains('\n') {
        true => Err(SetUpError::NoLine {
            path: path.to_owned(),
        }),
        false => Ok(ClientSecret::new(line.to_owned())),
    }
}

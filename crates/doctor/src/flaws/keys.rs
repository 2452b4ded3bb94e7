//! The keys that tokens are verified with.

flaws! { Keys:
    JWKS_MISSING = "jwks-missing", Low,
        "The authorization server metadata has jwks_uri.",
        "RFC 8414 section 2; RFC 9068 section 4";
    JWKS_UNREACHABLE = "jwks-unreachable", High,
        "The key set is read without a token.",
        "RFC 8414 section 2; RFC 9068 section 4";
    JWKS_NOT_JSON = "jwks-not-json", High,
        "The key set is a JSON object with a list of keys.",
        "RFC 7517 section 5";
    JWKS_EMPTY = "jwks-empty", High,
        "The key set has a key.",
        "RFC 9068 section 4";
    JWKS_NO_KID = "jwks-no-kid", Medium,
        "Each key has a kid of its own.",
        "RFC 7517 section 4.5; RFC 9700 section 2.5";
    JWKS_PRIVATE_KEY = "jwks-private-key", Critical,
        "The key set holds public keys only.",
        "RFC 7517 section 9.2";
    JWKS_SYMMETRIC = "jwks-symmetric", Critical,
        "The key set holds no symmetric key.",
        "RFC 7517 section 9.2; RFC 8725 section 3.1";
    JWKS_WEAK_RSA = "jwks-weak-rsa", High,
        "RSA keys have 2048 bits or more.",
        "RFC 7518 section 3.3";
}

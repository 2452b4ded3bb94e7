"""Who calls, from the header Portcullis-Identity. Needs the package PyJWT[crypto]."""

import jwt

# An access token has another type, and is not taken for one.
TYPE = "portcullis-identity+jwt"


class IdentityVerifier:
    """Checks identities for one MCP server.

    `keys` is the address of the JWK set, `issuer` the public URL of the authority, `slug` the name of this MCP server. The set is
    fetched when it is needed, and again for a key that it does not have.
    """

    def __init__(self, keys, issuer, slug):
        self.keys = jwt.PyJWKClient(keys)
        self.issuer, self.slug = issuer, slug

    def verify(self, header):
        """The claims of the one header of this name: `sub` is the person, `client_id` the client that calls for them, `scope` what
        they may do. Raises jwt.PyJWTError when the header is not to be believed: answer 401 then, and do nothing."""
        if jwt.get_unverified_header(header).get("typ") != TYPE:
            raise jwt.InvalidTokenError(f"its type is not {TYPE}")
        return jwt.decode(
            header,
            self.keys.get_signing_key_from_jwt(header).key,
            algorithms=["ES256"],
            issuer=self.issuer,
            audience=self.slug,
            leeway=5,
            options={"require": ["iss", "aud", "sub", "exp"]},
        )

// Who calls, from the header Portcullis-Identity. Needs the package jose.

import { createRemoteJWKSet, jwtVerify } from "jose";

/**
 * A function from the one header of this name to the claims: `sub` is the person, `client_id` the client that calls for them, `scope`
 * what they may do. It throws when the header is not to be believed: answer 401 then, and do nothing.
 *
 * `keys` is the address of the JWK set, `issuer` the public URL of the authority, `slug` the name of this MCP server. The set is fetched
 * when it is needed, and again (at most once in 30 seconds) for a key that it does not have.
 */
export function identityVerifier({ keys, issuer, slug }) {
  const keySet = createRemoteJWKSet(new URL(keys));
  return async (header) => {
    const { payload } = await jwtVerify(header, keySet, {
      typ: "portcullis-identity+jwt", // An access token has another type, and is not taken for one.
      algorithms: ["ES256"],
      issuer,
      audience: slug,
      requiredClaims: ["sub", "exp"],
      clockTolerance: 5,
    });
    return payload;
  };
}

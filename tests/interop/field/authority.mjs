// The authorization server of scenes that protect a server and leave the sign-in to somebody else: node-oidc-provider, with
// registration open and tokens that are JWTs for one resource; one client, a program, is known from the beginning. As a program of its own
// it takes the resource and prints its issuer.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const HERE = '127.0.0.1';

// `alias`: another path under which its metadata is found too, as with an issuer of a hosted service that serves many.
export async function startAuthority({ resource, scope, alias }) {
  const server = createServer();
  await new Promise((resolve) => server.listen({ port: 0, host: HERE }, resolve));
  const issuer = `http://${HERE}:${server.address().port}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-today', alg: 'RS256', use: 'sig' }] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    scopes: ['openid', 'offline_access', ...scope.split(' ')],
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    clientBasedCORS: () => true,
    clients: [{ client_id: 'machine', client_secret: 'of-the-field', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    features: {
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        getResourceServerInfo: () => ({ scope, audience: resource, accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
        useGrantedResource: () => true,
      },
    },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (alias && [`${alias}/.well-known/oauth-authorization-server`, `/.well-known/oauth-authorization-server${alias}`].includes(request.url)) {
      request.url = '/.well-known/openid-configuration';
    }
    answer(request, response);
  });
  return issuer;
}

if (process.argv[1] === import.meta.filename) {
  const [resource, scope] = process.argv.slice(2);
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(0));
  process.stdout.write(`${await startAuthority({ resource, scope })}\n`);
}

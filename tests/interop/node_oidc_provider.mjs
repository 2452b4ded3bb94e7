// An authorization server that others wrote, node-oidc-provider, as the issuer of an MCP server's tokens. Prints its issuer, then obeys
// one JSON line after the other: gives tokens that it issues over HTTP as to anybody, and revokes them.
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const REDIRECT = 'http://localhost:8975/callback'; // nobody listens: the code is taken from the address
const SCOPES = 'todo:read todo:write';
const clients = { gateway: 'the gateway asks', jwt: 'gets signed tokens', opaque: 'gets opaque tokens' };

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'of-today', alg: 'ES256', use: 'sig' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  clients: Object.entries(clients).map(([client_id, client_secret]) => ({
    client_id,
    client_secret,
    redirect_uris: client_id === 'gateway' ? [] : [REDIRECT],
    response_types: client_id === 'gateway' ? [] : ['code'],
    grant_types: client_id === 'gateway' ? [] : ['authorization_code', 'client_credentials'],
  })),
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  extraTokenClaims: (_, token) => (token.accountId ? { groups: ['mcp-people'] } : undefined),
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_, client) => client.clientId === 'gateway' },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource, client) => ({
        scope: SCOPES,
        audience: resource,
        accessTokenTTL: 600,
        accessTokenFormat: client.clientId,
        jwt: { sign: { alg: 'ES256' } },
      }),
      useGrantedResource: () => true,
    },
  },
});

// It answers about no JWT ("Structured JWT Tokens cannot be introspected"), and revokes none. A deployment that wants both keeps a list
// beside it, as here.
const signed = new Map();
const answerAboutSigned = async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const [id, secret] = Buffer.from(request.headers.authorization.slice('Basic '.length), 'base64').toString().split(':');
  const known = clients[id] === decodeURIComponent(secret.replaceAll('+', ' ')) && id === 'gateway';
  const token = new URLSearchParams(Buffer.concat(chunks).toString()).get('token');
  response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ active: signed.get(token) === true, token_type: 'Bearer' }));
};
const callback = provider.callback();
server.on('request', (request, response) =>
  request.url === '/signed/introspection' ? answerAboutSigned(request, response) : callback(request, response),
);

const basic = (client) => `Basic ${Buffer.from([client, clients[client]].map(encodeURIComponent).join(':')).toString('base64')}`;

async function post(path, client, form) {
  const headers = { authorization: basic(client) };
  const answer = await fetch(`${issuer}${path}`, { method: 'POST', headers, body: new URLSearchParams(form) });
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`${path} answers ${answer.status}: ${text}`);
  return text && JSON.parse(text);
}

async function machine({ client, resource, scope = SCOPES }) {
  return post('/token', client, { grant_type: 'client_credentials', resource, scope });
}

// A person in a browser that knows nothing but cookies and redirects: signs in, then consents.
async function person({ client, resource, scope = SCOPES }) {
  const jar = new Map();
  const verifier = randomBytes(32).toString('base64url');
  const code_challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = { client_id: client, response_type: 'code', redirect_uri: REDIRECT, scope, resource, code_challenge, code_challenge_method: 'S256' };
  let url = `${issuer}/auth?${new URLSearchParams(query)}`;
  let form;
  for (let steps = 0; !url.startsWith(REDIRECT); steps += 1) {
    if (steps === 12) throw new Error(`the sign-in does not end: ${url}`);
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const answer = await fetch(url, { method: form ? 'POST' : 'GET', headers: { cookie }, body: form, redirect: 'manual' });
    for (const set of answer.headers.getSetCookie()) {
      const [name, value] = set.split(';')[0].split('=');
      jar.set(name, value);
    }
    form = undefined;
    if (answer.status === 303) {
      url = new URL(answer.headers.get('location'), url).href;
    } else {
      const page = await answer.text();
      const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
      if (!prompt) throw new Error(`${url} answers ${answer.status}: ${page.slice(0, 500)}`);
      form = new URLSearchParams({ prompt, login: 'alice', password: 'any' });
    }
  }
  const code = new URL(url).searchParams.get('code');
  return post('/token', client, { grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier, resource });
}

async function obey({ act, ...wish }) {
  if (act === 'revoke') {
    if (signed.has(wish.token)) signed.set(wish.token, false);
    else await post('/token/revocation', wish.client, { token: wish.token });
    return {};
  }
  const { access_token: token, token_type: type } = await (act === 'person' ? person : machine)(wish);
  if (wish.client === 'jwt') signed.set(token, true);
  return { token, type };
}

console.log(JSON.stringify({ issuer }));
for await (const line of createInterface({ input: process.stdin })) {
  const said = await obey(JSON.parse(line)).catch((error) => ({ error: String(error?.message ?? error) }));
  console.log(JSON.stringify(said));
}
process.exit(0);

// The same shape with an SDK's verifier, as a guide for coding agents gives it: CORS is "any origin" with credentials, without the headers
// of MCP and with nothing exposed; the scopes are read from a claim that is split at spaces whatever it is.
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { startAuthority } from './authority.mjs';
import { answerNode, port, ready } from './scene.mjs';

const resource = `http://localhost:${port}/mcp`;
const SCOPE = 'todo:read';
const issuer = await startAuthority({ resource, scope: SCOPE });
const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
const metadataUrl = `http://localhost:${port}/.well-known/oauth-protected-resource`;

const app = express();
app.use((request, response, next) => {
  response.set({
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Credentials': 'true',
    'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
    'Access-Control-Allow-Headers': 'Content-Type, Authorization',
  });
  return request.method === 'OPTIONS' ? response.sendStatus(204) : next();
});
app.use(express.json());
app.get('/.well-known/oauth-protected-resource', (_, response) => {
  response.json({ resource, authorization_servers: [issuer], bearer_methods_supported: ['header'], scopes_supported: [SCOPE] });
});

app.use(async (request, response, next) => {
  if (request.path.includes('.well-known')) return next();
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
  let claims;
  try {
    ({ payload: claims } = await jwtVerify(token ?? '', keys, { issuer, audience: resource }));
  } catch {
    return response.status(401).set('WWW-Authenticate', `Bearer realm="OAuth", resource_metadata="${metadataUrl}"`).end();
  }
  if (!claims.scope.split(' ').includes(SCOPE)) return response.status(403).json({ error: 'Insufficient scope' });
  return next();
});

app.all('/mcp*', answerNode);
app.listen(port, () => ready(resource));

// A widespread shape of hand-written middleware, from a quickstart for express 4: whatever path contains ".well-known" is let through,
// the issuer is not checked, the scheme is compared letter by letter, a missing scope is answered without a challenge, and the resource
// metadata stands at the root alone and names another string than the tokens' issuer.
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { startAuthority } from './authority.mjs';
import { answerNode, port, ready } from './scene.mjs';

const resource = `http://localhost:${port}/mcp`;
const SCOPE = 'todo:read';
const environment = await startAuthority({ resource, scope: SCOPE, alias: '/resources/res_1' });
const keys = createRemoteJWKSet(new URL(`${environment}/jwks`));
const metadataUrl = `http://localhost:${port}/.well-known/oauth-protected-resource`;

const app = express();
app.use(express.json());
app.get('/.well-known/oauth-protected-resource', (_, response) => {
  response.json({
    resource,
    authorization_servers: [`${environment}/resources/res_1`],
    bearer_methods_supported: ['header'],
    scopes_supported: [SCOPE],
  });
});

app.use(async (request, response, next) => {
  if (request.path.includes('.well-known')) return next();
  const refuse = () => response.status(401).set('WWW-Authenticate', `Bearer realm="OAuth", resource_metadata="${metadataUrl}"`).json({ error: 'unauthorized' });
  const header = request.headers.authorization;
  if (!header?.startsWith('Bearer ')) return refuse();
  try {
    const { payload } = await jwtVerify(header.slice('Bearer '.length), keys, { audience: resource });
    if (!String(payload.scope ?? '').split(' ').includes(SCOPE)) return response.status(403).json({ error: 'insufficient_scope' });
    return next();
  } catch {
    return refuse();
  }
});

app.all('/mcp*', answerNode);
app.listen(port, () => ready(resource));

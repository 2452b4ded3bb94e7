// better-auth's MCP plugin, with its memory database and registration switched on, in front of an MCP server that is served on POST alone
// as the plugin's README says. Its library serves the authorization server under /api/auth and the discovery at the root.
import { memoryAdapter } from 'better-auth/adapters/memory';
import { betterAuth } from 'better-auth';
import { getAuthTables } from 'better-auth/db';
import { jwt } from 'better-auth/plugins';
import { mcp, requireMcpAuth } from '@better-auth/mcp';
import { answerWeb, port, ready, serveWeb } from './scene.mjs';

const origin = `http://localhost:${port}`;
const resource = `${origin}/mcp`;
const options = {
  baseURL: origin,
  secret: 'only on the loopback address, and only for a minute',
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [
    jwt(),
    mcp({
      loginPage: '/login',
      consentPage: '/consent',
      resource,
      scopes: ['openid', 'offline_access', 'mcp:read'],
      allowDynamicClientRegistration: true,
      allowUnauthenticatedClientRegistration: true,
    }),
  ],
};
const tables = Object.fromEntries(Object.values(getAuthTables(options)).map(({ modelName }) => [modelName, []]));
const auth = betterAuth({ ...options, database: memoryAdapter(tables) });
const { baseURL } = await auth.$context;
const guarded = requireMcpAuth(auth, answerWeb, { resource });

await serveWeb(origin, (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === '/mcp') return request.method === 'POST' ? guarded(request) : new Response(null, { status: 405, headers: { allow: 'POST' } });
  if (pathname.startsWith('/.well-known/') || pathname.startsWith(new URL(baseURL).pathname)) return auth.handler(request);
  return new Response('Not Found', { status: 404 });
});
ready(resource);

// Cloudflare's OAuth provider for Workers as one Worker that is authorization server and MCP server, as its README shows. Node takes the
// place of workerd: a KV namespace in memory, and the one module of the runtime that the package imports.
import { registerHooks } from 'node:module';
import { answerWeb, port, ready, serveWeb } from './scene.mjs';

const RUNTIME = 'export class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }';
registerHooks({
  resolve: (name, context, next) =>
    name === 'cloudflare:workers' ? { url: `data:text/javascript,${encodeURIComponent(RUNTIME)}`, shortCircuit: true } : next(name, context),
});
globalThis.Cloudflare = { compatibilityFlags: { global_fetch_strictly_public: true } };
const { OAuthProvider } = await import('@cloudflare/workers-oauth-provider');

class MemoryNamespace {
  #kept = new Map();

  async get(key, options) {
    const found = this.#kept.get(key);
    if (!found || found.until <= Date.now()) return null;
    return (options?.type ?? options) === 'json' ? JSON.parse(found.value) : found.value;
  }

  async put(key, value, { expirationTtl, expiration, metadata } = {}) {
    const until = expiration ? expiration * 1000 : expirationTtl ? Date.now() + expirationTtl * 1000 : Infinity;
    this.#kept.set(key, { value, until, metadata });
  }

  async delete(key) {
    this.#kept.delete(key);
  }

  async list({ prefix = '' } = {}) {
    const keys = [...this.#kept].filter(([name]) => name.startsWith(prefix)).map(([name, { metadata }]) => ({ name, metadata }));
    return { keys, list_complete: true };
  }
}

const origin = `http://localhost:${port}`;
const env = { OAUTH_KV: new MemoryNamespace() };

// Everybody who sees the page is Alice; the page itself is what the package leaves to its user.
async function authorize(request) {
  const oauth = env.OAUTH_PROVIDER;
  if (request.method === 'POST') {
    const form = await request.formData();
    const approved = await oauth.approveConsent(request, String(form.get('handle')), { scope: form.getAll('scope').map(String) });
    const { redirectTo } = await oauth.completeAuthorization({
      request: approved.request,
      userId: 'alice',
      metadata: {},
      scope: approved.request.scope,
      props: { userId: 'alice' },
    });
    approved.headers.set('location', redirectTo);
    return new Response(null, { status: 302, headers: approved.headers });
  }
  const asked = await oauth.parseAuthRequest(request);
  const { scope } = await oauth.describeConsent(asked);
  const consent = await oauth.beginConsent(asked);
  consent.headers.set('content-type', 'text/html; charset=utf-8');
  const boxes = scope.map((one) => `<input type="checkbox" name="scope" value="${one.replace(/[^\w:]/g, '')}" checked>`).join('');
  return new Response(`<form method="post"><input name="handle" value="${consent.handle}">${boxes}<button>Allow</button></form>`, { headers: consent.headers });
}

const provider = new OAuthProvider({
  apiRoute: '/mcp',
  apiHandler: { fetch: answerWeb },
  defaultHandler: {
    fetch: (request) =>
      new URL(request.url).pathname === '/authorize'
        ? authorize(request).catch((error) => new Response(String(error?.message ?? error), { status: 400 }))
        : new Response('Not Found', { status: 404 }),
  },
  authorizeEndpoint: '/authorize',
  tokenEndpoint: '/oauth/token',
  clientRegistrationEndpoint: '/oauth/register',
  scopesSupported: ['mcp:read', 'mcp:write', 'offline_access'],
  resourceMetadata: { resource: `${origin}/mcp`, authorization_servers: [origin] },
  requiredScopes: ['mcp:read'],
  clientIdMetadataDocumentEnabled: true,
});

await serveWeb(origin, (request) => provider.fetch(request, env, { waitUntil: () => {}, passThroughOnException: () => {} }));
ready(`${origin}/mcp`);

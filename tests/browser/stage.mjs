// What the browser tests share: a Chromium that notes what must not happen, clients that come by registration, and a
// web host of a client's own.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { chromium } from 'playwright-core';

export const PATIENCE_MS = 20_000;

// A browser must not look for anything outside; as root Chromium has no sandbox of its own.
export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });

// A web server of somebody else, on a free loopback port; `answer(url, request)` gives [status, type, body].
export async function host(answer) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, 'http://host');
    requests.push({ url, headers: request.headers });
    const [status, type, body] = (await answer(url, request)) ?? [404, 'text/plain', 'not here'];
    response.writeHead(status, { 'content-type': type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, requests, close: () => server.close() };
}

// A client that registers itself, and the address it opens.
export async function request(ready, { name, redirectUri, clientId, more = {} }) {
  const metadata = await (await fetch(`${ready.issuer}/.well-known/openid-configuration`)).json();
  let client_id = clientId;
  if (!client_id) {
    const body = JSON.stringify({ client_name: name, redirect_uris: [redirectUri], token_endpoint_auth_method: 'none' });
    const answer = await fetch(metadata.registration_endpoint, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const registered = await answer.json();
    assert.equal(answer.status, 201, JSON.stringify(registered));
    client_id = registered.client_id;
  }
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  const parameters = {
    response_type: 'code',
    client_id,
    redirect_uri: redirectUri,
    state: randomBytes(8).toString('base64url'),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    resource: ready.mcp_url,
    ...more,
  };
  for (const [key, value] of Object.entries(parameters)) url.searchParams.set(key, value);
  const exchange = async (code) => {
    const body = new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: redirectUri, client_id, code_verifier: verifier });
    const answer = await fetch(metadata.token_endpoint, { method: 'POST', body });
    return { status: answer.status, body: await answer.json() };
  };
  return { url: url.href, client_id, state: parameters.state, exchange };
}

// A browser of its own, that writes down what a person would not see but must not happen.
export async function open(browser, options = {}) {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options });
  const wrong = [];
  await context.exposeBinding('reportViolation', (_, text) => wrong.push(text));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`CSP: ${event.violatedDirective} ${event.blockedURI} on ${location.pathname}`);
    });
  });
  context.on('weberror', (error) => wrong.push(`script: ${error.error()}`));
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  return { context, page, wrong };
}

export async function signIn(page, email, password) {
  await page.fill('input[name=email]', email);
  await page.fill('input[name=password]', password);
  await page.click('form:has(input[name=password]) button');
}

export const APPROVE = 'button[name=decision][value=approve]';

export async function approve(page) {
  // It appears half a second late, so that nobody presses it by accident.
  await page.waitForSelector(APPROVE, { state: 'visible' });
  await page.click(APPROVE);
}
